/* The convolutions of a small network on a small picture, pixel by pixel.
 *
 * Features lie channel by channel within a pixel, and pixel by pixel within a row; a row has a
 * margin at either end that repeats its first and its last pixel. Channels come in groups of eight.
 * Every function computes on the calling thread, keeps nothing, and writes each value by the same
 * operations wherever its pixel lies.
 *
 * model/blend/look.py checks sizes and types, and calls.
 */

#include "arithmetic.h"

#define GROUP 8  /* channels that are computed at a time */
#define SEEN 8   /* channels that the network sees of an exposure */
#define TAPS 3   /* of a convolution along either axis */

#define GROUPS 3 /* of channels, at most, whose sums are in registers */

/* Sums of so many groups, of all pixels that are computed at a time, have registers. */
#ifdef __AVX2__
#define SUMS 12
#else
#define SUMS 4
#endif

/* A short loop whose turns are written out, so that its sums stay in registers. */
#define UNROLLED _Pragma("clang loop unroll(full)")

typedef float Eight __attribute__((vector_size(32), aligned(4)));

typedef struct {
    int height, width, margin;
    int inputs, outputs; /* channels; outputs in groups of eight */
    int taps, reach;     /* taps: 1 or 3 along either axis; reach: from one to the next */
    int is_rectified;
    const float *given;   /* features, of `inputs` channels */
    const float *weights; /* group by group; in it taps, then inputs, then eight outputs */
    const float *bias;
    const float *before; /* features that are added before negative values are cut; may be null */
    const float *after;  /* features that are added afterwards; may be null */
    float *result;       /* features, of `outputs` channels */
} Convolution;

static inline Eight eight(float value) {
    return (Eight){value, value, value, value, value, value, value, value};
}

/* `count` pixels from x on, `groups` groups of channels. */
static inline __attribute__((always_inline)) void convolve_block(
    const Convolution *layer, const float *const rows[TAPS], int first, int y, int x,
    const int count, const int groups, const int inputs) {
    Eight sums[SUMS][GROUPS];
    const int outputs = layer->outputs, side = layer->taps;
    const size_t one_group = (size_t)(side * side * inputs) * GROUP;
    const float *weights = layer->weights + (size_t)(first / GROUP) * one_group;
    const ptrdiff_t row = (ptrdiff_t)layer->width + 2 * layer->margin;
    const ptrdiff_t at = (y * row + layer->margin + x) * outputs + first;
    UNROLLED for (int p = 0; p < count; p++)
        UNROLLED for (int g = 0; g < groups; g++) sums[p][g] = *(const Eight *)(layer->bias + first + g * GROUP);
    if (layer->before)
        UNROLLED for (int p = 0; p < count; p++)
            UNROLLED for (int g = 0; g < groups; g++)
                sums[p][g] += *(const Eight *)(layer->before + at + p * outputs + g * GROUP);
    for (int i = 0; i < side; i++) {
        for (int j = 0; j < side; j++) {
            const float *given = rows[i] + (ptrdiff_t)(x + (j - side / 2) * layer->reach) * inputs;
            for (int c = 0; c < inputs; c++, weights += GROUP) {
                const Eight one = *(const Eight *)weights;
                const Eight two = groups > 1 ? *(const Eight *)(weights + one_group) : one;
                const Eight three = groups > 2 ? *(const Eight *)(weights + 2 * one_group) : one;
                UNROLLED for (int p = 0; p < count; p++) {
                    const Eight value = eight(given[p * inputs + c]);
                    sums[p][0] += one * value;
                    if (groups > 1) sums[p][1] += two * value;
                    if (groups > 2) sums[p][2] += three * value;
                }
            }
        }
    }
    UNROLLED for (int p = 0; p < count; p++) {
        UNROLLED for (int g = 0; g < groups; g++) {
            Eight sum = sums[p][g];
            const ptrdiff_t there = at + p * outputs + g * GROUP;
            if (layer->is_rectified) sum = __builtin_elementwise_max(sum, eight(0.0f));
            if (layer->after) sum += *(const Eight *)(layer->after + there);
            *(Eight *)(layer->result + there) = sum;
        }
    }
}

