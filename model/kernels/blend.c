/* The arithmetic of a blend on float planes, row by row, so that what a row needs stays in the cache.
 *
 * Planes lie one behind the other: exposures, then R, G, B, then rows. Borders are those of
 * model/blend/pyramid.py. Every function computes on the calling thread, keeps nothing, and writes
 * each value by the same operations wherever its pixel lies in the array.
 *
 * model/blend/kernels.py checks sizes and types, and calls.
 */

#include "arithmetic.h"

#define TAPS 5  /* of the binomial 1 4 6 4 1 */
#define REACH 2 /* of it on either side */
#define TERMS 4 /* coefficients of an exposure's logit */

static const float LUMA[CHANNELS] = {0.298936f, 0.587043f, 0.114021f};
static const float SALIENCY_FLOOR = 0.06f, FLOOR_SHARE = 0.2f;
static const float MAX_LOGIT = 60.0f;

typedef union {
    float value;
    int32_t bits;
} Word;

/* Index within 0..length - 1 that a mirror at the first and the last pixel shows. */
static int mirror(int index, int length) {
    if (length == 1) return 0;
    int period = 2 * length - 2;
    index = ((index % period) + period) % period;
    return index < length ? index : period - index;
}

/* e^x for |x| up to 87: x = n ln 2 + r, and Taylor's series of r up to its sixth power. */
static inline float exponential(float x) {
    float n = round_even(x * 1.44269504f);
    float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float series = 1.0f / 720.0f;
    series = series * r + 1.0f / 120.0f;
    series = series * r + 1.0f / 24.0f;
    series = series * r + 1.0f / 6.0f;
    series = series * r + 0.5f;
    series = series * r + 1.0f;
    series = series * r + 1.0f;
    Word power = {.bits = ((int32_t)n + 127) << 23};
    return series * power.value;
}

/* ln x of a positive normal x: x = 2^e m with m about 1, and ln m = 2 artanh((m - 1) / (m + 1)). */
static inline float logarithm(float x) {
    Word word = {.value = x};
    int32_t exponent = (word.bits - 0x3f3504f3) >> 23; /* of x over the root of 1/2 */
    word.bits -= exponent << 23;
    float s = (word.value - 1.0f) / (word.value + 1.0f);
    float square = s * s;
    float series = 1.0f / 9.0f;
    series = series * square + 1.0f / 7.0f;
    series = series * square + 1.0f / 5.0f;
    series = series * square + 1.0f / 3.0f;
    series = series * square + 1.0f;
    return (float)exponent * 0.693147181f + 2.0f * s * series;
}

/* ---- reading pixels ---- */

#define DEFINE_LOAD(NAME, TYPE, FULL)                                                             \
    /* Interleaved R, G, B to planes, 0..1. */                                                    \
    void NAME(const TYPE *pixels, ptrdiff_t row_pixels, int height, int width,                    \
              float *restrict planes) {                                                           \
        const size_t area = (size_t)height * (size_t)width;                                       \
        const float scale = 1.0f / (FULL);                                                        \
        for (int y = 0; y < height; y++) {                                                        \
            const TYPE *restrict row = pixels + y * row_pixels * CHANNELS;                        \
            float *restrict red = planes + (size_t)y * (size_t)width;                             \
            float *restrict green = red + area, *restrict blue = green + area;                    \
            EACH for (int x = 0; x < width; x++) {                                                \
                red[x] = scale * (float)row[CHANNELS * x];                                        \
                green[x] = scale * (float)row[CHANNELS * x + 1];                                  \
                blue[x] = scale * (float)row[CHANNELS * x + 2];                                   \
            }                                                                                     \
        }                                                                                         \
    }

DEFINE_LOAD(load_uint8, uint8_t, 255.0f)
DEFINE_LOAD(load_uint16, uint16_t, 65535.0f)

static inline float luma_of(float red, float green, float blue) {
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue;
}

#define DEFINE_LOAD_LUMA(NAME, TYPE, FULL)                                                        \
    /* Interleaved R, G, B to their luma, 0..1. */                                                \
    void NAME(const TYPE *pixels, ptrdiff_t row_pixels, int height, int width,                    \
              float *restrict lumas) {                                                            \
        const float scale = 1.0f / (FULL);                                                        \
        for (int y = 0; y < height; y++) {                                                        \
            const TYPE *restrict row = pixels + y * row_pixels * CHANNELS;                        \
            float *restrict luma = lumas + (size_t)y * (size_t)width;                             \
            EACH for (int x = 0; x < width; x++) {                                                \
                const TYPE *at = row + CHANNELS * x;                                              \
                luma[x] = scale * luma_of((float)at[0], (float)at[1], (float)at[2]);              \
            }                                                                                     \
        }                                                                                         \
    }

