/* The steps of a collapse, of one pixel or of several, as `Lanes` has it. */

#ifndef EXPOFUSE_STEPS_H
#define EXPOFUSE_STEPS_H

#define REACH 2 /* of the binomial 1 4 6 4 1 on either side */
#define TAPS 5
#define TERMS 4 /* coefficients of an exposure's logit */
#define MAX_LOGIT 60.0f
#define SALIENCY_FLOOR 0.06f
#define FLOOR_SHARE 0.2f

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
