/* Gives a fused luma the exposures' colour: see mix_colour in model/blend/torch_colour.py. */

#ifndef EXPOFUSE_COLOUR_H
#define EXPOFUSE_COLOUR_H

#include "pixels.h"
#include "colour_rule.h"

#define STRETCH (16 * LANES) /* pixels of a row at a time: what is kept of them is in the cache */

typedef struct {
    const void *const *pixels;   /* of every exposure, interleaved R, G, B */
    const ptrdiff_t *row_pixels; /* from a row of each to the next */
    void *result;                /* interleaved R, G, B */
    ColourNumbers numbers;
} Colour;

INLINE const void *row_of(const Colour *colour, int exposure, int y, const int bytes) {
    return (const uint8_t *)colour->pixels[exposure] +
           y * colour->row_pixels[exposure] * CHANNELS * bytes;
}

/* Weights of the exposures, relative to the first one's: their logits differ by tens at most. */
INLINE void weigh_row(const Colour *colour, const Rule *rule, int y, int x, int count,
                      float (*weights)[STRETCH], const int exposures, const int bytes) {
    for (int exposure = 0; exposure < exposures; exposure++) {
        const void *row = row_of(colour, exposure, y, bytes);
        for (int i = 0; i < count; i += LANES) {
            const Rgb p = take(row, x + i, count - i, bytes);
            const Lanes logit = judge(rule, p, luma_of(p));
            store(weights[exposure] + i, exposure ? logit - load(weights[0] + i) : logit);
        }
    }
    for (int exposure = 1; exposure < exposures; exposure++)
        for (int i = 0; i < count; i += LANES)
            store(weights[exposure] + i, exponential(load(weights[exposure] + i)));
}

/* Colour some pixels of a row, at most STRETCH. lumas: theirs, and room up to whole eights; out: has
 * room for eight pixels more. x: the first, beside the exposures' first. */
INLINE void colour_row(const Colour *colour, int y, int x, int count, const float *lumas,
                       uint8_t *out, const int exposures, const int bytes) {
    const float full = full_of(bytes);
    const Rule rule = scale_rule(&colour->numbers, full);
    float weights[MAX_EXPOSURES][STRETCH];
    weigh_row(colour, &rule, y, x, count, weights, exposures, bytes);
    for (int i = 0; i < count; i += LANES) {
        const Lanes luma = full * load(lumas + i);
        Gathered all = gather_none(&rule);
        for (int exposure = 0; exposure < exposures; exposure++) {
            const void *row = row_of(colour, exposure, y, bytes);
            const Lanes weight = exposure ? load(weights[exposure] + i) : fill(1.0f);
            gather(&all, &rule, take(row, x + i, count - i, bytes), weight, luma);
        }
        put(out + (ptrdiff_t)i * CHANNELS * bytes, mix(&all, &rule, luma), bytes);
    }
}

#endif