DEFINE_LOAD_LUMA(load_luma_uint8, uint8_t, 255.0f)
DEFINE_LOAD_LUMA(load_luma_uint16, uint16_t, 65535.0f)

/* ---- REDUCE ---- */

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

/* ---- one step of the collapse ---- */

typedef struct {
    int exposures, height, width;
    const float *fine;   /* lumas of the exposures at this level */
    const float *coarse; /* the same one level above */
    const float *fused;  /* the fused luma one level above */
    float *result;       /* what is fused at this level */
    const float *maps;   /* c_0 to c_3 of every exposure, and ln of the gain, at the network's level */
    int map_height, map_width;
    int times;      /* levels from the maps down to this one */
    int top, left;  /* where this level's array begins in the picture's level */
    float saliency; /* weight of the logarithm of local contrast; 0 leaves it out */
} Band;

typedef struct {
    int coarse_height, coarse_width, count; /* count: of maps */
    float *between;   /* a row of a coarse plane between its rows */
    float *bands;     /* TAPS rows of every exposure */
    float *contrasts; /* TAPS rows of every exposure, smoothed along the row */
    float *padded;    /* a row with REACH pixels more on either end */
    float *mean;      /* of the lumas of a row */
    float *low, *high; /* bounds of what is fused */
    float *sums;      /* of weighted bands, and of weights */
    float *logits;
    float *shares;    /* way of each pixel from a cell of the maps to the next */
    float *upper, *lower; /* rows of all maps at full width */
    float *steps;         /* from the upper to the lower */
    int rows_held[2];     /* of the maps: which the upper and the lower are */
    int32_t *cells, *next_cells;
} Work;

/* Floats that `add_band` needs as scratch. */
size_t count_scratch(int exposures, int width) {
    size_t k = (size_t)exposures, rows = 1; /* between */
    rows += TAPS * k + TAPS * k + 1;        /* bands, contrasts, padded */
    rows += 3 + 2 + 1 + 1;                  /* mean, low, high, sums, logits, shares */
    rows += 3 * (TERMS * k + 1) + 2;        /* upper, lower, steps, cells */
    return rows * ((size_t)width + 2 * REACH);
}

static void lay_out(Work *work, const Band *band, float *scratch) {
    const size_t k = (size_t)band->exposures, row = (size_t)band->width + 2 * REACH;
    work->coarse_height = (band->height + 1) / 2;
    work->coarse_width = (band->width + 1) / 2;
    work->count = TERMS * band->exposures + 1;
    work->between = scratch + REACH, scratch += row;
    work->bands = scratch, scratch += TAPS * k * row;
    work->contrasts = scratch, scratch += TAPS * k * row;
    work->padded = scratch + REACH, scratch += row;
    work->mean = scratch, scratch += row;
    work->low = scratch, scratch += row;
    work->high = scratch, scratch += row;
    work->sums = scratch, scratch += 2 * row;
    work->logits = scratch, scratch += row;
    work->shares = scratch, scratch += row;
    work->upper = scratch, scratch += (size_t)work->count * row;
    work->lower = scratch, scratch += (size_t)work->count * row;
    work->steps = scratch, scratch += (size_t)work->count * row;
    work->cells = (int32_t *)scratch, scratch += row;
    work->next_cells = (int32_t *)scratch;
    work->rows_held[0] = work->rows_held[1] = -1;
    /* Pixel x lies at (x + 1/2) / 2^times - 1/2 of the maps. */
    const float cell = 1.0f / (float)(1 << band->times);
    for (int x = 0; x < band->width; x++) {
        int whole = ((2 * (band->left + x) + 1) - (1 << band->times)) >> (band->times + 1);
        work->shares[x] = ((float)(band->left + x - whole * (1 << band->times)) + 0.5f) * cell - 0.5f;
        work->cells[x] = clamp_index(whole, band->map_width);
        work->next_cells[x] = clamp_index(whole + 1, band->map_width);
    }
}

