/* The steps of a collapse, of one pixel or of several, as `Lanes` has it. */

#ifndef EXPOFUSE_STEPS_H
#define EXPOFUSE_STEPS_H

#define REACH 2 /* of the binomial 1 4 6 4 1 on either side */
#define TAPS 5
#define TERMS 4 /* coefficients of an exposure's logit */
#define MAX_LOGIT 60.0f
#define SALIENCY_FLOOR 0.06f
#define FLOOR_SHARE 0.2f

/* What a step of the collapse is given, its planes as either kind of kernel knows them.
 *
 * fine: lumas of the exposures at this level; coarse: the same one level above; fused: the fused
 * luma one level above; result: what is fused at this level. maps: c_0 to c_3 of every exposure, and
 * ln of the gain, at the network's level; times: levels from there down to this one. top, left:
 * where this level's arrays begin in the picture's level; core: what of the arrays is computed.
 * saliency: weight of the logarithm of local contrast; 0 leaves it out. */
#define BAND(GIVEN, FOUND)                                                                        \
    int exposures, height, width;                                                                 \
    GIVEN fine;                                                                                   \
    GIVEN coarse;                                                                                 \
    GIVEN fused;                                                                                  \
    FOUND result;                                                                                 \
    const float *maps;                                                                            \
    int map_height, map_width, times, top, left;                                                  \
    float saliency;                                                                               \
    int core_top, core_left, core_height, core_width;

/* EXPAND along one axis: at a coarse value, and between two. */
INLINE Lanes around(Lanes before, Lanes here, Lanes after) {
    return (before + after) * 0.125f + here * 0.75f;
}

INLINE Lanes halfway(Lanes here, Lanes after) { return (here + after) * 0.5f; }

/* The binomial. */
INLINE Lanes smooth(Lanes a, Lanes b, Lanes c, Lanes d, Lanes e) {
    return (a + e) * (1.0f / 16.0f) + ((b + d) * (4.0f / 16.0f) + c * (6.0f / 16.0f));
}

#endif
