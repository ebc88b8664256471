/* Reads and writes interleaved pixels of uint8 or uint16, as many at a time as there are lanes.
 *
 * `bytes` of a channel is 1 or 2, and known where a function is written into its caller.
 */

#ifndef EXPOFUSE_PIXELS_H
#define EXPOFUSE_PIXELS_H

#include "arithmetic.h"
#include "rgb.h"

typedef uint8_t Bytes16 __attribute__((vector_size(16), aligned(1)));
typedef uint8_t Bytes32 __attribute__((vector_size(32), aligned(1)));
typedef int32_t Numbers __attribute__((vector_size(32), aligned(4)));
typedef uint16_t Words8 __attribute__((vector_size(16), aligned(2)));
typedef uint16_t Words16 __attribute__((vector_size(32), aligned(2)));

/* One channel of eight pixels. Four of them, twelve bytes, lie in either half of what is read; each
 * byte that is picked becomes a number of four. */
#define PICK(all, c)                                                                              \
    (Numbers) __builtin_shufflevector(                                                            \
        all, (Bytes32){0}, c, 32, 32, 32, c + 3, 32, 32, 32, c + 6, 32, 32, 32, c + 9, 32, 32,    \
        32, c + 20, 32, 32, 32, c + 23, 32, 32, 32, c + 26, 32, 32, 32, c + 29, 32, 32, 32)

INLINE void take_bytes(const uint8_t *from, Numbers channels[CHANNELS]) {
    const Bytes16 first = *(const Bytes16 *)from, last = *(const Bytes16 *)(from + 8);
    const Bytes32 all = __builtin_shufflevector(
        first, last, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
        22, 23, 24, 25, 26, 27, 28, 29, 30, 31);
    channels[0] = PICK(all, 0), channels[1] = PICK(all, 1), channels[2] = PICK(all, 2);
}

/* One channel of eight pixels of three times eight words. */
#define PICK_WORDS(first, last, c)                                                                \
    __builtin_convertvector(__builtin_shufflevector(first, last, c, c + 3, c + 6, c + 9, c + 12,  \
                                                    c + 15, c + 18, c + 21),                      \
                            Numbers)

INLINE void take_words(const uint16_t *from, Numbers channels[CHANNELS]) {
    const Words8 one = *(const Words8 *)from, two = *(const Words8 *)(from + 8);
    const Words8 three = *(const Words8 *)(from + 16);
    const Words16 first = __builtin_shufflevector(one, two, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
                                                  13, 14, 15);
    const Words16 last = __builtin_shufflevector(three, three, 0, 1, 2, 3, 4, 5, 6, 7, -1, -1, -1,
                                                 -1, -1, -1, -1, -1);
    channels[0] = PICK_WORDS(first, last, 0), channels[1] = PICK_WORDS(first, last, 1);
    channels[2] = PICK_WORDS(first, last, 2);
}

INLINE void take_eight(const uint8_t *from, Numbers channels[CHANNELS], const int bytes) {
    if (bytes == 1) take_bytes(from, channels);
    else take_words((const uint16_t *)from, channels);
}

/* Pixels x.. of a row that has `count` more; black after them. As numbers of the type. */
INLINE Rgb take(const void *row, int x, int count, const int bytes) {
    const uint8_t *from = (const uint8_t *)row + (ptrdiff_t)x * CHANNELS * bytes;
    uint16_t padded[LANES * CHANNELS] = {0};
    if (count < LANES) {
        memcpy(padded, from, (size_t)(count * CHANNELS * bytes));
        from = (const uint8_t *)padded;
    }
    Numbers eight[CHANNELS];
    take_eight(from, eight, bytes);
    Lanes channels[CHANNELS];
#if LANES == 16
    Numbers more[CHANNELS];
    take_eight(from + 8 * CHANNELS * bytes, more, bytes);
    for (int c = 0; c < CHANNELS; c++)
        channels[c] = __builtin_convertvector(
            __builtin_shufflevector(eight[c], more[c], 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
                                    14, 15),
            Lanes);
#else
    for (int c = 0; c < CHANNELS; c++) channels[c] = __builtin_convertvector(eight[c], Lanes);
#endif
    return (Rgb){channels[0], channels[1], channels[2]};
}

/* Write the three lowest bytes of eight numbers; four bytes after them are spoilt. */
INLINE void put_eight(uint8_t *to, Numbers mixed) {
    const Bytes32 all = __builtin_shufflevector(
        (Bytes32)mixed, (Bytes32)mixed, 0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1, 16,
        17, 18, 20, 21, 22, 24, 25, 26, 28, 29, 30, -1, -1, -1, -1);
    *(Bytes16 *)to = __builtin_shufflevector(all, all, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
                                             14, 15);
    *(Bytes16 *)(to + 12) = __builtin_shufflevector(all, all, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
                                                    26, 27, 28, 29, 30, 31);
}

/* Write pixels, rounded half to even, of numbers of the type. to: has room for 32 bytes more
 * than it takes. */
INLINE void put(void *to, Rgb pixels, const int bytes) {
    const Lanes magic = fill(12582912.0f);
    const Lanes full = fill(full_of(bytes)), zero = fill(0.0f);
    /* The lowest bits of a number beside the magic one are the whole number it was rounded to. */
    const Whole red = (Whole)(limit(pixels.red, zero, full) + magic);
    const Whole green = (Whole)(limit(pixels.green, zero, full) + magic);
    const Whole blue = (Whole)(limit(pixels.blue, zero, full) + magic);
    if (bytes == 1) {
        const Whole mixed = (red & 255) | ((green & 255) << 8) | (blue << 16);
#if LANES == 16
        put_eight(to, __builtin_shufflevector(mixed, mixed, 0, 1, 2, 3, 4, 5, 6, 7));
        put_eight((uint8_t *)to + 8 * CHANNELS,
                  __builtin_shufflevector(mixed, mixed, 8, 9, 10, 11, 12, 13, 14, 15));
#else
        put_eight(to, mixed);
#endif
    } else {
        uint16_t *out = to;
        for (int i = 0; i < LANES; i += 8) {
            Words8 r, g, b;
            for (int j = 0; j < 8; j++) {
                r[j] = (uint16_t)red[i + j];
                g[j] = (uint16_t)green[i + j];
                b[j] = (uint16_t)blue[i + j];
            }
            const Words16 both = __builtin_shufflevector(r, g, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
                                                         12, 13, 14, 15);
            const Words16 last = __builtin_shufflevector(b, b, 0, 1, 2, 3, 4, 5, 6, 7, -1, -1, -1,
                                                         -1, -1, -1, -1, -1);
            *(Words8 *)(out + CHANNELS * i) =
                __builtin_shufflevector(both, last, 0, 8, 16, 1, 9, 17, 2, 10);
            *(Words8 *)(out + CHANNELS * i + 8) =
                __builtin_shufflevector(both, last, 18, 3, 11, 19, 4, 12, 20, 5);
            *(Words8 *)(out + CHANNELS * i + 16) =
                __builtin_shufflevector(both, last, 13, 21, 6, 14, 22, 7, 15, 23);
        }
    }
}

#endif
