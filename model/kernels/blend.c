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
static const float SALIENCY_FLOOR = 0.06f;
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

static inline float hyperbolic_tangent(float x) {
    return 1.0f - 2.0f / (exponential(2.0f * clamp(x, -20.0f, 20.0f)) + 1.0f);
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
    const float *fine;   /* exposures at this level */
    const float *coarse; /* exposures one level above */
    const float *fused;  /* what is fused one level above */
    float *result;       /* what is fused at this level */
    const float *maps;   /* c_0 to c_3 of every exposure, and the gain, at the network's level */
    int map_height, map_width;
    int times;     /* levels from the maps down to this one */
    int top, left; /* where this level's array begins in the picture's level */
    float bias;     /* logarithm of the gain that all pixels share */
    float saliency; /* weight of the logarithm of local contrast; 0 leaves it out */
} Band;

typedef struct {
    int coarse_height, coarse_width, count; /* count: of maps */
    float *between;   /* a row of a coarse plane between its rows */
    float *bands;     /* TAPS rows of R, G, B of every exposure */
    float *contrasts; /* TAPS rows of every exposure, smoothed along the row */
    float *padded;    /* a row with REACH pixels more on either end */
    float *lumas;     /* TAPS rows of every exposure, counted from 1/2 */
    float *mean;      /* of the lumas of a row */
    float *sums;      /* of weighted R, G, B, and of weights */
    float *logits;
    float *shares;    /* way of each pixel from a cell of the maps to the next */
    float *upper, *lower; /* rows of all maps at full width */
    float *steps;         /* from the upper to the lower */
    int rows_held[2];     /* of the maps: which the upper and the lower are */
    int32_t *cells, *next_cells;
} Work;

/* Floats that `add_band` needs as scratch. */
size_t count_scratch(int exposures, int width) {
    size_t k = (size_t)exposures, rows = 1;         /* between */
    rows += TAPS * CHANNELS * k + TAPS * k + 1;      /* bands, contrasts, padded */
    rows += TAPS * k + 1 + CHANNELS + 1 + 1 + 1;     /* lumas, mean, sums, logits, shares */
    rows += 3 * (TERMS * k + 1) + 2;                 /* upper, lower, steps, cells */
    return rows * ((size_t)width + 2 * REACH);
}

