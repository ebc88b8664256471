/* REDUCE: pictures and planes at half their size, row by row.
 *
 * Planes lie one behind the other: exposures, then R, G, B, then rows. Borders are those of
 * model/blend/torch_pyramid.py. Every function computes on the calling thread, keeps nothing, and
 * writes each value by the same operations wherever its pixel lies in the array.
 *
 * model/blend/kernels.py checks sizes and types, and calls.
 */

#include "pixels.h"

#define TAPS 5  /* of the binomial 1 4 6 4 1 */
#define REACH 2 /* of it on either side */

static void smooth_columns(const float *const rows[TAPS], int width, float *restrict out) {
    const float *restrict a = rows[0], *restrict b = rows[1], *restrict c = rows[2];
    const float *restrict d = rows[3], *restrict e = rows[4];
    EACH for (int x = 0; x < width; x++)
        out[x] = ((a[x] + e[x]) + 4.0f * (b[x] + d[x]) + 6.0f * c[x]) * (1.0f / 16.0f);
}

/* Put on either end of a row what the mirror shows there. */
static void mirror_ends(float *row, int width) {
    for (int i = 1; i <= REACH; i++) {
        row[-i] = row[mirror(-i, width)];
        row[width - 1 + i] = row[mirror(width - 1 + i, width)];
    }
}

/* Every plane at half its size, rounded up. scratch: width + 2 REACH. */
void reduce_planes(const float *planes, int count, int height, int width, float *reduced,
                   float *restrict scratch) {
    const int half_height = (height + 1) / 2, half_width = (width + 1) / 2;
    float *restrict smooth = scratch + REACH;
    for (int plane = 0; plane < count; plane++) {
        for (int y = 0; y < half_height; y++) {
            const float *rows[TAPS];
            for (int tap = 0; tap < TAPS; tap++)
                rows[tap] = planes + (ptrdiff_t)mirror(2 * y + tap - REACH, height) * width;
            smooth_columns(rows, width, smooth);
            mirror_ends(smooth, width);
            EACH for (int x = 0; x < half_width; x++) {
                const float *c = smooth + 2 * x;
                reduced[x] =
                    ((c[-2] + c[2]) + 4.0f * (c[-1] + c[1]) + 6.0f * c[0]) * (1.0f / 16.0f);
            }
            reduced += half_width;
        }
        planes += (ptrdiff_t)height * width;
    }
}

/* The mean of every 2 x 2 cells; a cell cut by the border averages what it has. */
void halve_cells(const float *planes, int count, int height, int width, float *halved) {
    const int pairs = width / 2, half_width = (width + 1) / 2;
    for (int plane = 0; plane < count; plane++, planes += (ptrdiff_t)height * width) {
        for (int y = 0; y < height; y += 2, halved += half_width) {
            const float *first = planes + (ptrdiff_t)y * width;
            const float *second = y + 1 < height ? first + width : first;
            EACH for (int x = 0; x < pairs; x++)
                halved[x] = 0.5f * (0.5f * (first[2 * x] + first[2 * x + 1]) +
                                    0.5f * (second[2 * x] + second[2 * x + 1]));
            if (pairs < half_width)
                halved[pairs] = 0.5f * (first[width - 1] + second[width - 1]);
        }
    }
}

/* ---- from pixels ---- */

#define HALF 128 /* reduced pixels of a row at a time: what is kept of them stays in the cache */
#define SPAN (2 * HALF + 2 * REACH + 4) /* pixels that they are made of, and room */

/* Whole numbers add exactly, and of uint8 more at a time: 256 times the largest value fits its SUM.
 * `sums` becomes the reduced pixels of a stretch, still interleaved, at every other pixel. */
