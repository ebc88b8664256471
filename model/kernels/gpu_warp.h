/* The warp on a GPU, as in warp.c. */

#ifndef EXPOFUSE_GPU_WARP_H
#define EXPOFUSE_GPU_WARP_H

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

#endif