static inline __attribute__((always_inline)) void convolve_row(const Convolution *layer, int first,
                                                               int y, const int groups,
                                                               const int inputs) {
    const int middle = layer->taps / 2;
    const ptrdiff_t row = (ptrdiff_t)layer->width + 2 * layer->margin;
    const float *rows[TAPS];
    for (int i = 0; i < layer->taps; i++) {
        const int there = clamp_index(y + (i - middle) * layer->reach, layer->height);
        rows[i] = layer->given + (there * row + layer->margin) * inputs;
    }
    const int count = SUMS / groups;
    int x = 0;
    for (; x + count <= layer->width; x += count)
        convolve_block(layer, rows, first, y, x, count, groups, inputs);
    for (; x < layer->width; x++) convolve_block(layer, rows, first, y, x, 1, groups, inputs);
}

/* The usual numbers of inputs, written out. */
static inline __attribute__((always_inline)) void convolve_group(const Convolution *layer, int first, int y, const int groups) {
    if (layer->inputs == GROUP) convolve_row(layer, first, y, groups, GROUP);
    else if (layer->inputs == 2 * GROUP) convolve_row(layer, first, y, groups, 2 * GROUP);
    else if (layer->inputs == 3 * GROUP) convolve_row(layer, first, y, groups, 3 * GROUP);
    else convolve_row(layer, first, y, groups, layer->inputs);
}

/* Repeat the first and the last pixel of a row in its margins. */
static void repeat_ends(float *row, int width, int margin, int channels) {
    const float *first = row, *last = row + (ptrdiff_t)(width - 1) * channels;
    for (int step = 1; step <= margin; step++)
        for (int c = 0; c < channels; c++) {
            row[-(ptrdiff_t)step * channels + c] = first[c];
            row[(ptrdiff_t)(width - 1 + step) * channels + c] = last[c];
        }
}

void convolve(const Convolution *layer) {
    const ptrdiff_t row = ((ptrdiff_t)layer->width + 2 * layer->margin) * layer->outputs;
    for (int y = 0; y < layer->height; y++) {
        for (int first = 0; first < layer->outputs; first += GROUPS * GROUP) {
            const int groups = (layer->outputs - first) / GROUP;
            if (groups == 1) convolve_group(layer, first, y, 1);
            else if (groups == 2) convolve_group(layer, first, y, 2);
            else convolve_group(layer, first, y, 3);
        }
        repeat_ends(layer->result + y * row + (ptrdiff_t)layer->margin * layer->outputs,
                    layer->width, layer->margin, layer->outputs);
    }
}

/* What the network sees of an exposure, -1..1: its luma, the mean luma of all, how near R, G and B
 * are to white, and how near to black. planes: R, G and B, 0..1. */
void see(const float *planes, const float *luma, const float *mean, int height, int width,
         int margin, const float ends[2], float *seen) {
    const size_t area = (size_t)height * (size_t)width;
    const float white = ends[0], black = ends[1];
    const float per_white = 2.0f / (1.0f - white), per_black = 2.0f / black;
    for (int y = 0; y < height; y++) {
        float *row = seen + ((ptrdiff_t)y * (width + 2 * margin) + margin) * SEEN;
        for (int x = 0; x < width; x++) {
            const size_t at = (size_t)y * (size_t)width + (size_t)x;
            float *out = row + (ptrdiff_t)x * SEEN;
            out[0] = 2.0f * luma[at] - 1.0f;
            out[1] = 2.0f * mean[at] - 1.0f;
            for (int c = 0; c < CHANNELS; c++) {
                const float value = planes[(size_t)c * area + at];
                out[2 + c] = clamp((value - white) * per_white, 0.0f, 2.0f) - 1.0f;
                out[2 + CHANNELS + c] = clamp((black - value) * per_black, 0.0f, 2.0f) - 1.0f;
            }
        }
        repeat_ends(row, width, margin, SEEN);
    }
}

/* ---- what is decided of all exposures, pixel by pixel ---- */

/* A convolution of single pixels: weights group by group, in it inputs, then eight outputs. */
typedef struct {
    int inputs, outputs, is_rectified;
    const float *weights, *bias;
} Mix;

typedef struct {
    int exposures, height, width, margin, channels;
    int coefficients, gains; /* planes of either that are kept of an exposure, and of all */
    const float *const *features; /* of each exposure */
    const float *const *seen;     /* of each exposure */
    Mix shared;                   /* of the mean */
    Mix own;                      /* of an exposure, to which what is shared is added */
    Mix of_seen, of_features;     /* of an exposure: their sum is its coefficients */
    Mix of_mean, of_largest;      /* of all exposures: their sum gives the gains */
    Mix of_gains;
    float *coefficient_planes;
    float *gain_planes;
} Decision;

