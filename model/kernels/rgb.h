/* R, G and B of pixels, of one or of several as `Lanes` has it. */

#ifndef EXPOFUSE_RGB_H
#define EXPOFUSE_RGB_H

typedef struct {
    Lanes red, green, blue;
} Rgb;

INLINE Lanes luma_of(Rgb pixels) {
    return LUMA_RED * pixels.red + LUMA_GREEN * pixels.green + LUMA_BLUE * pixels.blue;
}

#endif