/* EXPAND: one row of a coarse plane at twice its size. */
static void expand_row(const float *coarse, int y, const Work *work, float *restrict out) {
    const int length = work->coarse_width, i = y / 2;
    float *restrict v = work->between;
    const float *restrict here = coarse + (ptrdiff_t)i * length;
    const float *restrict after =
        coarse + (ptrdiff_t)clamp_index(i + 1, work->coarse_height) * length;
    if (y % 2) {
        EACH for (int x = 0; x < length; x++) v[x] = (here[x] + after[x]) * 0.5f;
    } else {
        const float *restrict before =
            coarse + (ptrdiff_t)mirror(i - 1, work->coarse_height) * length;
        EACH for (int x = 0; x < length; x++)
            v[x] = ((before[x] + after[x]) + 6.0f * here[x]) * 0.125f;
    }
    v[-1] = v[mirror(-1, length)];
    v[length] = v[length - 1];
    /* One pixel more than an odd width has; every row of the scratch has room for it. */
    EACH for (int x = 0; x < length; x++) {
        out[2 * x] = ((v[x - 1] + v[x + 1]) + 6.0f * v[x]) * 0.125f;
        out[2 * x + 1] = (v[x] + v[x + 1]) * 0.5f;
    }
}

/* Bands and their contrasts, smoothed along the row, of one row of every exposure. */
static void prepare_row(const Band *band, const Work *work, int y) {
    const int width = band->width;
    const size_t row = (size_t)width + 2 * REACH, k = (size_t)band->exposures;
    const ptrdiff_t area = (ptrdiff_t)band->height * width;
    const ptrdiff_t coarse_area = (ptrdiff_t)work->coarse_height * work->coarse_width;
    const size_t slot = (size_t)(y % TAPS) * k;
    for (size_t exposure = 0; exposure < k; exposure++) {
        float *restrict bands = work->bands + (slot + exposure) * row;
        expand_row(band->coarse + (ptrdiff_t)exposure * coarse_area, y, work, bands);
        const float *restrict luma =
            band->fine + (ptrdiff_t)exposure * area + (ptrdiff_t)y * width;
        float *restrict padded = work->padded;
        EACH for (int x = 0; x < width; x++) {
            bands[x] = luma[x] - bands[x];
            padded[x] = __builtin_fabsf(bands[x]) + SALIENCY_FLOOR;
        }
        if (band->saliency == 0.0f) continue;
        mirror_ends(padded, width);
        float *restrict contrast = work->contrasts + (slot + exposure) * row;
        EACH for (int x = 0; x < width; x++)
            contrast[x] = ((padded[x - 2] + padded[x + 2]) +
                           4.0f * (padded[x - 1] + padded[x + 1]) + 6.0f * padded[x]) *
                          (1.0f / 16.0f);
    }
}

/* One row of every map at full width. */
static void magnify_row(const Band *band, const Work *work, int map_row, float *rows) {
    const size_t row = (size_t)band->width + 2 * REACH;
    const int32_t *restrict first = work->cells, *restrict second = work->next_cells;
    const float *restrict share = work->shares;
    for (int map = 0; map < work->count; map++) {
        const float *restrict cells =
            band->maps + ((ptrdiff_t)map * band->map_height + map_row) * band->map_width;
        float *restrict out = rows + (size_t)map * row;
        EACH for (int x = 0; x < band->width; x++)
            out[x] = cells[first[x]] + share[x] * (cells[second[x]] - cells[first[x]]);
    }
}

/* Bring the rows of the maps above and below a row of the level, as a row and the step from it to
 * the next; the share of the step that this row lies down it is returned. */
static float bring_maps(const Band *band, Work *work, int y) {
    const int side = 1 << band->times;
    const int whole = ((2 * (band->top + y) + 1) - side) >> (band->times + 1);
    const int wanted[2] = {clamp_index(whole, band->map_height),
                           clamp_index(whole + 1, band->map_height)};
    if (work->rows_held[0] != wanted[0] || work->rows_held[1] != wanted[1]) {
        if (work->rows_held[1] == wanted[0]) {
            float *upper = work->upper;
            work->upper = work->lower, work->lower = upper;
        } else {
            magnify_row(band, work, wanted[0], work->upper);
        }
        magnify_row(band, work, wanted[1], work->lower);
        const float *restrict upper = work->upper, *restrict lower = work->lower;
        float *restrict steps = work->steps;
        const size_t row = (size_t)band->width + 2 * REACH;
        EACH for (size_t x = 0; x < (size_t)work->count * row; x++) steps[x] = lower[x] - upper[x];
        work->rows_held[0] = wanted[0], work->rows_held[1] = wanted[1];
    }
    return ((float)(band->top + y - whole * side) + 0.5f) / (float)side - 0.5f;
}

