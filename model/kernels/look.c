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
#define EVERYWHERE (SIDE + 1) /* the place whose product is added to all results of a tile as it is */
#define MAX_PLANES 64 /* of an exposure's coefficients */
#define NEAR 64       /* pixels of a row that are decided at a time: what is kept is in the cache */
#define ROUNDS 2 /* of products by the weights of a place, while they are in the cache */

/* Sums of so many groups, of all pixels or tiles that are computed at a time, have registers. */
#ifdef __AVX2__
#define SUMS 12
#else
#define SUMS 4
#endif

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

/* Six pixels in a line to the places 1 and 2, or 3 and 4; each needs four of the pixels. */
INLINE void to_near_places(Lanes one, Lanes two, Lanes three, Lanes four, Lanes *t1, Lanes *t2) {
    const Lanes even = four - 4.0f * two, odd = three - 4.0f * one;
    *t1 = even + odd, *t2 = even - odd;
}

INLINE void to_far_places(Lanes one, Lanes two, Lanes three, Lanes four, Lanes *t3, Lanes *t4) {
    const Lanes even = four - two, odd = three - one;
    *t3 = even + 2.0f * odd, *t4 = even - 2.0f * odd;
}

/* To the places 0 and 5, from the pixels 0, 2 and 4, and 1, 3 and 5. */
INLINE Lanes to_end_place(Lanes first, Lanes middle, Lanes last) {
    return 4.0f * first - 5.0f * middle + last;
}

INLINE void store_places(const Lanes d[SIDE], float *to, size_t step) {
    Lanes t1, t2, t3, t4;
    to_near_places(d[1], d[2], d[3], d[4], &t1, &t2);
    to_far_places(d[1], d[2], d[3], d[4], &t3, &t4);
    store(to, to_end_place(d[0], d[2], d[4]));
    store(to + step, t1), store(to + 2 * step, t2);
    store(to + 3 * step, t3), store(to + 4 * step, t4);
    store(to + 5 * step, to_end_place(d[1], d[3], d[5]));
}

/* Products at six places in a line to four results. */
INLINE void from_places(const Lanes m[SIDE], Lanes results[FOUND]) {
    const Lanes near = m[1] + m[2], turn = m[1] - m[2], far = m[3] + m[4], far_turn = m[3] - m[4];
    results[0] = m[0] + near + far;
    results[1] = turn + 2.0f * far_turn;
    results[2] = near + 4.0f * far;
    results[3] = turn + 8.0f * far_turn + m[5];
}

/* Columns, and then rows, of 6 x 6 pixels of one group of channels. Two rows of places at a time:
 * pixels are read again for each two, which is cheaper than to keep what has no registers. */
INLINE void transform_tile(const float *const rows[SIDE], const ptrdiff_t columns[SIDE], int c,
                           float *to, size_t step) {
    Lanes one[SIDE], two[SIDE];
#define PIXEL(row) load(rows[row] + columns[j] + c)
    UNROLLED for (int j = 0; j < SIDE; j++) one[j] = to_end_place(PIXEL(0), PIXEL(2), PIXEL(4));
    store_places(one, to, step);
    UNROLLED for (int j = 0; j < SIDE; j++)
        to_near_places(PIXEL(1), PIXEL(2), PIXEL(3), PIXEL(4), &one[j], &two[j]);
    store_places(one, to + SIDE * step, step);
    store_places(two, to + 2 * SIDE * step, step);
    UNROLLED for (int j = 0; j < SIDE; j++)
        to_far_places(PIXEL(1), PIXEL(2), PIXEL(3), PIXEL(4), &one[j], &two[j]);
    store_places(one, to + 3 * SIDE * step, step);
    store_places(two, to + 4 * SIDE * step, step);
    UNROLLED for (int j = 0; j < SIDE; j++) one[j] = to_end_place(PIXEL(1), PIXEL(3), PIXEL(5));
    store_places(one, to + 5 * SIDE * step, step);
#undef PIXEL
}

/* Where the results of a tile go, and what is added to them. */
typedef struct {
    float *result;
    const float *after;    /* may be null */
    ptrdiff_t down, right; /* floats from a result to the next */
    int height, width;     /* results of the tile that lie in the picture */
} Target;

INLINE int count_found(int first, int reach, int length) {
    const int left = (length - first + reach - 1) / reach;
    return left < FOUND ? left : FOUND;
}

INLINE Target target_of(const Convolution *layer, int y, int x, int first) {
    const ptrdiff_t row = (ptrdiff_t)layer->width + 2 * layer->margin;
    const ptrdiff_t there = (y * row + layer->margin + x) * layer->outputs + first;
    return (Target){layer->result + there, layer->after ? layer->after + there : NULL,
                    layer->reach * row * layer->outputs, (ptrdiff_t)layer->reach * layer->outputs,
                    count_found(y, layer->reach, layer->height),
                    count_found(x, layer->reach, layer->width)};
}

/* The results of one tile, of one group of outputs, from the products at its places, which lie
 * apart. */
