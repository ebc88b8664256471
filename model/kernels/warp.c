/* Samples a picture at the places to which a homography maps the pixels of a window.
 *
 * See model/warp.py for the definition. A pixel's value depends on its own place alone.
 */

#include <string.h>

#include "arithmetic.h"

#define TAPS 4        /* of the cubic kernel */
#define TAPS_BEFORE 1 /* of them before the place */
#define BLOCK 64      /* pixels of a row whose places and weights are found together */

typedef float Four __attribute__((vector_size(16)));
typedef uint8_t Bytes __attribute__((vector_size(4)));
typedef uint16_t Words __attribute__((vector_size(8)));

/* Places of the pixels of a block, whole and as the kernel's weights along either axis. */
typedef struct {
    int32_t column[BLOCK], row[BLOCK];
    float across[TAPS][BLOCK], down[TAPS][BLOCK];
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
}

static inline Four spread(float value) { return (Four){value, value, value, value}; }

#define DEFINE_WARP(NAME, TYPE, TYPES, RESULT, WRITE)                                              \
    static inline Four NAME##_take(const TYPE *from) {                                            \
        TYPES taken;                                                                              \
        memcpy(&taken, from, sizeof taken);                                                       \
        return __builtin_convertvector(taken, Four);                                              \
    }                                                                                             \
                                                                                                  \
    /* One pixel: four taps of a row are R, G, B, R; G, B, R, G; B, R, G, B. */                   \
    static inline void NAME##_sample(const TYPE *picture, int height, int width,                  \
                                     ptrdiff_t row_pixels, const Places *places, int i,           \
                                     RESULT *restrict pixel) {                                    \
        const int first = places->column[i] - TAPS_BEFORE, top = places->row[i] - TAPS_BEFORE;    \
        const int is_inside = first >= 0 && first + TAPS <= width;                                \
        Four sums[CHANNELS] = {spread(0.0f), spread(0.0f), spread(0.0f)};                         \
        for (int tap = 0; tap < TAPS; tap++) {                                                    \
            const TYPE *line = picture + clamp_index(top + tap, height) * row_pixels * CHANNELS;  \
            TYPE edge[TAPS * CHANNELS];                                                           \
            const TYPE *taps = line + (ptrdiff_t)first * CHANNELS;                                \
            if (!is_inside) {                                                                     \
                for (int one = 0; one < TAPS; one++) {                                            \
                    ptrdiff_t there = clamp_index(first + one, width);                            \
                    memcpy(edge + one * CHANNELS, line + there * CHANNELS,                        \
                           CHANNELS * sizeof(TYPE));                                              \
                }                                                                                 \
                taps = edge;                                                                      \
            }                                                                                     \
            const Four weight = spread(places->down[tap][i]);                                     \
            for (int part = 0; part < CHANNELS; part++)                                           \
                sums[part] += weight * NAME##_take(taps + part * TAPS);                           \
        }                                                                                         \
        const float w0 = places->across[0][i], w1 = places->across[1][i];                         \
        const float w2 = places->across[2][i], w3 = places->across[3][i];                         \
        const Four a = sums[0] * (Four){w0, w0, w0, w1};                                          \
        const Four b = sums[1] * (Four){w1, w1, w2, w2};                                          \
        const Four c = sums[2] * (Four){w2, w3, w3, w3};                                          \
        const float red = (a[0] + a[3]) + (b[2] + c[1]);                                          \
        const float green = (a[1] + b[0]) + (b[3] + c[2]);                                        \
        const float blue = (a[2] + b[1]) + (c[0] + c[3]);                                         \
        pixel[0] = WRITE(red);                                                                    \
        pixel[1] = WRITE(green);                                                                  \
        pixel[2] = WRITE(blue);                                                                   \
    }                                                                                             \
                                                                                                  \
    /* A window, from (left, top) on. map: its pixels to places of the picture, row by row. */    \
    void NAME(const TYPE *picture, int picture_height, int picture_width, ptrdiff_t row_pixels,   \
              const double map[9], int top, int left, int height, int width,                      \
              RESULT *restrict pixels) {                                                          \
        Places places;                                                                            \
        for (int row = top; row < top + height; row++) {                                          \
            for (int start = 0; start < width; start += BLOCK) {                                  \
                const int count = width - start < BLOCK ? width - start : BLOCK;                  \
                find_places(map, left + start, row, picture_height, picture_width, count,         \
                            &places);                                                             \
                for (int i = 0; i < count; i++) {                                                 \
                    NAME##_sample(picture, picture_height, picture_width, row_pixels, &places, i, \
                                  pixels);                                                        \
                    pixels += CHANNELS;                                                           \
                }                                                                                 \
            }                                                                                     \
        }                                                                                         \
    }

#define AS_BYTE(value) ((uint8_t)(int32_t)round_even(clamp(value, 0.0f, 255.0f)))
#define AS_WORD(value) ((uint16_t)(int32_t)round_even(clamp(value, 0.0f, 65535.0f)))
#define AS_BYTES_FLOAT(value) clamp(value, 0.0f, 255.0f)
#define AS_WORDS_FLOAT(value) clamp(value, 0.0f, 65535.0f)

DEFINE_WARP(warp_uint8, uint8_t, Bytes, uint8_t, AS_BYTE)
DEFINE_WARP(warp_uint16, uint16_t, Words, uint16_t, AS_WORD)
/* Not rounded, on the scale of the pixels. */
DEFINE_WARP(warp_float_uint8, uint8_t, Bytes, float, AS_BYTES_FLOAT)
DEFINE_WARP(warp_float_uint16, uint16_t, Words, float, AS_WORDS_FLOAT)
