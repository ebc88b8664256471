/* What kernels of the CPU and of a GPU share: whole numbers, and the numbers of a picture.
 *
 * Written in what C11 and CUDA's C++ have in common, as the other headers that both include are.
 */

#ifndef EXPOFUSE_SCALARS_H
#define EXPOFUSE_SCALARS_H

#define CHANNELS 3
#define MAX_EXPOSURES 9

/* Weights of R, G and B. */
#define LUMA_RED 0.298936f
#define LUMA_GREEN 0.587043f
#define LUMA_BLUE 0.114021f

#ifndef INLINE
#define INLINE static inline __attribute__((always_inline))
#endif

INLINE int clamp_index(int index, int length) {
    return index < 0 ? 0 : index < length ? index : length - 1;
}

INLINE float clamp(float x, float low, float high) {
    x = x < low ? low : x;
    return x > high ? high : x;
}

/* Index within 0..length - 1 that a mirror at the first and the last pixel shows. */
INLINE int mirror(int index, int length) {
    if (length == 1) return 0;
    int period = 2 * length - 2;
    index = ((index % period) + period) % period;
    return index < length ? index : period - index;
}

/* The largest value of a channel of so many bytes. */
INLINE float full_of(const int bytes) { return bytes == 1 ? 255.0f : 65535.0f; }

#endif
