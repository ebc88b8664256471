/* What several kernels of the CPU share. */

#ifndef EXPOFUSE_ARITHMETIC_H
#define EXPOFUSE_ARITHMETIC_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "scalars.h"

/* A loop whose pointers do not overlap and whose turns do not depend on each other. */
#define EACH _Pragma("clang loop vectorize(assume_safety)")

/* A short loop whose turns are written out, so that its sums stay in registers. */
#define UNROLLED _Pragma("clang loop unroll(full)")

/* To the nearest whole number, half to even, of |x| below 2^22. */
static inline float round_even(float x) {
    const float magic = 12582912.0f;
    return (x + magic) - magic;
}

/* ---- several values at a time ---- */

/* A file that needs another number of them says so before it includes this one. */
#ifndef LANES
#ifdef __AVX512F__
#define LANES 16
#else
#define LANES 8
#endif
#endif

typedef float Lanes __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int32_t Whole __attribute__((vector_size(4 * LANES), aligned(4)));

INLINE Lanes fill(float value) {
    Lanes lanes;
    for (int i = 0; i < LANES; i++) lanes[i] = value;
    return lanes;
}

INLINE Lanes load(const float *from) { return *(const Lanes *)from; }

INLINE void store(float *to, Lanes value) { *(Lanes *)to = value; }

/* The next values of a row that ends after `count`; zeros after them. */
INLINE Lanes load_up_to(const float *from, int count) {
    if (count >= LANES) return load(from);
    float padded[LANES] = {0.0f};
    for (int i = 0; i < count; i++) padded[i] = from[i];
    return load(padded);
}

/* Write values of two in turns. */
INLINE void store_turns(float *to, Lanes even, Lanes odd) {
#if LANES == 16
    store(to, __builtin_shufflevector(even, odd, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7,
                                      23));
    store(to + LANES, __builtin_shufflevector(even, odd, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13,
                                              29, 14, 30, 15, 31));
#else
    store(to, __builtin_shufflevector(even, odd, 0, 8, 1, 9, 2, 10, 3, 11));
    store(to + LANES, __builtin_shufflevector(even, odd, 4, 12, 5, 13, 6, 14, 7, 15));
#endif
}

/* One operation where a comparison made the choice. */
INLINE Lanes choose(Whole is_first, Lanes first, Lanes second) {
    return (Lanes)((is_first & (Whole)first) | (~is_first & (Whole)second));
}

INLINE Lanes largest(Lanes a, Lanes b) { return choose(a > b, a, b); }

INLINE Lanes least(Lanes a, Lanes b) { return choose(a < b, a, b); }

INLINE Lanes positive(Lanes value) { return largest(value, fill(0.0f)); }

INLINE Lanes limit(Lanes value, Lanes low, Lanes high) {
    return least(largest(value, low), high);
}

INLINE Lanes magnitude(Lanes value) { return (Lanes)((Whole)value & 0x7fffffff); }

/* e^x = 2^n 2^f for |x| up to 87. 2^f of |f| up to 1/2 is a polynomial that was fitted to it with
 * the least relative error, 1e-7, and is exactly 1 at 0. */
INLINE Lanes exponential(Lanes x) {
    const Lanes magic = fill(12582912.0f), power = x * 1.44269504f;
    const Lanes n = (power + magic) - magic, f = power - n;
    Lanes series = fill(0.00132647268f);
    series = series * f + 0.00967151267f;
    series = series * f + 0.0555073374f;
    series = series * f + 0.240222421f;
    series = series * f + 0.693146978f;
    series = series * f + 1.0f;
    return (Lanes)((Whole)series + (__builtin_convertvector(n, Whole) << 23));
}

/* ln x of positive normal x: x = 2^e m with m about 1, and ln m = 2 artanh((m - 1) / (m + 1)), whose
 * series of four terms leaves out 3e-8. */
INLINE Lanes logarithm(Lanes x) {
    const Whole bits = (Whole)x;
    const Whole exponent = (bits - 0x3f3504f3) >> 23; /* of x over the root of 1/2 */
    const Lanes m = (Lanes)(bits - (exponent << 23));
    const Lanes s = (m - 1.0f) / (m + 1.0f), square = s * s;
    Lanes series = fill(2.0f / 7.0f);
    series = series * square + 2.0f / 5.0f;
    series = series * square + 2.0f / 3.0f;
    series = series * square + 2.0f;
    return __builtin_convertvector(exponent, Lanes) * 0.693147181f + s * series;
}

#endif
