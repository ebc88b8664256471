/* Samples a picture at the places to which a homography maps the pixels of a window.
 *
 * See model/warp.py for the definition. A pixel's value depends on its own place alone.
 */

#include <string.h>

#include "arithmetic.h"

#define TAPS 4        /* of the cubic kernel */
#define TAPS_BEFORE 1 /* of them before the place */
#define BLOCK 64      /* pixels of a row whose places and weights are found together */

#define READ 16       /* samples of a row that are read for the twelve of its taps */

typedef float Four __attribute__((vector_size(16), aligned(4)));
typedef float Sixteen __attribute__((vector_size(64), aligned(4)));
typedef int32_t SixteenWhole __attribute__((vector_size(64)));
typedef uint8_t Bytes __attribute__((vector_size(READ), aligned(1)));
typedef uint16_t Words __attribute__((vector_size(2 * READ), aligned(2)));

/* Places of the pixels of a block, whole and as the kernel's weights along either axis. */
typedef struct {
    int32_t column[BLOCK], row[BLOCK];
    float across[TAPS][BLOCK], down[TAPS][BLOCK];
    Four columns[BLOCK];   /* the weights across, pixel by pixel */
    ptrdiff_t first[BLOCK]; /* where the taps of a pixel begin, in samples from the picture's start */
} Places;

/* One coordinate of a block: its whole part, and Keys' kernel with a = -1/2 of the rest. */
static void weigh(const double *restrict at, double length, int count, int32_t *restrict whole,
                  float (*restrict weights)[BLOCK]) {
    EACH for (int i = 0; i < count; i++) {
        double place = at[i] < -TAPS ? -TAPS : at[i] > length + TAPS ? length + TAPS : at[i];
        const double before = __builtin_floor(place);
        const float t = (float)(place - before), t2 = t * t, t3 = t2 * t;
        whole[i] = (int32_t)before;
        weights[0][i] = -0.5f * (t3 - 2.0f * t2 + t);
        weights[1][i] = 1.5f * t3 - 2.5f * t2 + 1.0f;
        weights[2][i] = -1.5f * t3 + 2.0f * t2 + 0.5f * t;
        weights[3][i] = -0.5f * (t2 - t3);
    }
}

/* The weights of four pixels at a time, from tap by tap to pixel by pixel. */
static void gather(const float (*weights)[BLOCK], int count, Four *restrict pixels) {
    for (int i = 0; i < count; i += 4) {
        const Four a = *(const Four *)(weights[0] + i), b = *(const Four *)(weights[1] + i);
        const Four c = *(const Four *)(weights[2] + i), d = *(const Four *)(weights[3] + i);
        const Four ab = __builtin_shufflevector(a, b, 0, 4, 1, 5);
        const Four cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
        const Four more_ab = __builtin_shufflevector(a, b, 2, 6, 3, 7);
        const Four more_cd = __builtin_shufflevector(c, d, 2, 6, 3, 7);
        pixels[i] = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
        pixels[i + 1] = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
        pixels[i + 2] = __builtin_shufflevector(more_ab, more_cd, 0, 1, 4, 5);
        pixels[i + 3] = __builtin_shufflevector(more_ab, more_cd, 2, 3, 6, 7);
    }
}

static void find_places(const double map[9], int left, int row, int height, int width, int count,
                        Places *places) {
    double x[BLOCK], y[BLOCK];
    const double across = map[1] * row + map[2], down = map[4] * row + map[5];
    const double depth = map[7] * row + map[8];
    EACH for (int i = 0; i < count; i++) {
        const double column = left + i, one = 1.0 / (map[6] * column + depth);
        x[i] = (map[0] * column + across) * one;
        y[i] = (map[3] * column + down) * one;
    }
    weigh(x, width, count, places->column, places->across);
    weigh(y, height, count, places->row, places->down);
    gather((const float(*)[BLOCK])places->across, count, places->columns);
}

/* R, G, B of the four taps of a row, weighted; the fourth value means nothing. */
static inline Four add_taps(Sixteen taps, Four across) {
    const Sixteen weights = __builtin_shufflevector(across, across, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3,
                                                    3, 0, 0, 0, 0);
    const Sixteen all = taps * weights;
    const Four first = __builtin_shufflevector(all, all, 0, 1, 2, 3);
    const Four second = __builtin_shufflevector(all, all, 3, 4, 5, 6);
    const Four third = __builtin_shufflevector(all, all, 6, 7, 8, 9);
    const Four fourth = __builtin_shufflevector(all, all, 9, 10, 11, 12);
    return (first + second) + (third + fourth);
}

/* Whether all taps of a block lie in the picture, and what is read behind them too. */
static int find_inside(Places *places, int height, int width, ptrdiff_t row_pixels, int count) {
    int32_t left = width, right = 0, top = height, bottom = 0;
    EACH for (int i = 0; i < count; i++) {
        const int32_t column = places->column[i] - TAPS_BEFORE, row = places->row[i] - TAPS_BEFORE;
        left = column < left ? column : left, right = column > right ? column : right;
        top = row < top ? row : top, bottom = row > bottom ? row : bottom;
        places->first[i] = ((ptrdiff_t)row * row_pixels + column) * CHANNELS;
    }
    return left >= 0 && top >= 0 && CHANNELS * right + READ <= CHANNELS * width &&
           bottom + TAPS <= height;
}

