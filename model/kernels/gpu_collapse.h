/* One step of the collapse on a GPU, and for the finest level the colour, as in collapse.c. */

#ifndef EXPOFUSE_GPU_COLLAPSE_H
#define EXPOFUSE_GPU_COLLAPSE_H

#define TILE_WIDTH 32 /* pixels of a block */
#define TILE_HEIGHT 16
#define WIDE (TILE_WIDTH + 2 * REACH) /* with what their contrasts are made of */
#define HIGH_TILE (TILE_HEIGHT + 2 * REACH)

/* fine and result: unused by pixels. The result is that of the core alone. */
typedef struct {
    BAND(Planes, Planes)
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

#endif
