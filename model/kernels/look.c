/* The convolutions of a small network on a small picture, pixel by pixel.
 *
 * Features lie channel by channel within a pixel, and pixel by pixel within a row; a row has a
 * margin at either end that repeats its first and its last pixel. Channels come in groups of eight.
 * Every function computes on the calling thread, keeps nothing, and gives a picture the same bits
 * however its rows are shared out among threads.
 *
 * model/blend/look.py checks sizes and types, and calls.
 */

#define LANES 8 /* channels that are computed at a time */
#include "arithmetic.h"

#define GROUP LANES

#define GROUPS 3 /* of channels, at most, whose sums are in registers */
#define SEEN 8   /* channels that the network sees of an exposure */
#define SIDE 6   /* of a tile of Winograd's: six pixels along either axis give four */
#define FOUND 4
#define PLACES (SIDE * SIDE)
#define ROUNDS 2 /* of products by the weights of a place, while they are in the cache */

/* Sums of so many groups, of all pixels or tiles that are computed at a time, have registers. */
#ifdef __AVX2__
#define SUMS 12
#else
#define SUMS 4
#endif

/* A short loop whose turns are written out, so that its sums stay in registers. */
#define UNROLLED _Pragma("clang loop unroll(full)")

/* Add the products of all inputs of some pixels, or tiles, with the weights of up to three groups
 * of outputs. step: from the weights of an input to the next one's; apart: from group to group. */
INLINE void add_products(Lanes sums[SUMS][GROUPS], const float *given, const float *weights,
                         const size_t step, const size_t apart, const int count,
                         const int groups, const int inputs) {
    for (int c = 0; c < inputs; c++, weights += step) {
        const Lanes one = load(weights);
        const Lanes two = groups > 1 ? load(weights + apart) : one;
        const Lanes three = groups > 2 ? load(weights + 2 * apart) : one;
        UNROLLED for (int p = 0; p < count; p++) {
            const Lanes value = fill(given[p * inputs + c]);
            sums[p][0] += one * value;
            if (groups > 1) sums[p][1] += two * value;
            if (groups > 2) sums[p][2] += three * value;
        }
    }
}

/* ---- convolutions of 3 x 3 pixels ---- */

typedef struct {
    int height, width, margin;
    int inputs, outputs; /* channels, in groups of eight */
    int reach;           /* pixels from one tap to the next */
    const float *given;   /* features, of `inputs` channels */
    const float *weights; /* transformed: places, then inputs, then outputs */
    const float *bias;
    const float *after; /* features that are added once negative values are cut; may be null */
    float *result;      /* features, of `outputs` channels */
} Convolution;

/* Floats that `convolve` needs as scratch: the starts of a row's tiles, and transformed tiles. */
size_t count_convolve_scratch(const Convolution *layer) {
    return (size_t)layer->width + (size_t)(PLACES * ROUNDS * SUMS * layer->inputs);
}

/* Six pixels in a line to six places. */
INLINE void to_places(const Lanes d[SIDE], Lanes t[SIDE]) {
    const Lanes even = d[4] - 4.0f * d[2], odd = d[3] - 4.0f * d[1];
    const Lanes step = d[4] - d[2], turn = 2.0f * (d[3] - d[1]);
    t[0] = 4.0f * d[0] - 5.0f * d[2] + d[4];
    t[1] = even + odd, t[2] = even - odd, t[3] = step + turn, t[4] = step - turn;
    t[5] = 4.0f * d[1] - 5.0f * d[3] + d[5];
}

/* Products at six places in a line to four results. */
INLINE void from_places(const Lanes m[SIDE], Lanes results[FOUND]) {
    const Lanes near = m[1] + m[2], turn = m[1] - m[2], far = m[3] + m[4], far_turn = m[3] - m[4];
    results[0] = m[0] + near + far;
    results[1] = turn + 2.0f * far_turn;
    results[2] = near + 4.0f * far;
    results[3] = turn + 8.0f * far_turn + m[5];
}

/* Rows, and then columns, of 6 x 6 pixels of one group of channels. */
INLINE void transform_tile(const float *const rows[SIDE], const ptrdiff_t columns[SIDE], int c,
                           float *to, size_t step) {
    Lanes half[SIDE][SIDE];
    UNROLLED for (int j = 0; j < SIDE; j++) {
        Lanes column[SIDE];
        UNROLLED for (int i = 0; i < SIDE; i++) column[i] = load(rows[i] + columns[j] + c);
        Lanes turned[SIDE];
        to_places(column, turned);
        UNROLLED for (int i = 0; i < SIDE; i++) half[i][j] = turned[i];
    }
    UNROLLED for (int i = 0; i < SIDE; i++) {
        Lanes turned[SIDE];
        to_places(half[i], turned);
        UNROLLED for (int j = 0; j < SIDE; j++) store(to + (size_t)(SIDE * i + j) * step, turned[j]);
    }
}

