/* The passes of a blend, and the warp, for a GPU: each walks its window once.
 *
 * A kernel reads integer pixels as they are and writes integer pixels, or planes of floats of a
 * quarter of their number. What is between is in registers and in the block's room. Formulas and
 * borders are those of the CPU's kernels, whose headers they share: reduce.c, collapse.c, warp.c.
 *
 * model/kernels/grids.py says what a kernel is given, model/blend/torch_passes.py checks sizes and
 * types, and model/torch_kernels.py compiles this file on the machine that runs it.
 */

#include "blocks.h"
#include "scalars.h"
#include "one_lane.h"
#include "rgb.h"
#include "colour_rule.h"
#include "steps.h"

/* Planes of floats; rows and planes have gaps where they are parts of larger ones. */
typedef struct {
    float *first;
    ptrdiff_t row, plane; /* floats from one to the next */
} Planes;

/* Pixels of exposures, interleaved R, G, B. */
typedef struct {
    void *first;
    ptrdiff_t row, exposure; /* samples from one to the next */
} Pictures;

INLINE float *row_of(const Planes *planes, int plane, int y) {
    return planes->first + plane * planes->plane + y * planes->row;
}

INLINE float sample(const Pictures *pictures, ptrdiff_t at, const int bytes) {
    return bytes == 1 ? (float)((const uint8_t *)pictures->first)[at]
                      : (float)((const uint16_t *)pictures->first)[at];
}

/* A pixel in numbers of the type. */
INLINE Rgb take(const Pictures *pictures, int exposure, int y, int x, const int bytes) {
    const ptrdiff_t at =
        exposure * pictures->exposure + y * pictures->row + (ptrdiff_t)x * CHANNELS;
    const Rgb pixel = {sample(pictures, at, bytes), sample(pictures, at + 1, bytes),
                       sample(pictures, at + 2, bytes)};
    return pixel;
}

/* Rounded half to even. */
INLINE void put_sample(const Pictures *pictures, ptrdiff_t at, float value, const int bytes) {
    const float rounded = rintf(limit(value, 0.0f, full_of(bytes)));
    if (bytes == 1) ((uint8_t *)pictures->first)[at] = (uint8_t)rounded;
    else ((uint16_t *)pictures->first)[at] = (uint16_t)rounded;
}

INLINE void put(const Pictures *pictures, int y, int x, Rgb pixel, const int bytes) {
    const ptrdiff_t at = y * pictures->row + (ptrdiff_t)x * CHANNELS;
    put_sample(pictures, at, pixel.red, bytes);
    put_sample(pictures, at + 1, pixel.green, bytes);
    put_sample(pictures, at + 2, pixel.blue, bytes);
}

/* Like `mirror`, whose divisions are for the few that need them. */
INLINE int reflect(int index, int length) {
    return index >= 0 && index < length ? index : mirror(index, length);
}

INLINE float add_taps(float a, float b, float c, float d, float e) {
    return (a + e) + 4.0f * (b + d) + 6.0f * c;
}

/* ---- REDUCE ---- */

#define HALF_WIDTH 32 /* reduced pixels of a block */
#define HALF_HEIGHT 8
#define SPAN (2 * HALF_WIDTH + 2 * REACH - 1) /* pixels of a row that they are made of */

typedef struct {
    Pictures pixels;
    int height, width; /* of the pixels */
    Planes planes;     /* R, G and B of every exposure at half the size, 0..1; null: not wanted */
    Planes lumas;      /* of every exposure likewise */
} PixelReduction;

