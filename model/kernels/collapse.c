/* One step of the collapse of a pyramid, and for the finest level the colour of its pixels.
 *
 * Exposures' lumas are float planes, one behind the other, or at the finest level computed from
 * their pixels row by row, so that no plane of that size is ever in memory. A step is computed in
 * blocks of columns, from the top to the bottom, whose rows in work stay in the first cache.
 * Borders are those of model/blend/torch_pyramid.py. Every function computes on the calling thread,
 * keeps nothing, and writes each value by the same operations wherever its pixel lies.
 *
 * model/blend/kernels.py checks sizes and types, and calls.
 */

#include "colour.h"
#include "steps.h"

#define MAPS (TERMS * MAX_EXPOSURES + 1)
#define BLOCK STRETCH   /* columns that are blended at a time */
#define EDGE LANES      /* columns of a row in work before its block's first; REACH of them count */
#define ROW (EDGE + BLOCK + 3 * LANES)

/* fine: null where pixels say the lumas; result: null where it is coloured. */
typedef struct {
    BAND(const float *, float *)
} Band;

/* What a block holds while its rows are computed. Rows in work have EDGE columns before the first. */
typedef struct {
    int first, count; /* columns */
    float lumas[REACH + 1][MAX_EXPOSURES][ROW];     /* of rows y, y + 1, y + 2 */
    float bands[REACH + 1][MAX_EXPOSURES][ROW];     /* of the same */
    float contrasts[TAPS][MAX_EXPOSURES][ROW];      /* of y - 2 to y + 2, smoothed along the row */
    float expanded[ROW];
    float between[BLOCK / 2 + 4 * LANES];           /* a row of a coarse plane between its rows */
    float upper[MAPS][BLOCK], lower[MAPS][BLOCK];   /* rows of the maps at the block's columns */
    float steps[MAPS][BLOCK];                       /* from the upper to the lower */
    int rows_held[2];                               /* of the maps: which these are */
    float shares[BLOCK]; /* way of each pixel from a cell of the maps to the next */
    int32_t cells[BLOCK], next_cells[BLOCK];
} Block;

static void begin_block(Block *block, const Band *band, int first, int count) {
    block->first = first;
    block->count = count;
    block->rows_held[0] = block->rows_held[1] = -1;
    memset(block->expanded, 0, sizeof block->expanded);
    memset(block->between, 0, sizeof block->between);
    /* Pixel x lies at (x + 1/2) / 2^times - 1/2 of the maps. */
    const float cell = 1.0f / (float)(1 << band->times);
    for (int i = 0; i < BLOCK; i++) {
        const int x = band->left + first + i;
        const int whole = (2 * x + 1 - (1 << band->times)) >> (band->times + 1);
        block->shares[i] = ((float)(x - whole * (1 << band->times)) + 0.5f) * cell - 0.5f;
        block->cells[i] = clamp_index(whole, band->map_width);
        block->next_cells[i] = clamp_index(whole + 1, band->map_width);
    }
}

/* Columns of the array that a block reads: its own, and REACH more where there are any. */
static inline int first_read(const Block *block) {
    return block->first < REACH ? 0 : block->first - REACH;
}

static inline int last_read(const Block *block, const Band *band) {
    const int last = block->first + block->count + REACH;
    return last < band->width ? last : band->width;
}

/* EXPAND: the columns that a block reads of one row of a coarse plane at twice its size. */
static void expand_row(const float *coarse, int y, const Band *band, Block *block) {
    const int height = (band->height + 1) / 2, width = (band->width + 1) / 2, i = y / 2;
    const int first = first_read(block) / 2, last = (last_read(block, band) + 1) / 2;
    const int from = first > 0 ? first - 1 : 0, to = last < width ? last + 1 : width;
    const float *here = coarse + (ptrdiff_t)i * width;
    const float *after = coarse + (ptrdiff_t)clamp_index(i + 1, height) * width;
    const float *before = coarse + (ptrdiff_t)mirror(i - 1, height) * width;
    float *v = block->between + LANES - first; /* v[x] is that of column x */
    if (y % 2) {
        int x = from;
        for (; x + LANES <= to; x += LANES) store(v + x, halfway(load(here + x), load(after + x)));
        store(v + x, halfway(load_up_to(here + x, to - x), load_up_to(after + x, to - x)));
    } else {
        int x = from;
        for (; x + LANES <= to; x += LANES)
            store(v + x, around(load(before + x), load(here + x), load(after + x)));
        store(v + x, around(load_up_to(before + x, to - x), load_up_to(here + x, to - x),
                            load_up_to(after + x, to - x)));
    }
    if (first == 0) v[-1] = v[mirror(-1, width)];
    if (last == width) v[width] = v[width - 1];
    float *out = block->expanded + EDGE - block->first;
    for (int x = first; x < last; x += LANES) {
        const Lanes even = around(load(v + x - 1), load(v + x), load(v + x + 1));
        const Lanes odd = halfway(load(v + x), load(v + x + 1));
        store_turns(out + 2 * x, even, odd);
    }
}