/* The results of one tile, of one group of outputs, from the products at its places, which lie
 * apart. */
INLINE void write_tile(const Convolution *layer, const Lanes *products, size_t apart, int y, int x,
                       int first) {
    const int reach = layer->reach;
    const ptrdiff_t row = (ptrdiff_t)layer->width + 2 * layer->margin;
    const Lanes bias = load(layer->bias + first);
    Lanes half[FOUND][SIDE];
    UNROLLED for (int j = 0; j < SIDE; j++) {
        Lanes column[SIDE], found[FOUND];
        UNROLLED for (int i = 0; i < SIDE; i++) column[i] = products[(size_t)(SIDE * i + j) * apart];
        from_places(column, found);
        UNROLLED for (int i = 0; i < FOUND; i++) half[i][j] = found[i];
    }
    UNROLLED for (int i = 0; i < FOUND; i++) {
        if (y + i * reach >= layer->height) break;
        Lanes found[FOUND];
        from_places(half[i], found);
        UNROLLED for (int j = 0; j < FOUND; j++) {
            if (x + j * reach >= layer->width) break;
            const ptrdiff_t there =
                ((y + i * reach) * row + layer->margin + x + j * reach) * layer->outputs + first;
            Lanes value = positive(found[j] + bias);
            if (layer->after) value += load(layer->after + there);
            store(layer->result + there, value);
        }
    }
}

/* Some tiles of a row of tiles, whose upper left results are at (y, starts[..]). tiles: how many
 * are computed in a round; count: how many of them there are, the rest are repeated and not
 * written. */
INLINE void convolve_tiles(const Convolution *layer, const float *const rows[SIDE], int y,
                           const int32_t *starts, int count, float *transformed,
                           const int tiles, const int groups, const int inputs, int first) {
    const int outputs = layer->outputs, reach = layer->reach;
    const int end = layer->width - 1 + layer->margin;
    const int rounds = (count + tiles - 1) / tiles;
    const size_t step = (size_t)(ROUNDS * tiles * inputs);
    for (int tile = 0; tile < rounds * tiles; tile++) {
        const int start = starts[tile < count ? tile : count - 1];
        ptrdiff_t columns[SIDE];
        for (int j = 0; j < SIDE; j++) {
            const int there = start + (j - 1) * reach;
            columns[j] = (ptrdiff_t)(there < end ? there : end) * inputs;
        }
        for (int c = 0; c < inputs; c += GROUP)
            transform_tile(rows, columns, c, transformed + tile * inputs + c, step);
    }
    /* products, place by place */
    Lanes products[PLACES][ROUNDS * SUMS * GROUPS];
    for (int place = 0; place < PLACES; place++) {
        const float *weights = layer->weights + (ptrdiff_t)place * inputs * outputs + first;
        for (int round = 0; round < rounds; round++) {
            Lanes sum[SUMS][GROUPS];
            UNROLLED for (int t = 0; t < tiles; t++)
                UNROLLED for (int g = 0; g < groups; g++) sum[t][g] = fill(0.0f);
            const float *given =
                transformed + (size_t)place * step + (size_t)(round * tiles * inputs);
            add_products(sum, given, weights, (size_t)outputs, GROUP, tiles, groups, inputs);
            UNROLLED for (int t = 0; t < tiles; t++)
                UNROLLED for (int g = 0; g < groups; g++)
                    products[place][(round * tiles + t) * groups + g] = sum[t][g];
        }
    }
    for (int t = 0; t < count; t++)
        for (int g = 0; g < groups; g++)
            write_tile(layer, products[0] + t * groups + g, ROUNDS * SUMS * GROUPS, y, starts[t],
                       first + g * GROUP);
}

INLINE void convolve_tile_row(const Convolution *layer, int y, const int32_t *starts, int count,
                              float *transformed, const int groups, const int inputs, int first) {
    const int tiles = SUMS / groups;
    const ptrdiff_t row = (ptrdiff_t)layer->width + 2 * layer->margin;
    const float *rows[SIDE];
    for (int i = 0; i < SIDE; i++) {
        const int there = clamp_index(y + (i - 1) * layer->reach, layer->height);
        rows[i] = layer->given + (there * row + layer->margin) * inputs;
    }
    for (int done = 0; done < count; done += ROUNDS * tiles) {
        const int left = count - done;
        convolve_tiles(layer, rows, y, starts + done, left < ROUNDS * tiles ? left : ROUNDS * tiles,
                       transformed, tiles, groups, inputs, first);
    }
}

