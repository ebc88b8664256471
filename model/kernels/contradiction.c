/* CONTRADICTION: what an exposure is expected to show, and how far it contradicts that.
 *
 * See model/ghosts/consistency.py for the definition; it holds the numbers too. A picture goes by
 * row by row, so that what a row needs stays in the first cache. Levels are whole numbers and equal
 * those of OpenCV's operations to the bit; scores do but for float rounding.
 *
 * model/ghosts/kernels.py checks sizes and types, and calls.
 */

#include "arithmetic.h"

#define SIGNALS 4 /* of a pixel: luma, and how far each channel lies off it */
#define PAD 8     /* room on either side of a row for what a neighbour shows there */

/* An exposure and what is expected of it: R, G and B, one plane behind the other. */
typedef struct {
    int height, width, is_brighter;
    const uint8_t *exposure, *levels, *least, *most;
    const uint8_t *spread, *trust; /* one plane each */
} Comparison;

/* What differs without contradicting. */
typedef struct {
    int scales, least_side;
    float luma[CHANNELS];
    float spread, floor; /* levels tolerated: of a unit of the spread, and in any case */
    float luma_of_colour, hue_of_colour, hue_weight;
} Tolerance;

/* ---- what is expected ---- */

/* The luma of a pixel as OpenCV rounds it. */
INLINE int grey_of(int red, int green, int blue) {
    return (9798 * red + 19235 * green + 3735 * blue + 16384) >> 15;
}

INLINE uint8_t larger(uint8_t a, uint8_t b) { return a > b ? a : b; }

INLINE uint8_t smaller(uint8_t a, uint8_t b) { return a < b ? a : b; }

/* Look pixels up. tables: of each channel for every level the bytes expected, least, most, 0;
 * spreads by luma; trusts by the channel that says least. */
void expect_levels(const uint8_t *restrict source, int pixels, const uint32_t *restrict tables,
                   const uint8_t *restrict spreads, const uint8_t *restrict trusts, int is_brighter,
                   uint8_t *restrict levels, uint8_t *restrict least, uint8_t *restrict most,
                   uint8_t *restrict spread, uint8_t *restrict trust) {
    for (ptrdiff_t i = 0; i < pixels; i++) {
        const uint8_t *pixel = source + i * CHANNELS;
        for (int c = 0; c < CHANNELS; c++) {
            const uint32_t found = tables[c * 256 + pixel[c]];
            const ptrdiff_t at = (ptrdiff_t)c * pixels + i;
            levels[at] = (uint8_t)found;
            least[at] = (uint8_t)(found >> 8);
            most[at] = (uint8_t)(found >> 16);
        }
        spread[i] = spreads[grey_of(pixel[0], pixel[1], pixel[2])];
        trust[i] = trusts[is_brighter ? smaller(smaller(pixel[0], pixel[1]), pixel[2])
                                      : larger(larger(pixel[0], pixel[1]), pixel[2])];
    }
}

/* Of every second pixel of every second row that is trusted, lumas of an exposure (x) and of what is
 * expected (y): how many, sums of x, y, x^2, y^2 and xy. */
void sum_trusted(const Comparison *given, int64_t sums[6]) {
    const ptrdiff_t plane = (ptrdiff_t)given->height * given->width;
    memset(sums, 0, 6 * sizeof *sums);
    for (int y = 0; y < given->height; y += 2) {
        for (int x = 0; x < given->width; x += 2) {
            const ptrdiff_t at = (ptrdiff_t)y * given->width + x;
            if (given->trust[at] <= 127) continue;
            const uint8_t *seen = given->exposure + at, *meant = given->levels + at;
            const int64_t a = grey_of(seen[0], seen[plane], seen[2 * plane]);
            const int64_t b = grey_of(meant[0], meant[plane], meant[2 * plane]);
            sums[0]++, sums[1] += a, sums[2] += b;
            sums[3] += a * a, sums[4] += b * b, sums[5] += a * b;
        }
    }
}

/* ---- how far it is left ---- */

/* What one scale needs beside its planes; each row has PAD values of room before it. */
typedef struct {
    float *signals[3][SIGNALS]; /* of the last three rows, in turns */
    float *sums[SIGNALS];
    float *weights;             /* of an enlarged row */
    int32_t *places;
    int16_t *differences[CHANNELS];
    uint8_t *extremes[4];
} Rows;

/* Half way, or a quarter of it, from a level to an extreme beside it; half to even. */
INLINE uint8_t approach(uint8_t level, uint8_t extreme, const int scale) {
    if (scale == 0) return extreme;
    const uint16_t sum = (uint16_t)(level * ((1 << scale) - 1) + extreme);
    return (uint8_t)((uint16_t)(sum + (1 << (scale - 1)) - 1 + ((sum >> scale) & 1)) >> scale);
}