/* Whole numbers below 2^24, which a float holds exactly. */
INLINE void reduce_block(const PixelReduction *given, float *room, const int top, const int left,
                         const int exposure, const int bytes) {
    EACH_ITEM(item, HALF_HEIGHT * SPAN * CHANNELS) {
        const int line = item / (SPAN * CHANNELS), at = item % (SPAN * CHANNELS);
        const int x = reflect(2 * left - REACH + at / CHANNELS, given->width);
        float taps[TAPS];
        WRITTEN_OUT for (int tap = 0; tap < TAPS; tap++) {
            const int y = reflect(2 * (top + line) - REACH + tap, given->height);
            taps[tap] = sample(&given->pixels,
                               exposure * given->pixels.exposure + y * given->pixels.row +
                                   (ptrdiff_t)x * CHANNELS + at % CHANNELS,
                               bytes);
        }
        room[item] = add_taps(taps[0], taps[1], taps[2], taps[3], taps[4]);
    }
    MEET;
    EACH_ITEM(item, HALF_HEIGHT * HALF_WIDTH) {
        const int line = item / HALF_WIDTH, column = item % HALF_WIDTH;
        const int y = top + line, x = left + column;
        if (y < (given->height + 1) / 2 && x < (given->width + 1) / 2) {
            const float scale = 1.0f / (256.0f * full_of(bytes));
            const float *at = room + (line * SPAN + 2 * column) * CHANNELS;
            float sums[CHANNELS];
            WRITTEN_OUT for (int c = 0; c < CHANNELS; c++)
                sums[c] = add_taps(at[c], at[c + 3], at[c + 6], at[c + 9], at[c + 12]);
            if (given->planes.first)
                WRITTEN_OUT for (int c = 0; c < CHANNELS; c++)
                    row_of(&given->planes, CHANNELS * exposure + c, y)[x] = scale * sums[c];
            if (given->lumas.first) {
                const Rgb all = {sums[0], sums[1], sums[2]};
                row_of(&given->lumas, exposure, y)[x] = scale * luma_of(all);
            }
        }
    }
}

/* Exposures at half their size, rounded up: R, G and B, luma, or both. */
KERNEL(reduce_pixels_uint8, PixelReduction) {
    ROOM
    reduce_block(&given, room, DOWN * HALF_HEIGHT, ACROSS * HALF_WIDTH, DEEP, 1);
}

KERNEL(reduce_pixels_uint16, PixelReduction) {
    ROOM
    reduce_block(&given, room, DOWN * HALF_HEIGHT, ACROSS * HALF_WIDTH, DEEP, 2);
}

typedef struct {
    Planes planes;
    int height, width; /* of them */
    Planes reduced;
} PlaneReduction;

/* Planes at half their size, rounded up. */
KERNEL(reduce_planes, PlaneReduction) {
    ROOM
    const int top = DOWN * HALF_HEIGHT, left = ACROSS * HALF_WIDTH;
    EACH_ITEM(item, HALF_HEIGHT * SPAN) {
        const int line = item / SPAN;
        const int x = reflect(2 * left - REACH + item % SPAN, given.width);
        float taps[TAPS];
        WRITTEN_OUT for (int tap = 0; tap < TAPS; tap++)
            taps[tap] = row_of(&given.planes, DEEP,
                               reflect(2 * (top + line) - REACH + tap, given.height))[x];
        room[item] = add_taps(taps[0], taps[1], taps[2], taps[3], taps[4]) * (1.0f / 16.0f);
    }
    MEET;
    EACH_ITEM(item, HALF_HEIGHT * HALF_WIDTH) {
        const int line = item / HALF_WIDTH, column = item % HALF_WIDTH;
        const int y = top + line, x = left + column;
        if (y < (given.height + 1) / 2 && x < (given.width + 1) / 2) {
            const float *at = room + line * SPAN + 2 * column;
            row_of(&given.reduced, DEEP, y)[x] =
                add_taps(at[0], at[1], at[2], at[3], at[4]) * (1.0f / 16.0f);
        }
    }
}

/* ---- one step of the collapse ---- */

#define TILE_WIDTH 32 /* pixels of a block */
#define TILE_HEIGHT 16
#define WIDE (TILE_WIDTH + 2 * REACH) /* with what their contrasts are made of */
#define HIGH_TILE (TILE_HEIGHT + 2 * REACH)