static void lay_out(Work *work, const Band *band, float *scratch) {
    const size_t k = (size_t)band->exposures, row = (size_t)band->width + 2 * REACH;
    work->coarse_height = (band->height + 1) / 2;
    work->coarse_width = (band->width + 1) / 2;
    work->count = TERMS * band->exposures + 1;
    work->between = scratch + REACH, scratch += row;
    work->bands = scratch, scratch += TAPS * CHANNELS * k * row;
    work->contrasts = scratch, scratch += TAPS * k * row;
    work->padded = scratch + REACH, scratch += row;
    work->lumas = scratch, scratch += TAPS * k * row;
    work->mean = scratch, scratch += row;
    work->sums = scratch, scratch += (CHANNELS + 1) * row;
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

static inline float luma_of(float red, float green, float blue) {
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue;
}

/* Lumas, bands and their contrasts, smoothed along the row, of one row of every exposure. */
static void prepare_row(const Band *band, const Work *work, int y) {
    const int width = band->width;
    const size_t row = (size_t)width + 2 * REACH, k = (size_t)band->exposures;
    const ptrdiff_t area = (ptrdiff_t)band->height * width;
    const ptrdiff_t coarse_area = (ptrdiff_t)work->coarse_height * work->coarse_width;
    const size_t slot = (size_t)(y % TAPS) * k;
    for (size_t exposure = 0; exposure < k; exposure++) {
        float *restrict r = work->bands + (slot + exposure) * CHANNELS * row;
        float *restrict g = r + row, *restrict b = g + row;
        const float *coarse = band->coarse + (ptrdiff_t)exposure * CHANNELS * coarse_area;
        expand_row(coarse, y, work, r);
        expand_row(coarse + coarse_area, y, work, g);
        expand_row(coarse + 2 * coarse_area, y, work, b);
        const float *restrict red =
            band->fine + (ptrdiff_t)exposure * CHANNELS * area + (ptrdiff_t)y * width;
        const float *restrict green = red + area, *restrict blue = green + area;
        float *restrict luma = work->lumas + (slot + exposure) * row;
        float *restrict padded = work->padded;
        EACH for (int x = 0; x < width; x++) {
            luma[x] = luma_of(red[x], green[x], blue[x]) - 0.5f;
            r[x] = red[x] - r[x];
            g[x] = green[x] - g[x];
            b[x] = blue[x] - b[x];
            padded[x] = __builtin_fabsf(luma_of(r[x], g[x], b[x])) + SALIENCY_FLOOR;
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

/* Mean of the lumas of a row. */
static void average_lumas(const Band *band, const Work *work, int y) {
    const int width = band->width;
    const size_t row = (size_t)width + 2 * REACH, k = (size_t)band->exposures;
    const float *restrict luma = work->lumas + (size_t)(y % TAPS) * k * row;
    const float part = 1.0f / (float)band->exposures;
    float *restrict mean = work->mean;
    EACH for (int x = 0; x < width; x++) mean[x] = luma[x];
    for (size_t exposure = 1; exposure < k; exposure++) {
        luma += row;
        EACH for (int x = 0; x < width; x++) mean[x] += luma[x];
    }
    EACH for (int x = 0; x < width; x++) mean[x] *= part;
}

/* Logits of one exposure in one row: c_0 + x (c_1 + c_2 x + c_3 m). */
static void evaluate(const Band *band, const Work *work, int exposure, int y, float way) {
    const size_t row = (size_t)band->width + 2 * REACH, k = (size_t)band->exposures;
    const float *restrict c = work->upper + (size_t)(TERMS * exposure) * row;
    const float *restrict step = work->steps + (size_t)(TERMS * exposure) * row;
    const float *restrict luma = work->lumas + ((size_t)(y % TAPS) * k + (size_t)exposure) * row;
    const float *restrict mean = work->mean;
    float *restrict logits = work->logits;
    EACH for (int x = 0; x < band->width; x++) {
        float c0 = c[x] + way * step[x];
        float c1 = c[row + x] + way * step[row + x];
        float c2 = c[2 * row + x] + way * step[2 * row + x];
        float c3 = c[3 * row + x] + way * step[3 * row + x];
        logits[x] = c0 + luma[x] * (c1 + c2 * luma[x] + c3 * mean[x]);
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

/* Add the bands of one exposure, times its weight, to the sums, and the weight to theirs. */
static void accumulate(const Band *band, const Work *work, int exposure, int y) {
    const int width = band->width;
    const size_t row = (size_t)width + 2 * REACH, k = (size_t)band->exposures;
    const float *restrict logits = work->logits;
    const float *restrict red =
        work->bands + ((size_t)(y % TAPS) * k + (size_t)exposure) * CHANNELS * row;
    const float *restrict green = red + row, *restrict blue = green + row;
    float *restrict sums = work->sums;
    EACH for (int x = 0; x < width; x++) {
        float weight = exponential(clamp(logits[x], -MAX_LOGIT, MAX_LOGIT));
        sums[x] += weight * red[x];
        sums[row + x] += weight * green[x];
        sums[2 * row + x] += weight * blue[x];
        sums[3 * row + x] += weight;
    }
}

/* Gain over the sum of the weights, into the place of that sum. */
static void find_gain(const Band *band, const Work *work, float way) {
    const int width = band->width;
    const size_t row = (size_t)width + 2 * REACH;
    const float *restrict upper = work->upper + (size_t)(work->count - 1) * row;
    const float *restrict step = work->steps + (size_t)(work->count - 1) * row;
    float *restrict total = work->sums + CHANNELS * row;
    EACH for (int x = 0; x < width; x++) {
        float gain = upper[x] + way * step[x];
        total[x] = exponential(band->bias + hyperbolic_tangent(gain)) / total[x];
    }
}

/* One step of the collapse for a whole array: see BlendNetwork.add_band. */
void add_band(const Band *band, float *scratch) {
    Work work;
    lay_out(&work, band, scratch);
    const int width = band->width, height = band->height;
    const size_t row = (size_t)width + 2 * REACH;
    const ptrdiff_t area = (ptrdiff_t)height * width;
    const ptrdiff_t coarse_area = (ptrdiff_t)work.coarse_height * work.coarse_width;
    int prepared = 0;
    for (int y = 0; y < height; y++) {
        for (; prepared <= y + REACH && prepared < height; prepared++)
            prepare_row(band, &work, prepared);
        average_lumas(band, &work, y);
        float way = bring_maps(band, &work, y);
        float *restrict sums = work.sums;
        EACH for (size_t x = 0; x < (CHANNELS + 1) * row; x++) sums[x] = 0.0f;
        for (int exposure = 0; exposure < band->exposures; exposure++) {
            evaluate(band, &work, exposure, y, way);
            if (band->saliency != 0.0f) add_contrast(band, &work, exposure, y);
            accumulate(band, &work, exposure, y);
        }
        find_gain(band, &work, way);
        const float *restrict gain = sums + CHANNELS * row;
        for (int channel = 0; channel < CHANNELS; channel++) {
            const float *restrict sum = sums + (size_t)channel * row;
            float *restrict out = band->result + channel * area + (ptrdiff_t)y * width;
            float *restrict expanded = work.padded;
            expand_row(band->fused + channel * coarse_area, y, &work, expanded);
            EACH for (int x = 0; x < width; x++) out[x] = expanded[x] + gain[x] * sum[x];
        }
    }
}

/* ---- writing pixels ---- */

#define DEFINE_FINISH(NAME, TYPE, FULL)                                                           \
    /* Multiply chroma, the distance from the luma, and round to pixels. plane_floats and         \
     * row_floats: from a plane and from a row of `fused` to the next. */                         \
    void NAME(const float *fused, ptrdiff_t plane_floats, ptrdiff_t row_floats, int height,       \
              int width, float chroma_gain, TYPE *restrict pixels) {                              \
        for (int y = 0; y < height; y++) {                                                        \
            const float *restrict red = fused + y * row_floats;                                   \
            const float *restrict green = red + plane_floats;                                     \
            const float *restrict blue = green + plane_floats;                                    \
            TYPE *restrict row = pixels + (ptrdiff_t)y * width * CHANNELS;                        \
            EACH for (int x = 0; x < width; x++) {                                                \
                float luma = (1.0f - chroma_gain) * luma_of(red[x], green[x], blue[x]);           \
                float r = (FULL) * (luma + chroma_gain * red[x]);                                 \
                float g = (FULL) * (luma + chroma_gain * green[x]);                               \
                float b = (FULL) * (luma + chroma_gain * blue[x]);                                \
                row[CHANNELS * x] = (TYPE)(int32_t)round_even(clamp(r, 0.0f, FULL));              \
                row[CHANNELS * x + 1] = (TYPE)(int32_t)round_even(clamp(g, 0.0f, FULL));          \
                row[CHANNELS * x + 2] = (TYPE)(int32_t)round_even(clamp(b, 0.0f, FULL));          \
            }                                                                                     \
        }                                                                                         \
    }

DEFINE_FINISH(finish_uint8, uint8_t, 255.0f)
DEFINE_FINISH(finish_uint16, uint16_t, 65535.0f)