/* Levels by which one lies above another. */
INLINE uint8_t above(uint8_t a, uint8_t b) { return __builtin_elementwise_sub_sat(a, b); }

/* As much of a difference as a byte says, rounded. */
INLINE uint8_t share(uint8_t difference, uint8_t byte) {
    const uint16_t product = (uint16_t)(difference * byte + 128);
    return (uint8_t)((uint16_t)(product + (product >> 8)) >> 8);
}

/* The least and the largest of three rows, repeated once at either end; either may be no one's. */
static void find_extremes(const uint8_t *plane, int y, int height, int width, uint8_t *restrict low,
                          uint8_t *restrict high) {
    const uint8_t *restrict a = plane + (ptrdiff_t)clamp_index(y - 1, height) * width;
    const uint8_t *restrict b = plane + (ptrdiff_t)y * width;
    const uint8_t *restrict c = plane + (ptrdiff_t)clamp_index(y + 1, height) * width;
    if (low) {
        EACH for (int x = 0; x < width; x++) low[x] = smaller(smaller(a[x], b[x]), c[x]);
        low[-1] = low[0], low[width] = low[width - 1];
    }
    if (high) {
        EACH for (int x = 0; x < width; x++) high[x] = larger(larger(a[x], b[x]), c[x]);
        high[-1] = high[0], high[width] = high[width - 1];
    }
}

INLINE uint8_t lowest(const uint8_t *at) { return smaller(smaller(at[-1], at[0]), at[1]); }

INLINE uint8_t highest(const uint8_t *at) { return larger(larger(at[-1], at[0]), at[1]); }

/* Levels by which a channel of a row lies above, or below, what is expected around its pixels. */
INLINE void leave_range(const Comparison *given, int channel, int y, const Rows *rows,
                        const int scale, const int is_brighter) {
    const int height = given->height, width = given->width;
    const ptrdiff_t plane = (ptrdiff_t)channel * height * width, row = (ptrdiff_t)y * width;
    uint8_t *restrict low = rows->extremes[0], *restrict high = rows->extremes[1];
    uint8_t *restrict own_low = rows->extremes[2], *restrict own_high = rows->extremes[3];
    find_extremes(given->least + plane, y, height, width, low, NULL);
    find_extremes(given->most + plane, y, height, width, NULL, high);
    find_extremes(given->exposure + plane, y, height, width, own_low, own_high);
    const uint8_t *restrict exposure = given->exposure + plane + row;
    const uint8_t *restrict least = given->least + plane + row;
    const uint8_t *restrict most = given->most + plane + row;
    const uint8_t *restrict trust = given->trust + row;
    int16_t *restrict out = rows->differences[channel];
    EACH for (int x = 0; x < width; x++) {
        const uint8_t own = exposure[x], from = least[x], to = most[x];
        uint8_t over = smaller(above(own, approach(to, highest(high + x), scale)),
                               above(approach(own, lowest(own_low + x), scale), to));
        uint8_t under = smaller(above(approach(from, lowest(low + x), scale), own),
                                above(from, approach(own, highest(own_high + x), scale)));
        /* Without trust one side is free: what is clipped may be as bright as it likes. */
        if (is_brighter) under = share(under, trust[x]);
        else over = share(over, trust[x]);
        out[x] = (int16_t)(over - under);
    }
}

INLINE float root(float value) { return __builtin_elementwise_sqrt(value); }

INLINE int away(int a, int b) { return a > b ? a - b : b - a; }