/* Mean of the lumas of a row, less 1/2, and the bounds of what is fused. */
static void span_lumas(const Band *band, const Work *work, int y) {
    const int width = band->width;
    const ptrdiff_t area = (ptrdiff_t)band->height * width;
    const float *restrict luma = band->fine + (ptrdiff_t)y * width;
    const float part = 1.0f / (float)band->exposures;
    float *restrict mean = work->mean, *restrict low = work->low, *restrict high = work->high;
    EACH for (int x = 0; x < width; x++) mean[x] = low[x] = high[x] = luma[x];
    for (int exposure = 1; exposure < band->exposures; exposure++) {
        luma += area;
        EACH for (int x = 0; x < width; x++) {
            mean[x] += luma[x];
            low[x] = luma[x] < low[x] ? luma[x] : low[x];
            high[x] = luma[x] > high[x] ? luma[x] : high[x];
        }
    }
    EACH for (int x = 0; x < width; x++) {
        low[x] += FLOOR_SHARE * (part * mean[x] - low[x]);
        mean[x] = part * mean[x] - 0.5f;
    }
}

/* Logits of one exposure in one row: c_0 + x (c_1 + c_2 x + c_3 m). */
static void evaluate(const Band *band, const Work *work, int exposure, int y, float way) {
    const size_t row = (size_t)band->width + 2 * REACH;
    const float *restrict c = work->upper + (size_t)(TERMS * exposure) * row;
    const float *restrict step = work->steps + (size_t)(TERMS * exposure) * row;
    const float *restrict luma =
        band->fine + ((ptrdiff_t)exposure * band->height + y) * band->width;
    const float *restrict mean = work->mean;
    float *restrict logits = work->logits;
    EACH for (int x = 0; x < band->width; x++) {
        float c0 = c[x] + way * step[x];
        float c1 = c[row + x] + way * step[row + x];
        float c2 = c[2 * row + x] + way * step[2 * row + x];
        float c3 = c[3 * row + x] + way * step[3 * row + x];
        float value = luma[x] - 0.5f;
        logits[x] = c0 + value * (c1 + c2 * value + c3 * mean[x]);
    }
}

/* Add the logarithm of local contrast, smoothed across the rows. */
static void add_contrast(const Band *band, const Work *work, int exposure, int y) {
    const int width = band->width;
    const size_t row = (size_t)width + 2 * REACH, k = (size_t)band->exposures;
    const float *restrict rows[TAPS];
    for (int tap = 0; tap < TAPS; tap++) {
        int there = mirror(y + tap - REACH, band->height);
        rows[tap] = work->contrasts + ((size_t)(there % TAPS) * k + (size_t)exposure) * row;
    }
    const float *restrict a = rows[0], *restrict b = rows[1], *restrict c = rows[2];
    const float *restrict d = rows[3], *restrict e = rows[4];
    float *restrict logits = work->logits;
    EACH for (int x = 0; x < width; x++) {
        float contrast = ((a[x] + e[x]) + 4.0f * (b[x] + d[x]) + 6.0f * c[x]) * (1.0f / 16.0f);
        logits[x] += band->saliency * logarithm(contrast);
    }
}

/* Add the band of one exposure, times its weight, to the sum, and the weight to theirs. */
static void accumulate(const Band *band, const Work *work, int exposure, int y) {
    const int width = band->width;
    const size_t row = (size_t)width + 2 * REACH, k = (size_t)band->exposures;
    const float *restrict logits = work->logits;
    const float *restrict bands = work->bands + ((size_t)(y % TAPS) * k + (size_t)exposure) * row;
    float *restrict sum = work->sums, *restrict total = sum + row;
    EACH for (int x = 0; x < width; x++) {
        float weight = exponential(clamp(logits[x], -MAX_LOGIT, MAX_LOGIT));
        sum[x] += weight * bands[x];
        total[x] += weight;
    }
}

/* Expand what is fused, add the blended band times its gain, and keep within the exposures. */
static void write_row(const Band *band, const Work *work, int y, float way) {
    const int width = band->width;
    const size_t row = (size_t)width + 2 * REACH;
    const float *restrict upper = work->upper + (size_t)(work->count - 1) * row;
    const float *restrict step = work->steps + (size_t)(work->count - 1) * row;
    const float *restrict sum = work->sums, *restrict total = sum + row;
    const float *restrict low = work->low, *restrict high = work->high;
    float *restrict expanded = work->padded;
    expand_row(band->fused, y, work, expanded);
    float *restrict out = band->result + (ptrdiff_t)y * width;
    EACH for (int x = 0; x < width; x++) {
        float gain = exponential(clamp(upper[x] + way * step[x], -MAX_LOGIT, MAX_LOGIT));
        out[x] = clamp(expanded[x] + gain * (sum[x] / total[x]), low[x], high[x]);
    }
}