static inline Sixteen within(Sixteen values, float full) {
    const Sixteen none = {0.0f}, most = none + full;
    return __builtin_elementwise_min(__builtin_elementwise_max(values, none), most);
}

/* To the nearest whole number, half to even. */
static inline SixteenWhole round_all(Sixteen values) {
    return __builtin_convertvector((values + 12582912.0f) - 12582912.0f, SixteenWhole);
}

/* R, G, B of four pixels, each with a fourth value that is dropped. */
#define JOIN(values)                                                                              \
    __builtin_shufflevector(values, values, 0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1)

#define DEFINE_WARP(NAME, TYPE, TYPES, FULL, RESULT, RESULTS, NARROW)                             \
    /* One pixel of a block that lies in the picture. */                                          \
    static inline Four NAME##_inside(const TYPE *picture, ptrdiff_t row_samples,                  \
                                     const Places *places, int i) {                               \
        const TYPE *taps = picture + places->first[i];                                            \
        Sixteen sum = {0.0f};                                                                     \
        for (int tap = 0; tap < TAPS; tap++, taps += row_samples)                                 \
            sum += places->down[tap][i] * __builtin_convertvector(*(const TYPES *)taps, Sixteen); \
        return add_taps(sum, places->columns[i]);                                                 \
    }                                                                                             \
                                                                                                  \
    /* One pixel of a block that does not: the edge is repeated. */                               \
    static Four NAME##_beyond(const TYPE *picture, int height, int width, ptrdiff_t row_pixels,   \
                              const Places *places, int i) {                                      \
        const int first = places->column[i] - TAPS_BEFORE, top = places->row[i] - TAPS_BEFORE;    \
        Sixteen sum = {0.0f};                                                                     \
        for (int tap = 0; tap < TAPS; tap++) {                                                    \
            const TYPE *line = picture + clamp_index(top + tap, height) * row_pixels * CHANNELS;  \
            TYPE taps[READ] = {0};                                                                \
            for (int one = 0; one < TAPS; one++)                                                  \
                memcpy(taps + one * CHANNELS,                                                     \
                       line + (ptrdiff_t)clamp_index(first + one, width) * CHANNELS,              \
                       CHANNELS * sizeof(TYPE));                                                  \
            sum += places->down[tap][i] * __builtin_convertvector(*(const TYPES *)taps, Sixteen); \
        }                                                                                         \
        return add_taps(sum, places->columns[i]);                                                 \
    }                                                                                             \
                                                                                                  \
    /* A window, from (left, top) on. map: its pixels to places of the picture, row by row. */    \
    void NAME(const TYPE *picture, int picture_height, int picture_width, ptrdiff_t row_pixels,   \
              const double map[9], int top, int left, int height, int width,                      \
              RESULT *restrict pixels) {                                                          \
        Places places;                                                                            \
        memset(&places, 0, sizeof places);                                                        \
        Four sampled[BLOCK] = {{0.0f}};                                                           \
        RESULT block[CHANNELS * BLOCK + 4];                                                       \
        for (int row = top; row < top + height; row++) {                                          \
            for (int start = 0; start < width; start += BLOCK) {                                  \
                const int count = width - start < BLOCK ? width - start : BLOCK;                  \
                find_places(map, left + start, row, picture_height, picture_width, count,         \
                            &places);                                                             \
                if (find_inside(&places, picture_height, picture_width, row_pixels, count))       \
                    for (int i = 0; i < count; i++)                                               \
                        sampled[i] = NAME##_inside(picture, row_pixels * CHANNELS, &places, i);   \
                else                                                                              \
                    for (int i = 0; i < count; i++)                                               \
                        sampled[i] = NAME##_beyond(picture, picture_height, picture_width,        \
                                                   row_pixels, &places, i);                       \
                for (int i = 0; i < count; i += 4) {                                              \
                    const Sixteen four = within(*(const Sixteen *)(sampled + i), FULL);           \
                    *(RESULTS *)(block + CHANNELS * i) = JOIN(NARROW(four, RESULTS));             \
                }                                                                                 \
                memcpy(pixels, block, (size_t)(CHANNELS * count) * sizeof(RESULT));               \
                pixels += CHANNELS * count;                                                       \
            }                                                                                     \
        }                                                                                         \
    }

#define TO_WHOLE(values, RESULTS) __builtin_convertvector(round_all(values), RESULTS)
#define AS_IT_IS(values, RESULTS) (values)

DEFINE_WARP(warp_uint8, uint8_t, Bytes, 255.0f, uint8_t, Bytes, TO_WHOLE)
DEFINE_WARP(warp_uint16, uint16_t, Words, 65535.0f, uint16_t, Words, TO_WHOLE)
/* Not rounded, on the scale of the pixels. */
DEFINE_WARP(warp_float_uint8, uint8_t, Bytes, 255.0f, float, Sixteen, AS_IT_IS)
DEFINE_WARP(warp_float_uint16, uint16_t, Words, 65535.0f, float, Sixteen, AS_IT_IS)