/* The signals of a row, in units of what is tolerated. */
static void signal_row(const Comparison *given, const Tolerance *tolerance, int y, int scale,
                       const Rows *rows, float *const signals[SIGNALS]) {
    for (int c = 0; c < CHANNELS; c++) {
        if (given->is_brighter) {
            if (scale == 0) leave_range(given, c, y, rows, 0, 1);
            else if (scale == 1) leave_range(given, c, y, rows, 1, 1);
            else leave_range(given, c, y, rows, scale, 1);
        } else {
            if (scale == 0) leave_range(given, c, y, rows, 0, 0);
            else if (scale == 1) leave_range(given, c, y, rows, 1, 0);
            else leave_range(given, c, y, rows, scale, 0);
        }
    }
    const int width = given->width;
    const ptrdiff_t plane = (ptrdiff_t)given->height * width, row = (ptrdiff_t)y * width;
    const uint8_t *restrict red = given->levels + row, *restrict green = red + plane;
    const uint8_t *restrict blue = green + plane;
    const uint8_t *restrict spread = given->spread + row, *restrict trust = given->trust + row;
    const int16_t *restrict d0 = rows->differences[0], *restrict d1 = rows->differences[1];
    const int16_t *restrict d2 = rows->differences[2];
    float *restrict s0 = signals[0], *restrict s1 = signals[1], *restrict s2 = signals[2];
    float *restrict s3 = signals[3];
    const Tolerance t = *tolerance;
    const float square = t.floor * t.floor;
    EACH for (int x = 0; x < width; x++) {
        const int r = red[x], g = green[x], b = blue[x], grey = grey_of(r, g, b);
        int far = away(r, grey);
        far = away(g, grey) > far ? away(g, grey) : far;
        far = away(b, grey) > far ? away(b, grey) : far;
        const float colour = (float)far, units = t.spread * (float)spread[x];
        const float tolerated = root(units * units + square);
        const float luma = t.luma[2] * (float)d2[x] +
                           (t.luma[1] * (float)d1[x] + t.luma[0] * (float)d0[x]);
        const float weight =
            t.hue_weight * (float)trust[x] / (t.hue_of_colour * colour + tolerated);
        s0[x] = luma / (t.luma_of_colour * colour + tolerated);
        s1[x] = ((float)d0[x] - luma) * weight;
        s2[x] = ((float)d1[x] - luma) * weight;
        s3[x] = ((float)d2[x] - luma) * weight;
    }
}

INLINE float size_of(const float *at) {
    return __builtin_fabsf(at[-1] + at[0] + at[1]) * (1.0f / 9.0f);
}

INLINE float greater(float a, float b) { return a > b ? a : b; }

/* The largest size of the means of 3 x 3 pixels of all signals. */
static void blur_row(float *const *const three[3], int width, const Rows *rows,
                     float *restrict score) {
    for (int s = 0; s < SIGNALS; s++) {
        const float *restrict a = three[0][s], *restrict b = three[1][s];
        const float *restrict c = three[2][s];
        float *restrict sum = rows->sums[s];
        EACH for (int x = 0; x < width; x++) sum[x] = a[x] + b[x] + c[x];
        sum[-1] = sum[mirror(-1, width)], sum[width] = sum[mirror(width, width)];
    }
    const float *restrict v0 = rows->sums[0], *restrict v1 = rows->sums[1];
    const float *restrict v2 = rows->sums[2], *restrict v3 = rows->sums[3];
    EACH for (int x = 0; x < width; x++)
        score[x] = greater(greater(size_of(v0 + x), size_of(v1 + x)),
                           greater(size_of(v2 + x), size_of(v3 + x)));
}

static void score_scale(const Comparison *given, const Tolerance *tolerance, int scale,
                        const Rows *rows, float *score) {
    const int height = given->height, width = given->width;
    signal_row(given, tolerance, 0, scale, rows, rows->signals[0]);
    for (int y = 0; y < height; y++) {
        if (y + 1 < height)
            signal_row(given, tolerance, y + 1, scale, rows, rows->signals[(y + 1) % 3]);
        float *const *const three[3] = {rows->signals[mirror(y - 1, height) % 3],
                                        rows->signals[y % 3],
                                        rows->signals[mirror(y + 1, height) % 3]};
        blur_row(three, width, rows, score + (ptrdiff_t)y * width);
    }
}

/* ---- from scale to scale ---- */

/* Means of two by two levels of some planes, half up; an odd last row or column is left out. */
static void halve_planes(const uint8_t *planes, int count, int height, int width,
                         uint8_t *restrict halved) {
    const int half_height = height / 2, half_width = width / 2;
    for (int plane = 0; plane < count; plane++) {
        for (int y = 0; y < half_height; y++) {
            const uint8_t *restrict a = planes + ((ptrdiff_t)plane * height + 2 * y) * width;
            const uint8_t *restrict b = a + width;
            EACH for (int x = 0; x < half_width; x++)
                halved[x] =
                    (uint8_t)((a[2 * x] + a[2 * x + 1] + b[2 * x] + b[2 * x + 1] + 2) >> 2);
            halved += half_width;
        }
    }
}

/* Where a pixel of an enlarged line lies between two of the smaller one, and how far on. */
static void place_line(int length, int small, int at, int32_t *place, float *weight) {
    const double scale = (double)small / (double)length;
    float where = (float)(((double)at + 0.5) * scale - 0.5);
    int first = (int)__builtin_floorf(where);
    where -= (float)first;
    if (first < 0) first = 0, where = 0.0f;
    if (first >= small - 1) first = small - 1, where = 0.0f;
    *place = first, *weight = where;
}