/* One step of the collapse for a whole array: see BlendNetwork.add_band. */
void add_band(const Band *band, float *scratch) {
    Work work;
    lay_out(&work, band, scratch);
    const size_t row = (size_t)band->width + 2 * REACH;
    int prepared = 0;
    for (int y = 0; y < band->height; y++) {
        for (; prepared <= y + REACH && prepared < band->height; prepared++)
            prepare_row(band, &work, prepared);
        span_lumas(band, &work, y);
        float way = bring_maps(band, &work, y);
        float *restrict sums = work.sums;
        EACH for (size_t x = 0; x < 2 * row; x++) sums[x] = 0.0f;
        for (int exposure = 0; exposure < band->exposures; exposure++) {
            evaluate(band, &work, exposure, y, way);
            if (band->saliency != 0.0f) add_contrast(band, &work, exposure, y);
            accumulate(band, &work, exposure, y);
        }
        write_row(band, &work, y, way);
    }
}

/* ---- colour, and writing pixels ---- */

static const float HIGH = 0.85f, LOW = 0.10f; /* where a channel comes near to clipping, to noise */
static const float GAMUT_MARGIN = 1.0f / 255.0f, NEUTRAL = 1e-6f;
static const float RED_TO_GREEN = 0.298936f / 0.587043f; /* green that has the luma of a red */

typedef struct {
    int exposures, height, width;
    const void *const *pixels;   /* of every exposure, interleaved R, G, B */
    const ptrdiff_t *row_pixels; /* from a row of each to the next */
    const float *luma;           /* the fused one */
    ptrdiff_t luma_row;          /* floats from a row of it to the next */
    void *result;                /* interleaved R, G, B */
    float slope, high, low, offset, gain, turn;
} Colour;

static inline float squared_excess(float value, float edge, float scale) {
    float excess = (value - edge) * scale;
    excess = excess > 0.0f ? excess : 0.0f;
    return excess * excess;
}

static inline float nearness(float red, float green, float blue, float edge, float scale) {
    return squared_excess(red, edge, scale) + squared_excess(green, edge, scale) +
           squared_excess(blue, edge, scale);
}

static inline float largest(float a, float b) { return a > b ? a : b; }

static inline float least(float a, float b) { return a < b ? a : b; }

/* Room between the luma and the end of a channel's range that its chroma goes towards. */
static inline float room_of(float luma, float chroma, float floor, float ceiling) {
    return largest(chroma > 0.0f ? ceiling - luma : luma - floor, 0.0f);
}

#define STRETCH 256 /* pixels of a row at a time: what is kept of them stays in the cache */

