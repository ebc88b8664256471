/* LEVELS: counts the levels of pictures, alone and jointly, and reads ranks off the counts.
 *
 * Whole numbers throughout: the results equal those of OpenCV and NumPy to the bit.
 *
 * model/ghosts/kernels.py checks sizes and types, and calls.
 */

#include "arithmetic.h"

#define LEVELS 256
#define RANKS 3  /* the quartiles */
#define FIGURES 5 /* of a row: its sum, the quartiles between levels, and the median's level */

/* How many pixels have each level in the source and each in the target, channel by channel. keep: a
 * byte a pixel, 0 where it does not count; all count where it is no one's. Adds to counts, of
 * R, G and B, (256, 256) each. */
void count_levels(const uint8_t *restrict source, const uint8_t *restrict target,
                  const uint8_t *restrict keep, int pixels, uint32_t *restrict counts) {
    for (ptrdiff_t i = 0; i < pixels; i++) {
        if (keep && !keep[i]) continue;
        for (int c = 0; c < CHANNELS; c++)
            counts[(c * LEVELS + source[i * CHANNELS + c]) * LEVELS + target[i * CHANNELS + c]]++;
    }
}

/* Read the figures of rows of 256 counts. */
void read_ranks(const uint32_t *counts, int rows, double *figures) {
    for (int row = 0; row < rows; row++, counts += LEVELS, figures += FIGURES) {
        uint64_t sum = 0;
        for (int level = 0; level < LEVELS; level++) sum += counts[level];
        const double total = (double)sum;
        const double ranks[RANKS] = {0.25 * total, 0.5 * total, 0.75 * total};
        figures[0] = total;
        uint64_t so_far = 0;
        for (int level = 0, next = 0; next < RANKS; level++) {
            so_far += counts[level];
            while (next < RANKS && (double)so_far >= ranks[next]) {
                const double count = counts[level] ? (double)counts[level] : 1e-12;
                const double inside = 1.0 - ((double)so_far - ranks[next]) / count;
                figures[1 + next] = (double)level - 0.5 + inside;
                if (next == 1) figures[FIGURES - 1] = (double)level;
                next++;
            }
        }
    }
}

INLINE int within(uint8_t level, int low, int high) { return level >= low && level <= high; }

/* How many pixels' brightest channel lies within two levels. */
int count_brightest(const uint8_t *restrict pixels, int count, int low, int high) {
    int found = 0;
    EACH for (int i = 0; i < count; i++) {
        const uint8_t red = pixels[3 * i], green = pixels[3 * i + 1], blue = pixels[3 * i + 2];
        const uint8_t two = red > green ? red : green;
        found += within(two > blue ? two : blue, low, high);
    }
    return found;
}

/* How many pixels have any channel within two levels. */
int count_shown(const uint8_t *restrict pixels, int count, int low, int high) {
    int found = 0;
    EACH for (int i = 0; i < count; i++)
        found += within(pixels[3 * i], low, high) | within(pixels[3 * i + 1], low, high) |
                 within(pixels[3 * i + 2], low, high);
    return found;
}
