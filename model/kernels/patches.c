/* PATCHES: cuts small squares from a picture as a homography lays them, and correlates them with every
 * place of the larger squares about them.
 *
 * A patch, padded to the width of its window's rows, and the window are runs of memory; each place
 * is then one dot product of two runs. Every function computes on the calling thread and keeps
 * nothing.
 *
 * model/alignment/correlation.py checks sizes and types, and calls.
 */

#define LANES 8
#include "arithmetic.h"

#define TAPS 4      /* of the cubic kernel along an axis, the first one pixel before the place */
#define MAX_SIDE 64 /* of a patch */
#define AT_ONCE 4   /* places whose products share what is read of a patch */
#define LEAST_ENERGY 1e-9f

typedef float Taps __attribute__((vector_size(16), aligned(4)));

/* Keys's kernel at a place between the second and the third tap. With a = -3/4, as OpenCV has it,
 * the largest errors of an alignment are smaller than with -1/2. */
INLINE Taps weigh_taps(float t) {
    const Taps cubic = {-0.75f, 1.25f, -1.25f, 0.75f}, square = {1.5f, -2.25f, 1.5f, -0.75f};
    const Taps slope = {-0.75f, 0.0f, 0.75f, 0.0f}, level = {0.0f, 1.0f, 0.0f, 0.0f};
    return ((cubic * t + square) * t + slope) * t + level;
}