static void mix_row(const Mix *mix, const float *given, const float *before, int width,
                    float *result) {
    const Convolution layer = {
        .height = 1, .width = width, .inputs = mix->inputs, .outputs = mix->outputs, .taps = 1,
        .is_rectified = mix->is_rectified, .given = given, .weights = mix->weights,
        .bias = mix->bias, .before = before, .result = result,
    };
    convolve(&layer);
}

/* Mean and maximum over the exposures in one row. */
static void share_row(const Decision *all, int y, float *restrict mean, float *restrict largest) {
    const int values = all->width * all->channels;
    const ptrdiff_t row = (ptrdiff_t)all->width + 2 * all->margin;
    const ptrdiff_t at = (y * row + all->margin) * all->channels;
    const float part = 1.0f / (float)all->exposures;
    const float *restrict first = all->features[0] + at;
    EACH for (int i = 0; i < values; i++) mean[i] = largest[i] = first[i];
    for (int exposure = 1; exposure < all->exposures; exposure++) {
        const float *restrict next = all->features[exposure] + at;
        EACH for (int i = 0; i < values; i++) {
            mean[i] += next[i];
            largest[i] = next[i] > largest[i] ? next[i] : largest[i];
        }
    }
    EACH for (int i = 0; i < values; i++) mean[i] *= part;
}

/* Channels within pixels to planes of which the first `count` are kept. */
static void write_planes(const float *given, int channels, int count, int width, size_t area,
                         float *restrict planes) {
    for (int c = 0; c < count; c++)
        for (int x = 0; x < width; x++) planes[(size_t)c * area + (size_t)x] = given[x * channels + c];
}

/* Floats that `pool_rows` and `decide_rows` need as scratch. */
size_t count_look_scratch(const Decision *all) {
    return (size_t)all->width * (size_t)(4 * all->channels + all->of_seen.outputs);
}

/* Sums of the mean and of the maximum along each row. sums: (rows, 2, channels). */
void pool_rows(const Decision *all, int top, int bottom, float *restrict sums, float *scratch) {
    const int channels = all->channels;
    float *mean = scratch, *largest = mean + (size_t)all->width * (size_t)channels;
    for (int y = top; y < bottom; y++) {
        share_row(all, y, mean, largest);
        for (int which = 0; which < 2; which++, sums += channels) {
            const float *restrict from = which ? largest : mean;
            for (int c = 0; c < channels; c++) sums[c] = 0.0f;
            for (int x = 0; x < all->width; x++)
                EACH for (int c = 0; c < channels; c++) sums[c] += from[x * channels + c];
        }
    }
}

/* Coefficients and gains of some rows. */
void decide_rows(const Decision *all, int top, int bottom, float *scratch) {
    const int channels = all->channels, width = all->width;
    const size_t area = (size_t)all->height * (size_t)width, row = (size_t)width * (size_t)channels;
    const ptrdiff_t pixels = (ptrdiff_t)width + 2 * all->margin;
    float *mean = scratch, *largest = mean + row, *shared = largest + row, *mixed = shared + row;
    float *terms = mixed + row;
    for (int y = top; y < bottom; y++) {
        const ptrdiff_t at = y * pixels + all->margin, there = (ptrdiff_t)y * width;
        share_row(all, y, mean, largest);
        mix_row(&all->shared, mean, NULL, width, shared);
        for (int exposure = 0; exposure < all->exposures; exposure++) {
            mix_row(&all->own, all->features[exposure] + at * channels, shared, width, mixed);
            mix_row(&all->of_seen, all->seen[exposure] + at * SEEN, NULL, width, terms);
            mix_row(&all->of_features, mixed, terms, width, terms);
            write_planes(terms, all->of_seen.outputs, all->coefficients, width, area,
                         all->coefficient_planes +
                             (size_t)(exposure * all->coefficients) * area + there);
        }
        mix_row(&all->of_mean, mean, NULL, width, shared);
        mix_row(&all->of_largest, largest, shared, width, mixed);
        mix_row(&all->of_gains, mixed, NULL, width, terms);
        write_planes(terms, all->of_gains.outputs, all->gains, width, area,
                     all->gain_planes + there);
    }
}