#define DEFINE_COLOUR(NAME, TYPE, FULL)                                                           \
    /* Colour a fused luma and round to pixels: see mix_colour. */                                \
    void NAME(const Colour *colour) {                                                             \
        const float scale = 1.0f / (FULL);                                                        \
        float reds[STRETCH], greens[STRETCH], blues[STRETCH], totals[STRETCH], lifts[STRETCH];    \
        float darkest[STRETCH], brightest[STRETCH];                                               \
        float floor_r[STRETCH], floor_g[STRETCH], floor_b[STRETCH];                               \
        float ceiling_r[STRETCH], ceiling_g[STRETCH], ceiling_b[STRETCH];                         \
        const int stretches = (colour->width + STRETCH - 1) / STRETCH;                            \
        for (int turn = 0; turn < colour->height * stretches; turn++) {                           \
            const int y = turn / stretches, left = turn % stretches * STRETCH;                    \
            const int width = colour->width - left < STRETCH ? colour->width - left : STRETCH;    \
            EACH for (int x = 0; x < width; x++) {                                                \
                reds[x] = greens[x] = blues[x] = totals[x] = lifts[x] = 0.0f;                     \
                darkest[x] = 1.0f;                                                                \
                brightest[x] = 0.0f;                                                              \
                floor_r[x] = floor_g[x] = floor_b[x] = GAMUT_MARGIN;                              \
                ceiling_r[x] = ceiling_g[x] = ceiling_b[x] = 1.0f - GAMUT_MARGIN;                 \
            }                                                                                     \
            const float *restrict lumas = colour->luma + y * colour->luma_row + left;             \
            for (int exposure = 0; exposure < colour->exposures; exposure++) {                    \
                const TYPE *restrict row =                                                        \
                    (const TYPE *)colour->pixels[exposure] +                                      \
                    (y * colour->row_pixels[exposure] + left) * CHANNELS;                         \
                EACH for (int x = 0; x < width; x++) {                                            \
                    float r = scale * (float)row[CHANNELS * x];                                   \
                    float g = scale * (float)row[CHANNELS * x + 1];                               \
                    float b = scale * (float)row[CHANNELS * x + 2];                               \
                    float luma = luma_of(r, g, b);                                                \
                    float logit = colour->slope * luma -                                          \
                                  colour->high * nearness(r, g, b, HIGH, 1.0f / (1.0f - HIGH)) -  \
                                  colour->low * nearness(r, g, b, LOW, -1.0f / LOW);              \
                    float weight = exponential(clamp(logit, -MAX_LOGIT, MAX_LOGIT));              \
                    float share = weight / (luma + colour->offset);                               \
                    reds[x] += share * (r - luma);                                                \
                    greens[x] += share * (g - luma);                                              \
                    blues[x] += share * (b - luma);                                               \
                    totals[x] += weight;                                                          \
                    lifts[x] += weight * largest(lumas[x] - luma, 0.0f);                          \
                    darkest[x] = least(darkest[x], luma);                                         \
                    brightest[x] = largest(brightest[x], luma);                                   \
                    floor_r[x] = least(floor_r[x], r), ceiling_r[x] = largest(ceiling_r[x], r);   \
                    floor_g[x] = least(floor_g[x], g), ceiling_g[x] = largest(ceiling_g[x], g);   \
                    floor_b[x] = least(floor_b[x], b), ceiling_b[x] = largest(ceiling_b[x], b);   \
                }                                                                                 \
            }                                                                                     \
            TYPE *restrict out = (TYPE *)colour->result +                                         \
                                 ((ptrdiff_t)y * colour->width + left) * CHANNELS;                \
            EACH for (int x = 0; x < width; x++) {                                                \
                float luma = lumas[x], part = 1.0f / totals[x];                                   \
                float strength = (1.0f + colour->gain * (brightest[x] - darkest[x])) *            \
                                 (luma + colour->offset) * part;                                  \
                float r = strength * reds[x], g = strength * greens[x], b = strength * blues[x];  \
                float blueness = largest(b - largest(largest(r, g), 0.0f), 0.0f);                 \
                float turned = colour->turn * lifts[x] * part * blueness;                         \
                r -= turned;                                                                      \
                g += RED_TO_GREEN * turned;                                                       \
                float room = room_of(luma, r, floor_r[x], ceiling_r[x]);                          \
                float room_g = room_of(luma, g, floor_g[x], ceiling_g[x]);                        \
                float room_b = room_of(luma, b, floor_b[x], ceiling_b[x]);                        \
                float reach = largest(__builtin_fabsf(r), NEUTRAL);                               \
                float reach_g = largest(__builtin_fabsf(g), NEUTRAL);                             \
                float reach_b = largest(__builtin_fabsf(b), NEUTRAL);                             \
                /* the smallest of the three quotients, by one division */                        \
                int is_less = room_g * reach < room * reach_g;                                    \
                room = is_less ? room_g : room;                                                   \
                reach = is_less ? reach_g : reach;                                                \
                is_less = room_b * reach < room * reach_b;                                        \
                room = is_less ? room_b : room;                                                   \
                reach = is_less ? reach_b : reach;                                                \
                float share = least(room / reach, 1.0f);                                          \
                reds[x] = clamp((FULL) * (luma + share * r), 0.0f, FULL);                         \
                greens[x] = clamp((FULL) * (luma + share * g), 0.0f, FULL);                       \
                blues[x] = clamp((FULL) * (luma + share * b), 0.0f, FULL);                        \
            }                                                                                     \
            EACH for (int x = 0; x < width; x++) {                                                \
                out[CHANNELS * x] = (TYPE)(int32_t)round_even(reds[x]);                           \
                out[CHANNELS * x + 1] = (TYPE)(int32_t)round_even(greens[x]);                     \
                out[CHANNELS * x + 2] = (TYPE)(int32_t)round_even(blues[x]);                      \
            }                                                                                     \
        }                                                                                         \
    }

DEFINE_COLOUR(colour_uint8, uint8_t, 255.0f)
DEFINE_COLOUR(colour_uint16, uint16_t, 65535.0f)
