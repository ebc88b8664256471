/* REDUCE on a GPU: pixels and planes to half their size, as in reduce.c. */

#ifndef EXPOFUSE_GPU_REDUCE_H
#define EXPOFUSE_GPU_REDUCE_H

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

#endif
