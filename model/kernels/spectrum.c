/* SPECTRUM: multiplies two packed spectra, and divides most of the amplitude out.
 *
 * A spectrum of a real picture of even sides is packed as OpenCV packs it: the real and imaginary
 * parts lie side by side, but in the first and the last column one below the other, and in the
 * corners there are real numbers alone.
 *
 * model/alignment/phase.py checks sizes and types, and calls.
 */

#define LANES 8
#include "arithmetic.h"

#define LEAST_ENERGY 1e-36f /* whose logarithm is a number */
#define LEAST_AMPLITUDE 1e-6f

typedef struct {
    Lanes real, imaginary;
} Complex;

/* Numbers that lie one after the other. */
INLINE Complex take_pairs(const float *from) {
    const Lanes first = load(from), second = load(from + LANES);
    return (Complex){__builtin_shufflevector(first, second, 0, 2, 4, 6, 8, 10, 12, 14),
                     __builtin_shufflevector(first, second, 1, 3, 5, 7, 9, 11, 13, 15)};
}

/* One spectrum by the conjugate of the other, whitened. */
INLINE Complex whiten(Complex fixed, Complex moving, float power) {
    const Lanes real = fixed.real * moving.real + fixed.imaginary * moving.imaginary;
    const Lanes imaginary = fixed.imaginary * moving.real - fixed.real * moving.imaginary;
    const Lanes energy = real * real + imaginary * imaginary + LEAST_ENERGY;
    const Lanes amplitude = exponential(logarithm(energy) * power) + LEAST_AMPLITUDE;
    return (Complex){real / amplitude, imaginary / amplitude};
}

/* Up to eight numbers whose parts lie `apart` floats from each other, and from number to number. */
INLINE Complex gather_pairs(const float *from, ptrdiff_t apart, int count, int is_real) {
    float real[LANES] = {0.0f}, imaginary[LANES] = {0.0f};
    for (int i = 0; i < count; i++) {
        real[i] = from[(is_real ? i : 2 * i) * apart];
        imaginary[i] = is_real ? 0.0f : from[(2 * i + 1) * apart];
    }
    return (Complex){load(real), load(imaginary)};
}

INLINE void whiten_few(const float *fixed, const float *moving, float *product, ptrdiff_t apart,
                       int count, int is_real, float power) {
    for (int done = 0; done < count; done += LANES) {
        const int some = count - done < LANES ? count - done : LANES;
        const ptrdiff_t at = (is_real ? done : 2 * done) * apart;
        const Complex found = whiten(gather_pairs(fixed + at, apart, some, is_real),
                                     gather_pairs(moving + at, apart, some, is_real), power);
        for (int i = 0; i < some; i++) {
            product[at + (is_real ? i : 2 * i) * apart] = found.real[i];
            if (!is_real) product[at + (2 * i + 1) * apart] = found.imaginary[i];
        }
    }
}

/* power: of the energy, half of the amplitude's. */
void cross_spectrum(const float *fixed, const float *moving, int height, int width, float power,
                    float *product) {
    const int pairs = width / 2 - 1, whole = pairs / LANES * LANES;
    for (int y = 0; y < height; y++) {
        const ptrdiff_t row = (ptrdiff_t)y * width + 1;
        for (int x = 0; x < whole; x += LANES) {
            const ptrdiff_t at = row + 2 * x;
            const Complex found = whiten(take_pairs(fixed + at), take_pairs(moving + at), power);
            store_turns(product + at, found.real, found.imaginary);
        }
        const ptrdiff_t at = row + 2 * whole;
        whiten_few(fixed + at, moving + at, product + at, 1, pairs - whole, 0, power);
    }
    for (int side = 0; side < 2; side++) {
        const ptrdiff_t first = side ? width - 1 : 0, second = first + width;
        whiten_few(fixed + second, moving + second, product + second, width, height / 2 - 1, 0,
                   power);
        whiten_few(fixed + first, moving + first, product + first, (ptrdiff_t)width * (height - 1),
                   2, 1, power);
    }
}
