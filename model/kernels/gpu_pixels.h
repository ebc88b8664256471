/* Planes and pixels as the GPU's kernels are given them. */

#ifndef EXPOFUSE_GPU_PIXELS_H
#define EXPOFUSE_GPU_PIXELS_H

/* Planes of floats; rows and planes have gaps where they are parts of larger ones. */
typedef struct {
    float *first;
    ptrdiff_t row, plane; /* floats from one to the next */
} Planes;

/* Pixels of exposures, interleaved R, G, B. */
typedef struct {
    void *first;
    ptrdiff_t row, exposure; /* samples from one to the next */
} Pictures;

INLINE float *row_of(const Planes *planes, int plane, int y) {
    return planes->first + plane * planes->plane + y * planes->row;
}

INLINE float sample(const Pictures *pictures, ptrdiff_t at, const int bytes) {
    return bytes == 1 ? (float)((const uint8_t *)pictures->first)[at]
                      : (float)((const uint16_t *)pictures->first)[at];
}

/* A pixel in numbers of the type. */
INLINE Rgb take(const Pictures *pictures, int exposure, int y, int x, const int bytes) {
    const ptrdiff_t at =
        exposure * pictures->exposure + y * pictures->row + (ptrdiff_t)x * CHANNELS;
    const Rgb pixel = {sample(pictures, at, bytes), sample(pictures, at + 1, bytes),
                       sample(pictures, at + 2, bytes)};
    return pixel;
}

/* Rounded half to even. */
INLINE void put_sample(const Pictures *pictures, ptrdiff_t at, float value, const int bytes) {
    const float rounded = rintf(limit(value, 0.0f, full_of(bytes)));
    if (bytes == 1) ((uint8_t *)pictures->first)[at] = (uint8_t)rounded;
    else ((uint16_t *)pictures->first)[at] = (uint16_t)rounded;
}

INLINE void put(const Pictures *pictures, int y, int x, Rgb pixel, const int bytes) {
    const ptrdiff_t at = y * pictures->row + (ptrdiff_t)x * CHANNELS;
    put_sample(pictures, at, pixel.red, bytes);
    put_sample(pictures, at + 1, pixel.green, bytes);
    put_sample(pictures, at + 2, pixel.blue, bytes);
}

/* Like `mirror`, whose divisions are for the few that need them. */
INLINE int reflect(int index, int length) {
    return index >= 0 && index < length ? index : mirror(index, length);
}

INLINE float add_taps(float a, float b, float c, float d, float e) {
    return (a + e) + 4.0f * (b + d) + 6.0f * c;
}

#endif