typedef struct {
    int exposures, height, width; /* of this level's arrays */
    Planes fine;                  /* lumas of the exposures at this level; unused by pixels */
    Planes coarse;                /* the same one level above */
    Planes fused;                 /* the fused luma one level above */
    Planes result;                /* what is fused of the core; unused by pixels */
    const float *maps; /* c_0 to c_3 of every exposure, and ln of the gain, at the network's level */
    int map_height, map_width;
    int times;       /* levels from the maps down to this one */
    int top, left;   /* where this level's arrays begin in the picture's level */
    float saliency;  /* weight of the logarithm of local contrast; 0 leaves it out */
    int core_top, core_left, core_height, core_width; /* of the arrays: what is computed */
} Band;

typedef struct {
    Band band;
    Pictures pixels, result; /* the result's first pixel is the core's */
    ColourNumbers numbers;
} Blend;

/* The cells of the maps around a pixel, and its way from one to the next. */
typedef struct {
    int upper, lower, first, second;
    float across, down;
} Cells;

/* Pixel x lies at (x + 1/2) / 2^times - 1/2 of the maps. */
INLINE int find_cell(int x, int times, float *share) {
    const int side = 1 << times, whole = (2 * x + 1 - side) >> (times + 1);
    *share = ((float)(x - whole * side) + 0.5f) / (float)side - 0.5f;
    return whole;
}

INLINE Cells find_cells(const Band *band, int y, int x) {
    Cells cells;
    const int row = find_cell(band->top + y, band->times, &cells.down);
    const int column = find_cell(band->left + x, band->times, &cells.across);
    cells.upper = clamp_index(row, band->map_height) * band->map_width;
    cells.lower = clamp_index(row + 1, band->map_height) * band->map_width;
    cells.first = clamp_index(column, band->map_width);
    cells.second = clamp_index(column + 1, band->map_width);
    return cells;
}

INLINE float bring(const Band *band, const Cells *cells, int number) {
    const float *map = band->maps + (ptrdiff_t)number * band->map_height * band->map_width;
    const float *upper = map + cells->upper, *lower = map + cells->lower;
    const float above =
        upper[cells->first] + cells->across * (upper[cells->second] - upper[cells->first]);
    const float below =
        lower[cells->first] + cells->across * (lower[cells->second] - lower[cells->first]);
    return above + cells->down * (below - above);
}

/* EXPAND: a pixel of a coarse plane at twice its size. height, width: of the fine one. */
INLINE float expand(const Planes *planes, int plane, int height, int width, int y, int x) {
    const int rows = (height + 1) / 2, columns = (width + 1) / 2, i = y / 2, j = x / 2;
    const float *here = row_of(planes, plane, i);
    const float *after = row_of(planes, plane, clamp_index(i + 1, rows));
    const float *before = row_of(planes, plane, reflect(i - 1, rows));
    const int at[3] = {reflect(j - 1, columns), j, clamp_index(j + 1, columns)};
    float between[3];
    WRITTEN_OUT for (int k = 0; k < 3; k++)
        between[k] = y % 2 ? halfway(here[at[k]], after[at[k]])
                           : around(before[at[k]], here[at[k]], after[at[k]]);
    return x % 2 ? halfway(between[1], between[2]) : around(between[0], between[1], between[2]);
}

INLINE float luma_at(const Band *band, const Pictures *pixels, int exposure, int y, int x,
                     const int bytes) {
    if (bytes) return (1.0f / full_of(bytes)) * luma_of(take(pixels, exposure, y, x, bytes));
    return row_of(&band->fine, exposure, y)[x];
}

/* Bands of the tile and of what lies around it, then their contrasts, smoothed along the rows. */
INLINE void prepare_tile(const Band *band, const Pictures *pixels, float *bands, float *contrasts,
                         int top, int left, const int exposures, const int bytes) {
    EACH_ITEM(item, exposures * HIGH_TILE * WIDE) {
        const int exposure = item / (HIGH_TILE * WIDE), line = item / WIDE % HIGH_TILE;
        const int y = reflect(top + line - REACH, band->height);
        const int x = reflect(left + item % WIDE - REACH, band->width);
        bands[item] = luma_at(band, pixels, exposure, y, x, bytes) -
                      expand(&band->coarse, exposure, band->height, band->width, y, x);
    }
    MEET;
    if (band->saliency != 0.0f) {
        EACH_ITEM(item, exposures * HIGH_TILE * TILE_WIDTH) {
            const float *at = bands + item / TILE_WIDTH * WIDE + item % TILE_WIDTH;
            float taps[TAPS];
            WRITTEN_OUT for (int tap = 0; tap < TAPS; tap++)
                taps[tap] = magnitude(at[tap]) + SALIENCY_FLOOR;
            contrasts[item] = smooth(taps[0], taps[1], taps[2], taps[3], taps[4]);
        }
        MEET;
    }
}