/* Luma, band and contrast, smoothed along the row, of one row of every exposure. */
INLINE void prepare_row(const Band *band, const Colour *colour, Block *block, int y,
                        const int exposures, const int bytes) {
    const int width = band->width, origin = block->first;
    const int first = first_read(block), last = last_read(block, band);
    const ptrdiff_t area = (ptrdiff_t)band->height * width;
    const ptrdiff_t coarse_area = (ptrdiff_t)((band->height + 1) / 2) * ((width + 1) / 2);
    for (int exposure = 0; exposure < exposures; exposure++) {
        expand_row(band->coarse + exposure * coarse_area, y, band, block);
        const float *expanded = block->expanded + EDGE - origin;
        float *lumas = block->lumas[y % (REACH + 1)][exposure] + EDGE - origin;
        float *bands = block->bands[y % (REACH + 1)][exposure] + EDGE - origin;
        float room[ROW], *padded = room + EDGE - origin;
        const float *fine = bytes ? NULL : band->fine + exposure * area + (ptrdiff_t)y * width;
        const void *pixels = bytes ? row_of(colour, exposure, y, bytes) : NULL;
        for (int x = first; x < last; x += LANES) {
            const Lanes luma = bytes ? (1.0f / full_of(bytes)) *
                                           luma_of(take(pixels, x, last - x, bytes))
                                     : load_up_to(fine + x, last - x);
            const Lanes own = luma - load(expanded + x);
            store(lumas + x, luma);
            store(bands + x, own);
            store(padded + x, magnitude(own) + SALIENCY_FLOOR);
        }
        if (band->saliency == 0.0f) continue;
        for (int x = origin - REACH; x < 0; x++) padded[x] = padded[mirror(x, width)];
        for (int x = width; x < origin + block->count + REACH; x++)
            padded[x] = padded[mirror(x, width)];
        float *contrasts = block->contrasts[y % TAPS][exposure] + EDGE - origin;
        for (int x = origin; x < origin + block->count; x += LANES) {
            const float *c = padded + x;
            store(contrasts + x,
                  smooth(load(c - 2), load(c - 1), load(c), load(c + 1), load(c + 2)));
        }
    }
}

/* One row of every map at the block's columns. */
static void magnify_row(const Band *band, const Block *block, int map_row, float (*rows)[BLOCK]) {
    const int32_t *restrict first = block->cells, *restrict second = block->next_cells;
    const float *restrict share = block->shares;
    for (int map = 0; map < TERMS * band->exposures + 1; map++) {
        const float *restrict cells =
            band->maps + ((ptrdiff_t)map * band->map_height + map_row) * band->map_width;
        float *restrict out = rows[map];
        EACH for (int x = 0; x < BLOCK; x++)
            out[x] = cells[first[x]] + share[x] * (cells[second[x]] - cells[first[x]]);
    }
}

/* Bring the rows of the maps above and below a row of the level, as a row and the step from it to
 * the next; the share of the step that this row lies down it is returned. */