/* Raise a score to a smaller one, linear in between. */
static void raise_to(float *score, int height, int width, const float *coarse, int small_height,
                     int small_width, const Rows *rows) {
    for (int x = 0; x < width; x++)
        place_line(width, small_width, x, rows->places + x, rows->weights + x);
    float *restrict line = rows->sums[0];
    const int32_t *restrict places = rows->places;
    const float *restrict weights = rows->weights;
    for (int y = 0; y < height; y++) {
        int32_t place;
        float way;
        place_line(height, small_height, y, &place, &way);
        const float *restrict one = coarse + (ptrdiff_t)place * small_width;
        const float *restrict two =
            coarse + (ptrdiff_t)clamp_index(place + 1, small_height) * small_width;
        EACH for (int x = 0; x < small_width; x++) line[x] = one[x] + (two[x] - one[x]) * way;
        line[small_width] = line[small_width - 1];
        float *restrict out = score + (ptrdiff_t)y * width;
        EACH for (int x = 0; x < width; x++) {
            const float before = line[places[x]], after = line[places[x] + 1];
            out[x] = greater(out[x], before + (after - before) * weights[x]);
        }
    }
}

static size_t padded(int width) { return (size_t)(width + 2 * PAD + 7) / 8 * 8; }

/* Bytes of the rows: seldom more than the first cache holds. */
static size_t count_rows(int width) {
    return ((3 * SIGNALS + SIGNALS + 2) * sizeof(float) + CHANNELS * sizeof(int16_t) + 4) *
           padded(width);
}

/* Bytes of the planes of a coarser scale. */
static size_t count_planes(size_t area) { return (4 * CHANNELS + 2) * area; }

/* Bytes that score_contradiction needs. */
size_t count_contradiction_scratch(int height, int width) {
    const size_t half = (size_t)(height / 2) * (size_t)(width / 2);
    return count_rows(width) + sizeof(float) * half + 2 * count_planes(half);
}

static Rows lay_rows(int width, uint8_t *scratch) {
    Rows rows;
    const size_t step = padded(width);
    float *floats = (float *)scratch + PAD;
    for (int row = 0; row < 3; row++)
        for (int s = 0; s < SIGNALS; s++, floats += step) rows.signals[row][s] = floats;
    for (int s = 0; s < SIGNALS; s++, floats += step) rows.sums[s] = floats;
    rows.weights = floats, floats += step;
    rows.places = (int32_t *)floats, floats += step;
    int16_t *words = (int16_t *)(floats - PAD) + PAD;
    for (int c = 0; c < CHANNELS; c++, words += step) rows.differences[c] = words;
    uint8_t *bytes = (uint8_t *)(words - PAD) + PAD;
    for (int i = 0; i < 4; i++, bytes += step) rows.extremes[i] = bytes;
    return rows;
}

/* A comparison at half its size, which lies in `planes`. */
static Comparison halve_comparison(const Comparison *given, uint8_t *planes) {
    const int height = given->height, width = given->width;
    const size_t area = (size_t)(height / 2) * (size_t)(width / 2);
    const uint8_t *const all[] = {given->exposure, given->levels, given->least, given->most};
    uint8_t *halved[4];
    for (int i = 0; i < 4; i++, planes += CHANNELS * area)
        halve_planes(all[i], CHANNELS, height, width, halved[i] = planes);
    halve_planes(given->spread, 1, height, width, planes);
    halve_planes(given->trust, 1, height, width, planes + area);
    return (Comparison){height / 2, width / 2, given->is_brighter, halved[0], halved[1],
                        halved[2], halved[3], planes, planes + area};
}

/* The largest score of all scales. scratch: see count_contradiction_scratch; aligned to floats. */
void score_contradiction(const Comparison *given, const Tolerance *tolerance, float *score,
                         uint8_t *scratch) {
    const int height = given->height, width = given->width;
    const Rows rows = lay_rows(width, scratch);
    const size_t half = (size_t)(height / 2) * (size_t)(width / 2);
    float *coarse = (float *)(scratch + count_rows(width));
    uint8_t *planes = scratch + count_rows(width) + sizeof(float) * half;
    score_scale(given, tolerance, 0, &rows, score);
    Comparison now = *given;
    for (int scale = 1; scale < tolerance->scales; scale++) {
        if ((now.height < now.width ? now.height : now.width) < 2 * tolerance->least_side) return;
        /* The finer of two scales lies in the other half of the room. */
        now = halve_comparison(&now, planes + (size_t)(scale % 2) * count_planes(half));
        score_scale(&now, tolerance, scale, &rows, coarse);
        raise_to(score, height, width, coarse, now.height, now.width, &rows);
    }
}