/* The picture at a place whose first tap is at (x, y). */
INLINE float sample(const float *picture, int height, int width, int x, int y, float right,
                    float down) {
    const Taps across = weigh_taps(right), along = weigh_taps(down);
    Taps sum = {0.0f, 0.0f, 0.0f, 0.0f};
    if (x >= 0 && y >= 0 && x + TAPS <= width && y + TAPS <= height) {
        const float *from = picture + (ptrdiff_t)y * width + x;
        UNROLLED for (int i = 0; i < TAPS; i++, from += width)
            sum += *(const Taps *)from * along[i];
    } else {
        for (int i = 0; i < TAPS; i++) {
            const float *row = picture + (ptrdiff_t)clamp_index(y + i, height) * width;
            for (int j = 0; j < TAPS; j++) sum[j] += row[clamp_index(x + j, width)] * along[i];
        }
    }
    sum *= across;
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* A place plus the number of taps, so that its whole part is rounded down; far outside it counts as
 * near outside, and what is no number as the first. */
INLINE double clamp_place(double place, int length) {
    const double shifted = place + TAPS, last = (double)length + 2 * TAPS;
    return shifted > 0.0 ? (shifted < last ? shifted : last) : 0.0;
}

/* Patches about centres (x, y), from a picture whose edge is repeated. to_source: from a pixel of
 * a patch to one of the picture. patches: (count, 2 radius + 1, 2 radius + 1). */
void cut_patches(const float *picture, int height, int width, const double *to_source,
                 const int32_t *centres, int count, int radius, float *patches) {
    const int side = 2 * radius + 1;
    const double *h = to_source;
    for (int n = 0; n < count; n++)
        for (int row = 0; row < side; row++, patches += side) {
            const double y = centres[2 * n + 1] + row - radius;
            const double begin = centres[2 * n] - radius;
            int left[MAX_SIDE], top[MAX_SIDE];
            float right[MAX_SIDE], down[MAX_SIDE];
            for (int i = 0; i < side; i++) {
                const double x = begin + i, depth = h[6] * x + (h[7] * y + h[8]);
                const double u = clamp_place((h[0] * x + (h[1] * y + h[2])) / depth, width);
                const double v = clamp_place((h[3] * x + (h[4] * y + h[5])) / depth, height);
                left[i] = (int)u - TAPS, top[i] = (int)v - TAPS;
                right[i] = (float)(u - (int)u), down[i] = (float)(v - (int)v);
            }
            for (int i = 0; i < side; i++)
                patches[i] = sample(picture, height, width, left[i] - 1, top[i] - 1, right[i],
                                    down[i]);
        }
}

INLINE float sum_lanes(Lanes lanes) {
    float sum = 0.0f;
    for (int i = 0; i < LANES; i++) sum += lanes[i];
    return sum;
}

static float sum_run(const float *values, int count) {
    Lanes sums = fill(0.0f);
    for (int i = 0; i < count; i += LANES) sums += load_up_to(values + i, count - i);
    return sum_lanes(sums);
}

/* Products of a run of whole groups of lanes with runs that begin one value after the other. */
INLINE void multiply_runs(const float *run, const float *others, int length, const int count,
                          float *products) {
    Lanes sums[AT_ONCE];
    for (int p = 0; p < count; p++) sums[p] = fill(0.0f);
    for (int i = 0; i < length; i += LANES) {
        const Lanes values = load(run + i);
        for (int p = 0; p < count; p++) sums[p] += values * load(others + i + p);
    }
    for (int p = 0; p < count; p++) products[p] = sum_lanes(sums[p]);
}

static int round_up(int count) { return (count + LANES - 1) / LANES * LANES; }

/* Floats that `correlate_patches` needs as scratch. */
size_t count_patches_scratch(int side, int wide) {
    return (size_t)(round_up(side * wide) + round_up(wide * wide) + 2 * LANES + 2 * wide + wide);
}

/* One patch and its window. scores: (places, places). Returns the smaller of their deviations. */
static float correlate_patch(const float *patch, const float *window, int side, int wide,
                             float *scores, float *scratch) {
    const int places = wide - side + 1;
    const int length = round_up(side * wide - places + 1);
    float *run = scratch, *about = run + round_up(side * wide);
    float *column_sums = about + round_up(wide * wide) + 2 * LANES;
    float *column_squares = column_sums + wide, *products = column_squares + wide;
    /* both without their means; what lies after the window's last value counts nothing */
    const float level = sum_run(window, wide * wide) / (float)(wide * wide);
    for (int i = 0; i < wide * wide; i++) about[i] = window[i] - level;
    memset(about + wide * wide, 0, sizeof(float) * (size_t)(round_up(wide * wide) - wide * wide + 2 * LANES));
    const float mean = sum_run(patch, side * side) / (float)(side * side);
    memset(run, 0, sizeof(float) * (size_t)round_up(side * wide));
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++) run[y * wide + x] = patch[y * side + x] - mean;
    Lanes squares = fill(0.0f);
    for (int i = 0; i < length; i += LANES) squares += load(run + i) * load(run + i);
    const float energy = sum_lanes(squares);
    squares = fill(0.0f);
    for (int i = 0; i < wide * wide; i += LANES) squares += load(about + i) * load(about + i);
    const float of_patch = energy / (float)(side * side);
    const float of_window = sum_lanes(squares) / (float)(wide * wide);

    for (int x = 0; x < wide; x++) column_sums[x] = column_squares[x] = 0.0f;
    for (int y = 0; y < side - 1; y++)
        for (int x = 0; x < wide; x++) {
            const float value = about[y * wide + x];
            column_sums[x] += value, column_squares[x] += value * value;
        }
    for (int row = 0; row < places; row++) {
        const float *last = about + (row + side - 1) * wide, *first = about + row * wide;
        for (int x = 0; x < wide; x++)
            column_sums[x] += last[x], column_squares[x] += last[x] * last[x];
        int column = 0;
        for (; column + AT_ONCE <= places; column += AT_ONCE)
            multiply_runs(run, first + column, length, AT_ONCE, products + column);
        for (; column < places; column++)
            multiply_runs(run, first + column, length, 1, products + column);
        float sum = 0.0f, square = 0.0f;
        for (int x = 0; x < side - 1; x++) sum += column_sums[x], square += column_squares[x];
        for (column = 0; column < places; column++) {
            sum += column_sums[column + side - 1], square += column_squares[column + side - 1];
            const float energies = energy * (square - sum * sum / (float)(side * side));
            scores[row * places + column] =
                energies > LEAST_ENERGY ? products[column] / __builtin_sqrtf(energies) : 0.0f;
            sum -= column_sums[column], square -= column_squares[column];
        }
        for (int x = 0; x < wide; x++)
            column_sums[x] -= first[x], column_squares[x] -= first[x] * first[x];
    }
    return __builtin_sqrtf(of_patch < of_window ? of_patch : of_window);
}

/* patches: (count, side, side); windows: (count, wide, wide). scores: (count, places, places);
 * contrast: of each the smaller standard deviation of the two. */
void correlate_patches(const float *patches, const float *windows, int count, int side, int wide,
                       float *scores, float *contrast, float *scratch) {
    const ptrdiff_t places = wide - side + 1;
    for (ptrdiff_t n = 0; n < count; n++)
        contrast[n] = correlate_patch(patches + n * side * side, windows + n * wide * wide, side,
                                      wide, scores + n * places * places, scratch);
}