INLINE void write_tile(const Lanes *products, size_t apart, const Target *at, ptrdiff_t group,
                       const int height, const int width, const int has_after) {
    Lanes half[FOUND][SIDE];
    UNROLLED for (int j = 0; j < SIDE; j++) {
        Lanes column[SIDE], found[FOUND];
        UNROLLED for (int i = 0; i < SIDE; i++) column[i] = products[(size_t)(SIDE * i + j) * apart];
        from_places(column, found);
        UNROLLED for (int i = 0; i < FOUND; i++) half[i][j] = found[i];
    }
    UNROLLED for (int i = 0; i < FOUND; i++) {
        const ptrdiff_t there = group + i * at->down;
        Lanes found[FOUND];
        from_places(half[i], found);
        UNROLLED for (int j = 0; j < FOUND; j++) {
            if (i >= height || j >= width) continue;
            Lanes value = positive(found[j]);
            if (has_after) value += load(at->after + there + j * at->right);
            store(at->result + there + j * at->right, value);
        }
    }
}

INLINE void write_groups(const Lanes *products, size_t apart, const Target *at, const int groups,
                         const int height, const int width, const int has_after) {
    for (int g = 0; g < groups; g++)
        write_tile(products + g, apart, at, g * GROUP, height, width, has_after);
}

/* Most tiles lie in the picture as a whole. */
INLINE void write_all(const Lanes *products, size_t apart, const Target *at, const int groups) {
    if (at->height < FOUND || at->width < FOUND) {
        if (at->after) write_groups(products, apart, at, groups, at->height, at->width, 1);
        else write_groups(products, apart, at, groups, at->height, at->width, 0);
    } else {
        if (at->after) write_groups(products, apart, at, groups, FOUND, FOUND, 1);
        else write_groups(products, apart, at, groups, FOUND, FOUND, 0);
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
                UNROLLED for (int g = 0; g < groups; g++)
                    sum[t][g] = place == EVERYWHERE ? load(layer->bias + first + g * GROUP)
                                                    : fill(0.0f);
            const float *given =
                transformed + (size_t)place * step + (size_t)(round * tiles * inputs);
            add_products(sum, given, weights, (size_t)outputs, GROUP, tiles, groups, inputs);
            UNROLLED for (int t = 0; t < tiles; t++)
                UNROLLED for (int g = 0; g < groups; g++)
                    products[place][(round * tiles + t) * groups + g] = sum[t][g];
        }
    }
    for (int t = 0; t < count; t++) {
        const Target target = target_of(layer, y, starts[t], first);
        write_all(products[0] + t * groups, ROUNDS * SUMS * GROUPS, &target, groups);
    }
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
    int groups, terms, bands;     /* of levels, of a group's coefficients, groups that have a gain */
    const float *const *features; /* of each exposure */
    const float *const *seen;     /* of each exposure */
    Mix own;                      /* of an exposure */
    Mix shared;                   /* of the mean, added to it */
    Mix of_seen, of_features;     /* of an exposure: their sum is its coefficients */
    Mix of_most;                  /* of the maximum: with `own` of the mean it gives the gains */
    Mix of_gains;
    float *maps; /* group by group: the terms of every exposure, and a gain */
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

/* Mean and maximum over two or more exposures in some pixels of a row, from `left` on. */
INLINE void share_pixels(const Decision *all, int y, int left, int count, float *mean,
                         float *most) {
    const int values = count * all->channels;
    const ptrdiff_t row = (ptrdiff_t)all->width + 2 * all->margin;
    const ptrdiff_t at = (y * row + all->margin + left) * all->channels;
    const float part = 1.0f / (float)all->exposures;
    const float *sum_before = all->features[0] + at, *most_before = sum_before;
    for (int exposure = 1; exposure < all->exposures; exposure++) {
        const float *next = all->features[exposure] + at;
        for (int i = 0; i < values; i += GROUP) {
            const Lanes value = load(next + i);
            store(mean + i, load(sum_before + i) + value);
            store(most + i, largest(load(most_before + i), value));
        }
        sum_before = mean, most_before = most;
    }
    for (int i = 0; i < values; i += GROUP) store(mean + i, load(mean + i) * part);
}

