/* What several kernels share. */

#ifndef EXPOFUSE_ARITHMETIC_H
#define EXPOFUSE_ARITHMETIC_H

#include <stddef.h>
#include <stdint.h>

#define CHANNELS 3

/* A loop whose pointers do not overlap and whose turns do not depend on each other. */
#define EACH _Pragma("clang loop vectorize(assume_safety)")

static inline int clamp_index(int index, int length) {
    return index < 0 ? 0 : index < length ? index : length - 1;
}

static inline float clamp(float x, float low, float high) {
    x = x < low ? low : x;
    return x > high ? high : x;
}

/* To the nearest whole number, half to even, of |x| below 2^22. */
static inline float round_even(float x) {
    const float magic = 12582912.0f;
    return (x + magic) - magic;
}

#endif