static float bring_maps(const Band *band, Block *block, int y) {
    const int side = 1 << band->times, count = TERMS * band->exposures + 1;
    const int whole = (2 * (band->top + y) + 1 - side) >> (band->times + 1);
    const int wanted[2] = {clamp_index(whole, band->map_height),
                           clamp_index(whole + 1, band->map_height)};
    if (block->rows_held[0] != wanted[0] || block->rows_held[1] != wanted[1]) {
        if (block->rows_held[1] == wanted[0])
            memcpy(block->upper, block->lower, (size_t)count * sizeof *block->upper);
        else
            magnify_row(band, block, wanted[0], block->upper);
        magnify_row(band, block, wanted[1], block->lower);
        for (int map = 0; map < count; map++)
            for (int x = 0; x < BLOCK; x += LANES)
                store(block->steps[map] + x,
                      load(block->lower[map] + x) - load(block->upper[map] + x));
        block->rows_held[0] = wanted[0], block->rows_held[1] = wanted[1];
    }
    return ((float)(band->top + y - whole * side) + 0.5f) / (float)side - 0.5f;
}

/* A map's values in a row. */
INLINE Lanes bring(const Block *block, int map, int x, float way) {
    return load(block->upper[map] + x) + way * load(block->steps[map] + x);
}

/* Logits of one exposure: c_0 + x (c_1 + c_2 x + c_3 m). */
INLINE Lanes evaluate(const Block *block, int exposure, int x, float way, Lanes luma, Lanes mean) {
    const int map = TERMS * exposure;
    const Lanes value = luma - 0.5f;
    return bring(block, map, x, way) +
           value * (bring(block, map + 1, x, way) + bring(block, map + 2, x, way) * value +
                    bring(block, map + 3, x, way) * mean);
}

/* Local contrast of one exposure, smoothed across the rows. */
INLINE Lanes contrast_at(const Block *block, const int slots[TAPS], int exposure, int x) {
    Lanes rows[TAPS];
    for (int tap = 0; tap < TAPS; tap++)
        rows[tap] = load(block->contrasts[slots[tap]][exposure] + EDGE + x);
    return smooth(rows[0], rows[1], rows[2], rows[3], rows[4]);
}

/* The rows of a block that a row of the level needs, and where what is found of it is kept between
 * the short loops that find it: a processor computes several turns of a short loop at once, but
 * waits for every step of a long one. */
typedef struct {
    const float (*lumas)[ROW], (*bands)[ROW];
    int slots[TAPS]; /* of contrasts */
    float mean[BLOCK], low[BLOCK], high[BLOCK];
    float logits[BLOCK], sums[BLOCK], totals[BLOCK];
} Row;

/* Mean of the lumas, and the bounds of what is fused. */
INLINE void span_lumas(const Block *block, Row *row, const int exposures) {
    for (int x = 0; x < block->count; x += LANES) {
        Lanes sum = load(row->lumas[0] + EDGE + x), low = sum, high = sum;
        for (int exposure = 1; exposure < exposures; exposure++) {
            const Lanes luma = load(row->lumas[exposure] + EDGE + x);
            sum += luma, low = least(low, luma), high = largest(high, luma);
        }
        const Lanes mean = sum * (1.0f / (float)exposures);
        store(row->mean + x, mean);
        store(row->low + x, low + FLOOR_SHARE * (mean - low));
        store(row->high + x, high);
    }
}

/* The softmax of two is a logistic function of the difference of their logits. */
INLINE void blend_pair(const Band *band, const Block *block, Row *row, float way) {
    const Lanes low = fill(-MAX_LOGIT), high = fill(MAX_LOGIT);
    for (int x = 0; x < block->count; x += LANES) {
        const Lanes mean = load(row->mean + x) - 0.5f;
        store(row->logits + x,
              evaluate(block, 1, x, way, load(row->lumas[1] + EDGE + x), mean) -
                  evaluate(block, 0, x, way, load(row->lumas[0] + EDGE + x), mean));
    }
    for (int x = 0; band->saliency != 0.0f && x < block->count; x += LANES) {
        const Lanes ratio =
            contrast_at(block, row->slots, 1, x) / contrast_at(block, row->slots, 0, x);
        store(row->logits + x, load(row->logits + x) + band->saliency * logarithm(ratio));
    }
    for (int x = 0; x < block->count; x += LANES) {
        const Lanes weight = exponential(limit(load(row->logits + x), low, high));
        const Lanes dark = load(row->bands[0] + EDGE + x);
        const Lanes bright = load(row->bands[1] + EDGE + x);
        store(row->sums + x, dark + weight / (weight + 1.0f) * (bright - dark));
    }
}

