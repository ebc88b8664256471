/* One value at a time under the names that the CPU's kernels have for several.
 *
 * A GPU computes a pixel in every thread. arithmetic.h is the other half.
 */

#ifndef EXPOFUSE_ONE_LANE_H
#define EXPOFUSE_ONE_LANE_H

typedef float Lanes;
typedef int Whole;

INLINE Lanes fill(float value) { return value; }

INLINE Lanes choose(Whole is_first, Lanes first, Lanes second) { return is_first ? first : second; }

INLINE Lanes largest(Lanes a, Lanes b) { return a > b ? a : b; }

INLINE Lanes least(Lanes a, Lanes b) { return a < b ? a : b; }

INLINE Lanes positive(Lanes value) { return largest(value, 0.0f); }

INLINE Lanes limit(Lanes value, Lanes low, Lanes high) { return least(largest(value, low), high); }

INLINE Lanes magnitude(Lanes value) { return fabsf(value); }

INLINE Lanes exponential(Lanes x) { return expf(x); }

INLINE Lanes logarithm(Lanes x) { return logf(x); }

#endif