/* The usual numbers of inputs, written out. */
INLINE void convolve_groups(const Convolution *layer, int y, const int32_t *starts, int count,
                            float *transformed, const int groups, int first) {
    if (layer->inputs == GROUP)
        convolve_tile_row(layer, y, starts, count, transformed, groups, GROUP, first);
    else if (layer->inputs == 3 * GROUP)
        convolve_tile_row(layer, y, starts, count, transformed, groups, 3 * GROUP, first);
    else
        convolve_tile_row(layer, y, starts, count, transformed, groups, layer->inputs, first);
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

/* Winograd's minimal filtering, F(4 x 4, 3 x 3): 36 products where 144 define the sixteen results.
 * With taps apart by the reach, the pixels of a tile are too. */
void convolve(const Convolution *layer, float *scratch) {
    const int reach = layer->reach;
    int32_t *starts = (int32_t *)scratch;
    float *transformed = scratch + layer->width;
    int count = 0;
    for (int x = 0; x < layer->width; x++)
        if (x / reach % FOUND == 0) starts[count++] = x;
    for (int y = 0; y < layer->height; y++) {
        if (y / reach % FOUND) continue;
        for (int first = 0; first < layer->outputs; first += GROUPS * GROUP) {
            const int groups = (layer->outputs - first) / GROUP;
            if (groups == 1)
                convolve_groups(layer, y, starts, count, transformed, 1, first);
            else if (groups == 2)
                convolve_groups(layer, y, starts, count, transformed, 2, first);
            else
                convolve_groups(layer, y, starts, count, transformed, 3, first);
        }
    }
    const ptrdiff_t row = ((ptrdiff_t)layer->width + 2 * layer->margin) * layer->outputs;
    for (int y = 0; y < layer->height; y++)
        repeat_ends(layer->result + y * row + (ptrdiff_t)layer->margin * layer->outputs,
                    layer->width, layer->margin, layer->outputs);
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

INLINE void mix_pixels(const Mix *mix, const float *given, const float *before, float *result,
                       const int count, const int groups, const int inputs, int first) {
    const int outputs = mix->outputs;
    const size_t one_group = (size_t)inputs * GROUP;
    const float *weights = mix->weights + (size_t)(first / GROUP) * one_group;
    Lanes sums[SUMS][GROUPS];
    UNROLLED for (int p = 0; p < count; p++)
        UNROLLED for (int g = 0; g < groups; g++) {
            sums[p][g] = load(mix->bias + first + g * GROUP);
            if (before) sums[p][g] += load(before + p * outputs + first + g * GROUP);
        }
    add_products(sums, given, weights, GROUP, one_group, count, groups, inputs);
    UNROLLED for (int p = 0; p < count; p++)
        UNROLLED for (int g = 0; g < groups; g++)
            store(result + p * outputs + first + g * GROUP,
                  mix->is_rectified ? positive(sums[p][g]) : sums[p][g]);
}

INLINE void mix_line(const Mix *mix, const float *given, const float *before, int width,
                     float *result, const int groups, const int inputs, int first) {
    const int count = SUMS / groups;
    int x = 0;
    for (; x + count <= width; x += count)
        mix_pixels(mix, given + x * inputs, before ? before + x * mix->outputs : before,
                   result + x * mix->outputs, count, groups, inputs, first);
    for (; x < width; x++)
        mix_pixels(mix, given + x * inputs, before ? before + x * mix->outputs : before,
                   result + x * mix->outputs, 1, groups, inputs, first);
}

INLINE void mix_groups(const Mix *mix, const float *given, const float *before, int width,
                       float *result, const int groups, int first) {
    if (mix->inputs == GROUP)
        mix_line(mix, given, before, width, result, groups, GROUP, first);
    else if (mix->inputs == 3 * GROUP)
        mix_line(mix, given, before, width, result, groups, 3 * GROUP, first);
    else
        mix_line(mix, given, before, width, result, groups, mix->inputs, first);
}

/* One row. before: what is added before negative values are cut; may be null, or the result. */
static void mix_row(const Mix *mix, const float *given, const float *before, int width,
                    float *result) {
    for (int first = 0; first < mix->outputs; first += GROUPS * GROUP) {
        const int groups = (mix->outputs - first) / GROUP;
        if (groups == 1) mix_groups(mix, given, before, width, result, 1, first);
        else if (groups == 2) mix_groups(mix, given, before, width, result, 2, first);
        else mix_groups(mix, given, before, width, result, 3, first);
    }
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