/* A pixel of a tile: its place in the arrays, and what was prepared of it. */
typedef struct {
    int y, x;
    const float *bands, *contrasts; /* of the first exposure; the others' follow */
    Cells cells;
} Spot;

INLINE float band_of(const Spot *spot, int exposure) {
    return spot->bands[exposure * HIGH_TILE * WIDE];
}

/* Local contrast, smoothed across the rows too. */
INLINE float contrast_of(const Spot *spot, int exposure) {
    const float *at = spot->contrasts + exposure * HIGH_TILE * TILE_WIDTH;
    return smooth(at[0], at[TILE_WIDTH], at[2 * TILE_WIDTH], at[3 * TILE_WIDTH],
                  at[4 * TILE_WIDTH]);
}

/* Logit of one exposure but for its contrast: c_0 + x (c_1 + c_2 x + c_3 m). */
INLINE float evaluate(const Band *band, const Spot *spot, int exposure, float luma, float mean) {
    const int map = TERMS * exposure;
    const float value = luma - 0.5f;
    return bring(band, &spot->cells, map) +
           value * (bring(band, &spot->cells, map + 1) +
                    bring(band, &spot->cells, map + 2) * value +
                    bring(band, &spot->cells, map + 3) * mean);
}

/* The softmax of two is a logistic function of the difference of their logits. */
INLINE float blend_pair(const Band *band, const Pictures *pixels, const Spot *spot, float mean,
                        const int bytes) {
    const float dark = luma_at(band, pixels, 0, spot->y, spot->x, bytes);
    const float bright = luma_at(band, pixels, 1, spot->y, spot->x, bytes);
    float logit = evaluate(band, spot, 1, bright, mean) - evaluate(band, spot, 0, dark, mean);
    if (band->saliency != 0.0f)
        logit += band->saliency * logarithm(contrast_of(spot, 1) / contrast_of(spot, 0));
    const float weight = exponential(limit(logit, -MAX_LOGIT, MAX_LOGIT));
    return band_of(spot, 0) + weight / (weight + 1.0f) * (band_of(spot, 1) - band_of(spot, 0));
}

/* The softmax of any number. */
INLINE float blend_many(const Band *band, const Pictures *pixels, const Spot *spot, float mean,
                        const int exposures, const int bytes) {
    float sum = 0.0f, total = 0.0f;
    for (int exposure = 0; exposure < exposures; exposure++) {
        const float luma = luma_at(band, pixels, exposure, spot->y, spot->x, bytes);
        float logit = evaluate(band, spot, exposure, luma, mean);
        if (band->saliency != 0.0f)
            logit += band->saliency * logarithm(contrast_of(spot, exposure));
        const float weight = exponential(limit(logit, -MAX_LOGIT, MAX_LOGIT));
        sum += weight * band_of(spot, exposure);
        total += weight;
    }
    return sum / total;
}

/* Expand what is fused, add the blended band times its gain, and keep within the exposures. */
INLINE float fuse_pixel(const Band *band, const Pictures *pixels, const Spot *spot,
                        const int exposures, const int bytes) {
    float sum = 0.0f, low = INFINITE, high = -INFINITE;
    WRITTEN_OUT for (int exposure = 0; exposure < exposures; exposure++) {
        const float luma = luma_at(band, pixels, exposure, spot->y, spot->x, bytes);
        sum += luma, low = least(low, luma), high = largest(high, luma);
    }
    const float mean = sum * (1.0f / (float)exposures);
    const float blended =
        exposures == 2 ? blend_pair(band, pixels, spot, mean - 0.5f, bytes)
                       : blend_many(band, pixels, spot, mean - 0.5f, exposures, bytes);
    const float gain =
        limit(bring(band, &spot->cells, TERMS * exposures), -MAX_LOGIT, MAX_LOGIT);
    const float level = expand(&band->fused, 0, band->height, band->width, spot->y, spot->x) +
                        exponential(gain) * blended;
    return limit(level, low + FLOOR_SHARE * (mean - low), high);
}