/* Eight pixels of eight channels to eight rows of one channel. */
INLINE void turn_over(const Lanes given[GROUP], Lanes turned[GROUP]) {
    Lanes pairs[GROUP], fours[GROUP];
    for (int i = 0; i < GROUP; i += 2) {
        pairs[i] = __builtin_shufflevector(given[i], given[i + 1], 0, 8, 2, 10, 4, 12, 6, 14);
        pairs[i + 1] = __builtin_shufflevector(given[i], given[i + 1], 1, 9, 3, 11, 5, 13, 7, 15);
    }
    for (int i = 0; i < GROUP; i += 4)
        for (int j = 0; j < 2; j++) {
            const Lanes first = pairs[i + j], second = pairs[i + j + 2];
            fours[i + j] = __builtin_shufflevector(first, second, 0, 1, 8, 9, 4, 5, 12, 13);
            fours[i + j + 2] = __builtin_shufflevector(first, second, 2, 3, 10, 11, 6, 7, 14, 15);
        }
    for (int i = 0; i < 4; i++) {
        turned[i] = __builtin_shufflevector(fours[i], fours[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        turned[i + 4] = __builtin_shufflevector(fours[i], fours[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}

/* Channels within pixels to rows of planes. to: where each of the first `count` channels goes. */
static void write_planes(const float *given, int channels, int count, int width,
                         float *const *to) {
    for (int c = 0; c < count; c += GROUP) {
        const int last = count - c < GROUP ? count - c : GROUP;
        int x = 0;
        for (; x + GROUP <= width; x += GROUP) {
            Lanes pixels[GROUP], planes[GROUP];
            for (int i = 0; i < GROUP; i++) pixels[i] = load(given + (x + i) * channels + c);
            turn_over(pixels, planes);
            for (int i = 0; i < last; i++) store(to[c + i] + x, planes[i]);
        }
        for (; x < width; x++)
            for (int i = 0; i < last; i++) to[c + i][x] = given[x * channels + c + i];
    }
}

/* Floats that `pool_rows` and `decide_rows` need as scratch. */
size_t count_look_scratch(const Decision *all) {
    return (size_t)NEAR * (size_t)(5 * all->channels + all->of_seen.outputs);
}

/* Sums of the mean and of the maximum along each row. sums: (rows, 2, channels). */
void pool_rows(const Decision *all, int top, int bottom, float *sums, float *scratch) {
    const int channels = all->channels;
    float *mean = scratch, *most = mean + NEAR * channels;
    for (int y = top; y < bottom; y++, sums += 2 * channels) {
        for (int c = 0; c < 2 * channels; c++) sums[c] = 0.0f;
        for (int left = 0; left < all->width; left += NEAR) {
            const int count = all->width - left < NEAR ? all->width - left : NEAR;
            share_pixels(all, y, left, count, mean, most);
            for (int c = 0; c < channels; c += GROUP) {
                Lanes of_mean = load(sums + c), of_most = load(sums + channels + c);
                for (int x = 0; x < count; x++) {
                    of_mean += load(mean + x * channels + c);
                    of_most += load(most + x * channels + c);
                }
                store(sums + c, of_mean), store(sums + channels + c, of_most);
            }
        }
    }
}

/* Coefficients and gains of some pixels of a row, from `left` on. */
static void decide_pixels(const Decision *all, int y, int left, int count, float *scratch) {
    const int channels = all->channels, values = count * channels;
    const int coefficients = all->groups * all->terms;
    const ptrdiff_t at = (ptrdiff_t)y * (all->width + 2 * all->margin) + all->margin + left;
    float *mean = scratch, *most = mean + NEAR * channels, *shared = most + NEAR * channels;
    float *mixed = shared + NEAR * channels, *sum = mixed + NEAR * channels;
    float *terms = sum + NEAR * channels;
    /* planes of a group: the terms of every exposure, and a gain */
    const size_t area = (size_t)all->height * (size_t)all->width;
    const size_t group = (size_t)(all->exposures * all->terms + 1) * area;
    float *const maps = all->maps + (ptrdiff_t)y * all->width + left, *planes[MAX_PLANES];

    share_pixels(all, y, left, count, mean, most);
    mix_row(&all->shared, mean, NULL, count, shared);
    for (int exposure = 0; exposure < all->exposures; exposure++) {
        mix_row(&all->own, all->features[exposure] + at * channels, NULL, count, mixed);
        /* what is its own adds up to as much as the mean of all would give */
        for (int i = 0; i < values; i += GROUP) {
            const Lanes own = load(mixed + i);
            store(sum + i, exposure ? load(sum + i) + own : own);
            store(mixed + i, positive(own + load(shared + i)));
        }
        mix_row(&all->of_seen, all->seen[exposure] + at * SEEN, NULL, count, terms);
        mix_row(&all->of_features, mixed, terms, count, terms);
        for (int c = 0; c < coefficients; c++)
            planes[c] = maps + (size_t)(c / all->terms) * group +
                        (size_t)(exposure * all->terms + c % all->terms) * area;
        write_planes(terms, all->of_seen.outputs, coefficients, count, planes);
    }
    const float part = 1.0f / (float)all->exposures;
    for (int i = 0; i < values; i += GROUP) store(sum + i, load(sum + i) * part);
    mix_row(&all->of_most, most, sum, count, mixed);
    mix_row(&all->of_gains, mixed, NULL, count, terms);
    for (int c = 0; c < all->bands; c++)
        planes[c] = maps + (size_t)c * group + (size_t)(all->exposures * all->terms) * area;
    write_planes(terms, all->of_gains.outputs, all->bands, count, planes);
}

/* Coefficients and gains of some rows. */
void decide_rows(const Decision *all, int top, int bottom, float *scratch) {
    for (int y = top; y < bottom; y++)
        for (int left = 0; left < all->width; left += NEAR) {
            const int count = all->width - left < NEAR ? all->width - left : NEAR;
            decide_pixels(all, y, left, count, scratch);
        }
}
