/* Mixes the colour of exposures at a pixel: see mix_colour in model/blend/torch_colour.py.
 *
 * Of one pixel or of several, as `Lanes` has it; what it takes of them is declared before.
 */

#ifndef EXPOFUSE_COLOUR_RULE_H
#define EXPOFUSE_COLOUR_RULE_H

#define HIGH 0.85f /* where a channel comes near to clipping */
#define LOW 0.10f  /* where it comes near to noise */
#define GAMUT_MARGIN (1.0f / 255.0f)
#define NEUTRAL 1e-6f
#define INFINITE 1e30f
#define RED_TO_GREEN (LUMA_RED / LUMA_GREEN) /* green that has the luma of a red */

typedef struct {
    float slope, high, low, offset, gain, turn;
} ColourNumbers;

INLINE Lanes squared_excess(Lanes value) {
    const Lanes excess = positive(value);
    return excess * excess;
}

/* Room between the luma and the end of a channel's range that its chroma goes towards. */
INLINE Lanes room_of(Lanes luma, Lanes chroma, Lanes floor, Lanes ceiling) {
    return positive(choose(chroma > fill(0.0f), ceiling - luma, luma - floor));
}

/* The rule in numbers of the type: what pixels say is not scaled, the rule is. */
typedef struct {
    float slope, high, low, offset, gain, turn;
    float bright, dark; /* HIGH and LOW */
    float least, most;  /* ends of the gamut */
    float neutral;
} Rule;

INLINE Rule scale_rule(const ColourNumbers *given, const float full) {
    const float high = full * (1.0f - HIGH), low = full * LOW;
    const Rule rule = {given->slope / full, given->high / (high * high), given->low / (low * low),
                       full * given->offset, given->gain / full, given->turn / full,
                       full * HIGH, full * LOW,
                       full * GAMUT_MARGIN, full * (1.0f - GAMUT_MARGIN), full * NEUTRAL};
    return rule;
}

/* Logit of an exposure's weight. */
INLINE Lanes judge(const Rule *rule, Rgb p, Lanes luma) {
    const Lanes bright = squared_excess(p.red - rule->bright) +
                         squared_excess(p.green - rule->bright) +
                         squared_excess(p.blue - rule->bright);
    const Lanes dark = squared_excess(rule->dark - p.red) + squared_excess(rule->dark - p.green) +
                       squared_excess(rule->dark - p.blue);
    return rule->slope * luma - rule->high * bright - rule->low * dark;
}

/* What is gathered of the exposures at a pixel. */
typedef struct {
    Rgb chroma;         /* sums of weighted R, G and B beside luma */
    Lanes total, lift;  /* sums of weights, and of weighted steps up to the fused luma */
    Lanes dark, bright; /* ends of the lumas */
    Rgb floor, ceiling; /* ends of the channels */
} Gathered;

INLINE Gathered gather_none(const Rule *rule) {
    const Lanes zero = fill(0.0f), low = fill(rule->least), high = fill(rule->most);
    const Gathered none = {{zero, zero, zero}, zero, zero, fill(INFINITE), zero,
                           {low, low, low}, {high, high, high}};
    return none;
}

INLINE void gather(Gathered *all, const Rule *rule, Rgb p, Lanes weight, Lanes fused) {
    const Lanes luma = luma_of(p), share = weight / (luma + rule->offset);
    all->chroma.red += share * (p.red - luma);
    all->chroma.green += share * (p.green - luma);
    all->chroma.blue += share * (p.blue - luma);
    all->total += weight;
    all->lift += weight * positive(fused - luma);
    all->dark = least(all->dark, luma), all->bright = largest(all->bright, luma);
    all->floor.red = least(all->floor.red, p.red);
    all->floor.green = least(all->floor.green, p.green);
    all->floor.blue = least(all->floor.blue, p.blue);
    all->ceiling.red = largest(all->ceiling.red, p.red);
    all->ceiling.green = largest(all->ceiling.green, p.green);
    all->ceiling.blue = largest(all->ceiling.blue, p.blue);
}

/* The mixed pixels, in numbers of the type. */
INLINE Rgb mix(const Gathered *all, const Rule *rule, Lanes luma) {
    const Lanes part = 1.0f / all->total;
    const Lanes strength = (1.0f + rule->gain * (all->bright - all->dark)) *
                           (luma + rule->offset) * part;
    Lanes r = strength * all->chroma.red, g = strength * all->chroma.green;
    const Lanes b = strength * all->chroma.blue;
    const Lanes blueness = positive(b - positive(largest(r, g)));
    const Lanes turned = rule->turn * all->lift * part * blueness;
    r -= turned;
    g += RED_TO_GREEN * turned;
    Lanes room = room_of(luma, r, all->floor.red, all->ceiling.red);
    const Lanes room_g = room_of(luma, g, all->floor.green, all->ceiling.green);
    const Lanes room_b = room_of(luma, b, all->floor.blue, all->ceiling.blue);
    Lanes reach = largest(magnitude(r), fill(rule->neutral));
    const Lanes reach_g = largest(magnitude(g), fill(rule->neutral));
    const Lanes reach_b = largest(magnitude(b), fill(rule->neutral));
    /* the smallest of the three quotients, by one division */
    Whole is_less = room_g * reach < room * reach_g;
    room = choose(is_less, room_g, room);
    reach = choose(is_less, reach_g, reach);
    is_less = room_b * reach < room * reach_b;
    room = choose(is_less, room_b, room);
    reach = choose(is_less, reach_b, reach);
    const Lanes share = least(room / reach, fill(1.0f));
    const Rgb mixed = {luma + share * r, luma + share * g, luma + share * b};
    return mixed;
}

#endif