/* Give a fused luma, 0..1, the colour of the exposures. */
INLINE Rgb colour_pixel(const Blend *given, const Spot *spot, float fused, const int exposures,
                        const int bytes) {
    const float full = full_of(bytes), luma = full * fused;
    const Rule rule = scale_rule(&given->numbers, full);
    Gathered all = gather_none(&rule);
    float first = 0.0f;
    WRITTEN_OUT for (int exposure = 0; exposure < exposures; exposure++) {
        const Rgb pixel = take(&given->pixels, exposure, spot->y, spot->x, bytes);
        const float logit = judge(&rule, pixel, luma_of(pixel));
        /* relative to the first one's: logits differ by tens at most */
        const float weight = exposure ? exponential(logit - first) : 1.0f;
        if (exposure == 0) first = logit;
        gather(&all, &rule, pixel, weight, luma);
    }
    return mix(&all, &rule, luma);
}

INLINE void collapse_tile(const Band *band, const Blend *blend, float *room, int block_y,
                          int block_x, const int exposures, const int bytes) {
    const Pictures *pixels = blend ? &blend->pixels : 0;
    float *bands = room, *contrasts = room + exposures * HIGH_TILE * WIDE;
    const int top = band->core_top + block_y * TILE_HEIGHT;
    const int left = band->core_left + block_x * TILE_WIDTH;
    prepare_tile(band, pixels, bands, contrasts, top, left, exposures, bytes);
    EACH_ITEM(item, TILE_HEIGHT * TILE_WIDTH) {
        const int line = item / TILE_WIDTH, column = item % TILE_WIDTH;
        const int y = block_y * TILE_HEIGHT + line, x = block_x * TILE_WIDTH + column;
        if (y < band->core_height && x < band->core_width) {
            Spot spot;
            spot.y = top + line, spot.x = left + column;
            spot.bands = bands + (line + REACH) * WIDE + column + REACH;
            spot.contrasts = contrasts + line * TILE_WIDTH + column;
            spot.cells = find_cells(band, spot.y, spot.x);
            const float fused = fuse_pixel(band, pixels, &spot, exposures, bytes);
            if (bytes)
                put(&blend->result, y, x, colour_pixel(blend, &spot, fused, exposures, bytes),
                    bytes);
            else
                row_of(&band->result, 0, y)[x] = fused;
        }
    }
}

/* One step of the collapse: see BlendNetwork.add_band. */
KERNEL(add_band, Band) {
    ROOM
    if (given.exposures == 2) collapse_tile(&given, 0, room, DOWN, ACROSS, 2, 0);
    else collapse_tile(&given, 0, room, DOWN, ACROSS, given.exposures, 0);
}

/* The last step, coloured and rounded to pixels. */
KERNEL(blend_pixels_uint8, Blend) {
    ROOM
    if (given.band.exposures == 2) collapse_tile(&given.band, &given, room, DOWN, ACROSS, 2, 1);
    else collapse_tile(&given.band, &given, room, DOWN, ACROSS, given.band.exposures, 1);
}

KERNEL(blend_pixels_uint16, Blend) {
    ROOM
    if (given.band.exposures == 2) collapse_tile(&given.band, &given, room, DOWN, ACROSS, 2, 2);
    else collapse_tile(&given.band, &given, room, DOWN, ACROSS, given.band.exposures, 2);
}

/* ---- warp ---- */

#define WARPED_WIDTH 32 /* pixels of a block */
#define WARPED_HEIGHT 8
#define CUBIC_TAPS 4
#define CUBIC_BEFORE 1

typedef struct {
    Pictures moving;         /* what of the moving exposure is there, from its first pixel on */
    int region_top, region_left;       /* where that lies in the exposure */
    int moving_height, moving_width;   /* of the whole exposure */
    double map[9];                     /* pixel of the window's picture -> place in the exposure */
    int top, left, height, width;      /* the window */
    Pictures pixels;                   /* the window, rounded; or */
    Planes planes;                     /* R, G and B of it, 0..1, not rounded */
} Warp;