#define DEFINE_REDUCE(NAME, TYPE, SUM, FULL)                                                      \
    static void NAME##_stretch(const TYPE *const rows[TAPS], int left, int count, int width,      \
                               SUM *restrict sums) {                                              \
        const int origin = 2 * left - REACH, end = 2 * (left + count) + 1;                        \
        const int first = origin < 0 ? 0 : origin, last = end < width ? end : width;              \
        SUM smooth[SPAN * CHANNELS];                                                              \
        SUM *restrict out = smooth + (first - origin) * CHANNELS;                                 \
        const TYPE *restrict a = rows[0] + (ptrdiff_t)first * CHANNELS;                           \
        const TYPE *restrict b = rows[1] + (ptrdiff_t)first * CHANNELS;                           \
        const TYPE *restrict c = rows[2] + (ptrdiff_t)first * CHANNELS;                           \
        const TYPE *restrict d = rows[3] + (ptrdiff_t)first * CHANNELS;                           \
        const TYPE *restrict e = rows[4] + (ptrdiff_t)first * CHANNELS;                           \
        EACH for (int i = 0; i < (last - first) * CHANNELS; i++)                                  \
            out[i] = (SUM)((SUM)(a[i] + e[i]) + 4 * (SUM)(b[i] + d[i]) + 6 * (SUM)c[i]);          \
        for (int x = origin; x < first; x++)                                                      \
            memcpy(smooth + (x - origin) * CHANNELS,                                              \
                   smooth + (mirror(x, width) - origin) * CHANNELS, CHANNELS * sizeof(SUM));      \
        for (int x = last; x < end; x++)                                                          \
            memcpy(smooth + (x - origin) * CHANNELS,                                              \
                   smooth + (mirror(x, width) - origin) * CHANNELS, CHANNELS * sizeof(SUM));      \
        EACH for (int i = 0; i < (2 * count - 1) * CHANNELS; i++) {                               \
            const SUM *at = smooth + i;                                                           \
            sums[i] = (SUM)((SUM)(at[0] + at[12]) + 4 * (SUM)(at[3] + at[9]) + 6 * at[6]);        \
        }                                                                                         \
    }                                                                                             \
                                                                                                  \
    /* Planes of the picture at half its size, rounded up, 0..1: R, G and B, or luma alone. */    \
    void NAME(const TYPE *pixels, ptrdiff_t row_pixels, int height, int width, int is_luma,       \
              float *restrict reduced) {                                                          \
        const int half_height = (height + 1) / 2, half_width = (width + 1) / 2;                   \
        const size_t area = (size_t)half_height * (size_t)half_width;                             \
        const float scale = 1.0f / (256.0f * (FULL));                                             \
        SUM sums[2 * HALF * CHANNELS];                                                            \
        for (int y = 0; y < half_height; y++) {                                                   \
            const TYPE *rows[TAPS];                                                               \
            for (int tap = 0; tap < TAPS; tap++)                                                  \
                rows[tap] = pixels + mirror(2 * y + tap - REACH, height) * row_pixels * CHANNELS; \
            for (int left = 0; left < half_width; left += HALF) {                                 \
                const int count = half_width - left < HALF ? half_width - left : HALF;            \
                NAME##_stretch(rows, left, count, width, sums);                                   \
                float *restrict red = reduced + (size_t)y * (size_t)half_width + left;            \
                float *restrict green = red + area, *restrict blue = green + area;                \
                if (is_luma) {                                                                    \
                    EACH for (int x = 0; x < count; x++) {                                        \
                        const SUM *at = sums + 2 * CHANNELS * x;                                  \
                        red[x] = scale * (LUMA_RED * (float)at[0] + LUMA_GREEN * (float)at[1] +   \
                                          LUMA_BLUE * (float)at[2]);                              \
                    }                                                                             \
                } else {                                                                          \
                    EACH for (int x = 0; x < count; x++) {                                        \
                        const SUM *at = sums + 2 * CHANNELS * x;                                  \
                        red[x] = scale * (float)at[0];                                            \
                        green[x] = scale * (float)at[1];                                          \
                        blue[x] = scale * (float)at[2];                                           \
                    }                                                                             \
                }                                                                                 \
            }                                                                                     \
        }                                                                                         \
    }

DEFINE_REDUCE(reduce_uint8, uint8_t, uint16_t, 255.0f)
DEFINE_REDUCE(reduce_uint16, uint16_t, uint32_t, 65535.0f)
