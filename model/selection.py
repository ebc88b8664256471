"""Chooses the exposures of a stack that are worth fusing, and the one that the others lie on."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

import cv2
import numpy as np

from model.colour import pixels_to_linear
from model.errors import ExposureError
from model.exposure import ExposureSet, Pixels, Reference, Useless
from model.ghosts.curves import Proxy
from model.ghosts.kernels import count_shown
from model.ghosts.proxies import (
    choose_reference_by_shares,
    measure_shown,
    reduce_exposure,
)

SHOWN = (5, 250)
"""Levels outside which a channel shows nothing."""

BLACK_LIGHT = 2.0**-16
"""What a picture in which nothing shows is taken for, of a full-scale light of 1."""

GAP_STRIDE = 4
"""Of a small picture every so manieth pixel of every so manieth row is looked at for its light."""

LEAST_SHOWN = 0.005
"""Share of the picture that an exposure must show."""

NOISE_PX = 3
"""Side of the median that a picture is calmed with before it is asked whether it is blank."""

STRIP_ROWS = 64
"""Rows that are calmed at once."""

EQUAL_SHARE = 0.1
"""Shares of the scene shown well that differ by no more than this decide no pair's reference."""

DUPLICATE_MEAN, DUPLICATE_WORST = 1.0, 6.0
"""Largest mean and 99.5th percentile of the difference of two exposures that are one."""

Given = TypeVar("Given", bound=ExposureSet)


def find_useless(given: ExposureSet, *, wanted: int | None = None) -> Mapping[int, Useless]:
    """Name the exposures that add nothing: fused too, they would only take weight from others.

    At least one exposure is left. Of two that are equal the darker one stays, or the wanted one.
    Exposures of different sizes are not compared.

    Args:
        given: The exposures; small pictures from `reduce_exposure` will do.
        wanted: An exposure that stays in any case, from 0, dark to bright.

    Returns:
        Why each useless exposure is so.

    Example:
        >>> picture = np.arange(48 * 48 * 3, dtype=np.uint8).reshape(48, 48, 3)
        >>> given = ExposureSet.from_images([picture, picture, picture * 0])
        >>> dict(find_useless(given))
        {0: 'blank', 2: 'duplicate'}
    """
    proxies = [reduce_exposure(exposure) for exposure in given.exposures]
    useless: dict[int, Useless] = {}
    for index, proxy in enumerate(proxies):
        if index != wanted and _is_blank(proxy):
            useless[index] = "blank"
    if len(useless) == len(proxies):
        return {}
    for index, proxy in enumerate(proxies):
        for earlier in range(index):
            if index in useless or earlier in useless:
                continue
            if _are_equal(proxies[earlier], proxy):
                useless[earlier if index == wanted else index] = "duplicate"
    return useless


def measure_gap_ev(darkest: Pixels, brightest: Pixels) -> float:
    r"""How much more light one exposure shows than another: :math:`\log_2 (m_b / m_d)`.

    :math:`m` is the mean of linear light over pixels and channels. Clipping hides light, so the gap
    of exposures that are partly white or black is larger than what is measured. 0 where the second
    one shows less.

    Args:
        darkest: A small picture. Shape (h, w, 3), uint8 or uint16.
        brightest: Another one, of any size.

    Example:
        >>> dark = np.full((16, 16, 3), 64, np.uint8)
        >>> round(measure_gap_ev(dark, dark * 2), 2), measure_gap_ev(dark, dark)
        (2.07, 0.0)
    """
    dark, bright = (_measure_light(one) for one in (darkest, brightest))
    return max(0.0, math.log2(bright / dark))


def _measure_light(picture: Pixels) -> float:
    linear = pixels_to_linear(picture[::GAP_STRIDE, ::GAP_STRIDE])
    return max(float(linear.mean(dtype=np.float64)), BLACK_LIGHT)


def keep_useful(given: Given, useless: Mapping[int, Useless]) -> Given:
    """The exposures without the useless ones; it may be left with one."""
    kept = [index for index in range(len(given)) if index not in useless]
    return replace(
        given,
        exposures=tuple(given.exposures[index] for index in kept),
        order=tuple(given.order[index] for index in kept),
    )


def find_wanted(given: ExposureSet, number: int | None) -> int | None:
    """Where the exposure lies that was asked for as the reference.

    Args:
        given: The exposures.
        number: Its number as given, from 1; None asks for none.

    Raises:
        ExposureError: There is no such exposure.
    """
    if number is None:
        return None
    if not 1 <= number <= len(given):
        raise ExposureError(f"expected a reference from 1 to {len(given)}, got {number}")
    return given.order.index(number - 1)


def choose_reference(given: ExposureSet, *, default: Reference) -> int:
    """The exposure that stays where it is: the one that shows most of the scene well.

    Args:
        given: The exposures, of any sizes; small pictures from `reduce_exposure` will do.
        default: The reference of a pair whose exposures show about equally much, within
            `EQUAL_SHARE`; its weights prefer it.

    Example:
        >>> dark, bright = np.full((2, 16, 16, 3), 120, np.uint8)
        >>> dark[:8], bright[:4] = 0, 255
        >>> choose_reference(ExposureSet.from_images([dark, bright]), default="under")
        1
    """
    proxies = [reduce_exposure(one) for one in given.exposures]
    shares = [measure_shown(proxy) for proxy in proxies]
    if len(shares) == 2 and abs(shares[0] - shares[1]) <= EQUAL_SHARE:
        return 0 if default == "under" else 1
    return choose_reference_by_shares(shares)


def _is_blank(proxy: Proxy) -> bool:
    height, width = proxy.shape[:2]
    missing = LEAST_SHOWN * height * width
    # Most pictures show enough in their first strip. It is read beyond its rows, as the median is.
    for top in range(0, height, STRIP_ROWS):
        first, last = max(0, top - NOISE_PX), min(height, top + STRIP_ROWS + NOISE_PX)
        # The read noise of a black frame reaches beyond black in single pixels.
        calm = np.asarray(cv2.medianBlur(proxy[first:last], NOISE_PX), np.uint8)
        missing -= count_shown(calm[top - first : top - first + STRIP_ROWS], *SHOWN)
        if missing <= 0:
            return False
    return True


def _are_equal(one: Proxy, other: Proxy) -> bool:
    if one.shape != other.shape:
        return False
    if cv2.norm(one, other, cv2.NORM_L1) / one.size > DUPLICATE_MEAN:
        return False
    return bool(np.percentile(cv2.absdiff(one, other), 99.5) <= DUPLICATE_WORST)
