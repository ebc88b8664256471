/* AREA: small pictures whose pixels are the means of areas of a large one.
 *
 * Weights are those of OpenCV's INTER_AREA. Rows are added up first, whole ones at a time, and only
 * the sums are narrowed; a picture is read once, and nothing of its size is written.
 *
 * model/ghosts/kernels.py checks sizes and types, and calls.
 */

#include "arithmetic.h"

#define MAGIC 12582912.0f /* rounds what is added to it to whole numbers, half to even */

typedef float Four __attribute__((vector_size(16), aligned(4)));
typedef int32_t FourWhole __attribute__((vector_size(16)));

/* The pixels along one side that a small pixel covers, and how far each. */
typedef struct {
    int first, count;
    float *weights;
} Cover;

/* weights: has room for ceil(ratio) + 2. */
static Cover cover(int index, int length, int small, float *weights) {
    const double ratio = (double)length / (double)small, from = index * ratio, to = from + ratio;
    const double whole = ratio < length - from ? ratio : length - from;
    int first = (int)__builtin_ceil(from), last = (int)__builtin_floor(to);
    last = last < length - 1 ? last : length - 1;
    first = first < last ? first : last;
    Cover found = {first, 0, weights};
    if (first - from > 1e-3) {
        found.first--;
        weights[found.count++] = (float)((first - from) / whole);
    }
    for (int i = first; i < last; i++) weights[found.count++] = (float)(1.0 / whole);
    if (to - last > 1e-3) {
        double part = to - last < 1.0 ? to - last : 1.0;
        part = part < whole ? part : whole;
        weights[found.count++] = (float)(part / whole);
    }
    return found;
}

static int count_taps(int length, int small) { return length / small + 3; }

/* Floats that reduce_area needs: sums of a row, a halved row, and weights of all columns. */
size_t count_area_scratch(int width, int small_height, int small_width, int height) {
    const size_t columns = (size_t)small_width * (size_t)(count_taps(width, small_width) + 2);
    return 2 * ((size_t)width * CHANNELS + 4) + columns + (size_t)count_taps(height, small_height);
}

static void narrow(const float *sums, const int *firsts, const int *counts, const float *weights,
                   int taps, int small_width, float scale, uint8_t *restrict out) {
    for (int x = 0; x < small_width; x++, weights += taps) {
        const float *from = sums + (ptrdiff_t)firsts[x] * CHANNELS;
        Four sum = {0.0f};
        for (int tap = 0; tap < counts[x]; tap++, from += CHANNELS)
            sum += weights[tap] * *(const Four *)from;
        /* Means are levels of the picture first; weights may add up to a little more than 1. */
        sum = ((sum + MAGIC) - MAGIC) * scale;
        sum = (sum + MAGIC) - MAGIC;
        const FourWhole levels = __builtin_convertvector(sum, FourWhole);
        for (int c = 0; c < CHANNELS; c++) *out++ = (uint8_t)(levels[c] < 255 ? levels[c] : 255);
    }
}

/* Rows of the large picture, or of one whose pixels are the means of two by two of it, as OpenCV
 * rounds them. scale: brings levels to those of uint8. */
#define DEFINE_AREA(NAME, TYPE, SUM)                                                              \
    static void NAME##_halve(const TYPE *restrict a, const TYPE *restrict b, int half_width,      \
                             TYPE *restrict out) {                                                \
        EACH for (int x = 0; x < half_width; x++)                                                 \
            for (int c = 0; c < CHANNELS; c++) {                                                  \
                const int i = 2 * CHANNELS * x + c, j = i + CHANNELS;                             \
                out[CHANNELS * x + c] = (TYPE)((SUM)((SUM)a[i] + a[j] + b[i] + b[j] + 2) >> 2);   \
            }                                                                                     \
    }                                                                                             \
                                                                                                  \
    void NAME(const TYPE *pixels, ptrdiff_t row_pixels, int height, int width, int is_halved,     \
              int small_height, int small_width, float scale, uint8_t *restrict out,              \
              float *restrict scratch) {                                                          \
        const int rows = is_halved ? height / 2 : height, wide = is_halved ? width / 2 : width;   \
        const int taps = count_taps(wide, small_width), samples = wide * CHANNELS;                \
        const ptrdiff_t step = row_pixels * CHANNELS;                                             \
        float *restrict sums = scratch, *columns = scratch + 2 * ((ptrdiff_t)width * CHANNELS + 4); \
        TYPE *halved = (TYPE *)(scratch + (ptrdiff_t)width * CHANNELS + 4);                       \
        int *firsts = (int *)(columns + (ptrdiff_t)taps * small_width);                           \
        int *counts = firsts + small_width, last = -1;                                            \
        float *heights = (float *)(counts + small_width);                                         \
        for (int x = 0; x < small_width; x++) {                                                   \
            const Cover found = cover(x, wide, small_width, columns + (ptrdiff_t)x * taps);       \
            firsts[x] = found.first, counts[x] = found.count;                                     \
        }                                                                                         \
        memset(sums, 0, ((size_t)samples + 4) * sizeof *sums);                                    \
        for (int y = 0; y < small_height; y++, out += (ptrdiff_t)small_width * CHANNELS) {        \
            const Cover covered = cover(y, rows, small_height, heights);                          \
            for (int tap = 0; tap < covered.count; tap++) {                                       \
                const int at = covered.first + tap;                                               \
                const TYPE *restrict row = halved;                                                \
                if (!is_halved) row = pixels + at * step;                                         \
                else if (at != last)                                                              \
                    NAME##_halve(pixels + 2 * at * step, pixels + (2 * at + 1) * step, wide,      \
                                 halved);                                                         \
                last = at;                                                                        \
                const float weight = covered.weights[tap];                                        \
                if (tap == 0) {                                                                   \
                    EACH for (int i = 0; i < samples; i++) sums[i] = weight * (float)row[i];      \
                } else {                                                                          \
                    EACH for (int i = 0; i < samples; i++) sums[i] += weight * (float)row[i];     \
                }                                                                                 \
            }                                                                                     \
            narrow(sums, firsts, counts, columns, taps, small_width, scale, out);                 \
        }                                                                                         \
    }

DEFINE_AREA(area_uint8, uint8_t, uint16_t)
DEFINE_AREA(area_uint16, uint16_t, uint32_t)