/* One coordinate: its whole part, and Keys' kernel with a = -1/2 of the rest. */
INLINE int weigh_taps(double at, int length, float weights[CUBIC_TAPS]) {
    const double most = (double)(length + CUBIC_TAPS);
    const double place = at < -CUBIC_TAPS ? -CUBIC_TAPS : at > most ? most : at;
    const double before = floor(place);
    const float t = (float)(place - before), t2 = t * t, t3 = t2 * t;
    weights[0] = -0.5f * (t3 - 2.0f * t2 + t);
    weights[1] = 1.5f * t3 - 2.5f * t2 + 1.0f;
    weights[2] = -1.5f * t3 + 2.0f * t2 + 0.5f * t;
    weights[3] = -0.5f * (t2 - t3);
    return (int)before - CUBIC_BEFORE;
}

/* The moving exposure at a pixel of the picture, in numbers of the type; its edge is repeated. */
INLINE Rgb warp_pixel(const Warp *given, int y, int x, const int bytes) {
    const double *map = given->map;
    const double row = (double)y, column = (double)x;
    const double one = 1.0 / (map[6] * column + (map[7] * row + map[8]));
    float across[CUBIC_TAPS], down[CUBIC_TAPS];
    const int left = weigh_taps((map[0] * column + (map[1] * row + map[2])) * one,
                                given->moving_width, across);
    const int top = weigh_taps((map[3] * column + (map[4] * row + map[5])) * one,
                               given->moving_height, down);
    Rgb columns[CUBIC_TAPS];
    WRITTEN_OUT for (int j = 0; j < CUBIC_TAPS; j++) {
        const int there = clamp_index(left + j, given->moving_width) - given->region_left;
        Rgb sum = {0.0f, 0.0f, 0.0f};
        WRITTEN_OUT for (int i = 0; i < CUBIC_TAPS; i++) {
            const int line = clamp_index(top + i, given->moving_height) - given->region_top;
            const Rgb pixel = take(&given->moving, 0, line, there, bytes);
            sum.red += down[i] * pixel.red;
            sum.green += down[i] * pixel.green;
            sum.blue += down[i] * pixel.blue;
        }
        columns[j].red = across[j] * sum.red;
        columns[j].green = across[j] * sum.green;
        columns[j].blue = across[j] * sum.blue;
    }
    const float full = full_of(bytes);
    const Rgb warped = {
        limit((columns[0].red + columns[1].red) + (columns[2].red + columns[3].red), 0.0f, full),
        limit((columns[0].green + columns[1].green) + (columns[2].green + columns[3].green), 0.0f,
              full),
        limit((columns[0].blue + columns[1].blue) + (columns[2].blue + columns[3].blue), 0.0f,
              full)};
    return warped;
}

INLINE void warp_block(const Warp *given, int block_y, int block_x, const int bytes) {
    EACH_ITEM(item, WARPED_HEIGHT * WARPED_WIDTH) {
        const int y = block_y * WARPED_HEIGHT + item / WARPED_WIDTH;
        const int x = block_x * WARPED_WIDTH + item % WARPED_WIDTH;
        if (y < given->height && x < given->width) {
            const Rgb warped = warp_pixel(given, given->top + y, given->left + x, bytes);
            if (given->pixels.first) {
                put(&given->pixels, y, x, warped, bytes);
            } else {
                const float scale = 1.0f / full_of(bytes);
                row_of(&given->planes, 0, y)[x] = scale * warped.red;
                row_of(&given->planes, 1, y)[x] = scale * warped.green;
                row_of(&given->planes, 2, y)[x] = scale * warped.blue;
            }
        }
    }
}

/* A window of a picture, sampled in the moving exposure. */
KERNEL(warp_uint8, Warp) { warp_block(&given, DOWN, ACROSS, 1); }

KERNEL(warp_uint16, Warp) { warp_block(&given, DOWN, ACROSS, 2); }
