"""The score of contradictions by OpenCV's operations on whole planes: what the kernel computes."""

import cv2
import numpy as np

from model.ghosts import consistency
from model.ghosts.planes import halve

SQUARE = np.ones((3, 3), np.uint8)
TOLERANCES = np.hypot(
    np.arange(256) * (consistency.SPREADS_TOLERATED / consistency.SPREAD_STEPS), consistency.FLOOR
).astype(np.float32)


def score_contradiction(exposure, expected):
    """See `model.ghosts.consistency.score_contradiction`."""
    planes, is_brighter = expected
    height, width = planes.trust.shape
    score = _score_scale(exposure, planes, 1.0, is_brighter=is_brighter)
    for scale in range(1, consistency.SCALES):
        if min(planes.trust.shape) < 2 * consistency.LEAST_SIDE_PX:
            break
        exposure, *coarser = (_halve_all(one) for one in (exposure, *planes))
        planes = type(planes)(*coarser)
        coarse = _score_scale(exposure, planes, 0.5**scale, is_brighter=is_brighter)
        fine = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
        score = np.maximum(score, fine)
    return score


def _halve_all(planes):
    return halve(planes) if planes.ndim == 2 else np.stack([halve(plane) for plane in planes])


def _score_scale(exposure, planes, reach, *, is_brighter):
    differences = [
        _leave_range(plane, low, high, planes.trust, reach, is_brighter=is_brighter)
        for plane, low, high in zip(exposure, planes.least, planes.most, strict=True)
    ]
    luma = sum(
        np.float32(share) * difference
        for share, difference in zip(consistency.LUMA, differences, strict=True)
    )
    tolerance = TOLERANCES[planes.spread]
    grey = cv2.cvtColor(cv2.merge(list(planes.levels)), cv2.COLOR_RGB2GRAY)
    colour = np.abs(planes.levels - grey.astype(np.float32)).max(axis=0)
    score = _blur_size(luma / (consistency.LUMA_OF_COLOUR * colour + tolerance))
    weight = planes.trust * np.float32(consistency.HUE_WEIGHT / 255)
    weight = weight / (consistency.HUE_OF_COLOUR * colour + tolerance)
    hues = [_blur_size((difference - luma) * weight) for difference in differences]
    return np.maximum.reduce([score, *hues])


def _leave_range(exposure, least, most, trust, reach, *, is_brighter):
    above = np.minimum(
        cv2.subtract(exposure, _approach(most, cv2.dilate, reach)),
        cv2.subtract(_approach(exposure, cv2.erode, reach), most),
    )
    below = np.minimum(
        cv2.subtract(_approach(least, cv2.erode, reach), exposure),
        cv2.subtract(least, _approach(exposure, cv2.dilate, reach)),
    )
    free = below if is_brighter else above
    free[:] = cv2.multiply(free, trust, scale=1 / 255)
    return above.astype(np.float32) - below


def _approach(plane, find_extreme, reach):
    return cv2.addWeighted(plane, 1 - reach, find_extreme(plane, SQUARE), reach, 0)


def _blur_size(plane):
    return np.abs(cv2.blur(plane.astype(np.float32), (3, 3)))