/* The softmax of any number. */
INLINE void blend_many(const Band *band, const Block *block, Row *row, float way,
                       const int exposures) {
    const Lanes low = fill(-MAX_LOGIT), high = fill(MAX_LOGIT);
    for (int exposure = 0; exposure < exposures; exposure++) {
        for (int x = 0; x < block->count; x += LANES) {
            const Lanes luma = load(row->lumas[exposure] + EDGE + x);
            store(row->logits + x,
                  evaluate(block, exposure, x, way, luma, load(row->mean + x) - 0.5f));
        }
        for (int x = 0; band->saliency != 0.0f && x < block->count; x += LANES)
            store(row->logits + x,
                  load(row->logits + x) +
                      band->saliency * logarithm(contrast_at(block, row->slots, exposure, x)));
        for (int x = 0; x < block->count; x += LANES) {
            const Lanes weight = exponential(limit(load(row->logits + x), low, high));
            const Lanes weighted = weight * load(row->bands[exposure] + EDGE + x);
            store(row->sums + x, exposure ? load(row->sums + x) + weighted : weighted);
            store(row->totals + x, exposure ? load(row->totals + x) + weight : weight);
        }
    }
    for (int x = 0; x < block->count; x += LANES)
        store(row->sums + x, load(row->sums + x) / load(row->totals + x));
}

/* Expand what is fused, add the blended band times its gain, and keep within the exposures. */
INLINE void blend_row(const Band *band, Block *block, int y, float *out, const int exposures) {
    const float way = bring_maps(band, block, y);
    Row row = {.lumas = (const float (*)[ROW])block->lumas[y % (REACH + 1)],
               .bands = (const float (*)[ROW])block->bands[y % (REACH + 1)]};
    for (int tap = 0; tap < TAPS; tap++)
        row.slots[tap] = mirror(y + tap - REACH, band->height) % TAPS;
    span_lumas(block, &row, exposures);
    if (exposures == 2) blend_pair(band, block, &row, way);
    else blend_many(band, block, &row, way, exposures);
    expand_row(band->fused, y, band, block);
    for (int x = 0; x < block->count; x += LANES) {
        const Lanes gain = limit(bring(block, TERMS * exposures, x, way), fill(-MAX_LOGIT),
                                 fill(MAX_LOGIT));
        const Lanes level =
            load(block->expanded + EDGE + x) + exponential(gain) * load(row.sums + x);
        store(out + x, limit(level, load(row.low + x), load(row.high + x)));
    }
}

INLINE void collapse_block(const Band *band, const Colour *colour, Block *block,
                           const int exposures, const int bytes) {
    const int end = band->core_top + band->core_height, count = block->count;
    const int column = block->first - band->core_left;
    int prepared = band->core_top < REACH ? 0 : band->core_top - REACH;
    for (int y = band->core_top; y < end; y++) {
        for (; prepared <= y + REACH && prepared < band->height; prepared++)
            prepare_row(band, colour, block, prepared, exposures, bytes);
        float row[BLOCK];
        blend_row(band, block, y, row, exposures);
        const ptrdiff_t there = (ptrdiff_t)(y - band->core_top) * band->core_width + column;
        if (bytes) {
            uint8_t pixels[(BLOCK + 2 * LANES) * CHANNELS * 2];
            colour_row(colour, y, block->first, count, row, pixels, exposures, bytes);
            memcpy((uint8_t *)colour->result + there * CHANNELS * bytes, pixels,
                   (size_t)(count * CHANNELS * bytes));
        } else {
            memcpy(band->result + there, row, (size_t)count * sizeof *row);
        }
    }
}

INLINE void collapse(const Band *band, const Colour *colour, const int bytes) {
    _Alignas(64) Block block;
    for (int done = 0; done < band->core_width; done += BLOCK) {
        const int left = band->core_width - done;
        begin_block(&block, band, band->core_left + done, left < BLOCK ? left : BLOCK);
        if (band->exposures == 2) collapse_block(band, colour, &block, 2, bytes);
        else collapse_block(band, colour, &block, band->exposures, bytes);
    }
}

/* One step of the collapse: see BlendNetwork.add_band. */
void add_band(const Band *band) { collapse(band, NULL, 0); }

/* The last step, coloured and rounded to pixels. */
void blend_uint8(const Band *band, const Colour *colour) { collapse(band, colour, 1); }

void blend_uint16(const Band *band, const Colour *colour) { collapse(band, colour, 2); }
