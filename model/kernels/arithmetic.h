/* What several kernels share. */

#ifndef EXPOFUSE_ARITHMETIC_H
#define EXPOFUSE_ARITHMETIC_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CHANNELS 3

#define INLINE static inline __attribute__((always_inline))

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

/* Index within 0..length - 1 that a mirror at the first and the last pixel shows. */
static inline int mirror(int index, int length) {
    if (length == 1) return 0;
    int period = 2 * length - 2;
    index = ((index % period) + period) % period;
    return index < length ? index : period - index;
}

/* ---- eight values at a time ---- */

#define GROUP 8

typedef float Eight __attribute__((vector_size(32), aligned(4)));
typedef int32_t Whole __attribute__((vector_size(32), aligned(4)));

INLINE Eight eight(float value) {
    return (Eight){value, value, value, value, value, value, value, value};
}

INLINE Eight load(const float *from) { return *(const Eight *)from; }

INLINE void store(float *to, Eight value) { *(Eight *)to = value; }

/* The next values of a row that ends after `count`; zeros after them. */
INLINE Eight load_up_to(const float *from, int count) {
    if (count >= GROUP) return load(from);
    float padded[GROUP] = {0.0f};
    for (int i = 0; i < count; i++) padded[i] = from[i];
    return load(padded);
}

/* One operation where a comparison made the choice. */
INLINE Eight choose(Whole is_first, Eight first, Eight second) {
    return (Eight)((is_first & (Whole)first) | (~is_first & (Whole)second));
}

INLINE Eight largest(Eight a, Eight b) { return choose(a > b, a, b); }

INLINE Eight least(Eight a, Eight b) { return choose(a < b, a, b); }

INLINE Eight positive(Eight value) { return largest(value, eight(0.0f)); }

INLINE Eight limit(Eight value, Eight low, Eight high) {
    return least(largest(value, low), high);
}

INLINE Eight magnitude(Eight value) { return (Eight)((Whole)value & 0x7fffffff); }

/* e^x = 2^n 2^f for |x| up to 87. 2^f of |f| up to 1/2 is a polynomial that was fitted to it with
 * the least relative error, 1e-7, and is exactly 1 at 0. */
INLINE Eight exponential(Eight x) {
    const Eight magic = eight(12582912.0f), power = x * 1.44269504f;
    const Eight n = (power + magic) - magic, f = power - n;
    Eight series = eight(0.00132647268f);
    series = series * f + 0.00967151267f;
    series = series * f + 0.0555073374f;
    series = series * f + 0.240222421f;
    series = series * f + 0.693146978f;
    series = series * f + 1.0f;
    return (Eight)((Whole)series + (__builtin_convertvector(n, Whole) << 23));
}

/* ln x of positive normal x: x = 2^e m with m about 1, and ln m = 2 artanh((m - 1) / (m + 1)), whose
 * series of four terms leaves out 3e-8. */
INLINE Eight logarithm(Eight x) {
    const Whole bits = (Whole)x;
    const Whole exponent = (bits - 0x3f3504f3) >> 23; /* of x over the root of 1/2 */
    const Eight m = (Eight)(bits - (exponent << 23));
    const Eight s = (m - 1.0f) / (m + 1.0f), square = s * s;
    Eight series = eight(2.0f / 7.0f);
    series = series * square + 2.0f / 5.0f;
    series = series * square + 2.0f / 3.0f;
    series = series * square + 2.0f;
    return __builtin_convertvector(exponent, Eight) * 0.693147181f + s * series;
}

#endif
