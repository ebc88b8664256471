"""Highlights: what becomes of places that the brightest exposure shows as white."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from model.torch_colour import linear_to_lab, pixels_to_linear
from trainer.metrics.grey import Grey, rgb_to_grey
from trainer.metrics.guards.ends import Ends, find_ends
from trainer.metrics.windows import Plane

WHITE = 248
"""Level of the smallest channel from which on the brightest exposure is burnt out."""

SHOWN = (25, 215)
"""Luma of the darkest exposure, first and last, with which it shows what is burnt out there."""

COLOURED = 8.0
"""CIELAB chroma from which on a place counts as coloured."""

LEAST_SHARE = 0.03
"""A scene with no larger share of highlights says nothing of them."""

MARGIN_PX = 4
"""Texture is measured so far inside highlights: their own edge is none."""

Mask = NDArray[np.bool_]
"""Which pixels of a picture. Shape (H, W)."""


def highlight_chroma(exposures: Sequence[Grey], fused: Grey) -> float | None:
    r"""Compute how much of the colour of burnt-out places is kept; higher is more.

    With the exposures D of the lowest and B of the highest mean luma, and the CIELAB chroma C:

    .. math::
        \frac{\sum_{p \in A} C_f(p)}{\sum_{p \in A} C_D(p)}, \qquad
        A = \{p: \min(R_B, G_B, B_B) \ge 248, \; 25 \le Y_D \le 215, \; C_D \ge 8\}

    A blue sky that is white in B and dark in D is blue again in a good fusion. It does not apply
    to a scene where A takes no more than 3 % of the picture.

    Args:
        exposures: Two or more, in any order, RGB in sRGB, 0..255. Shape (H, W, 3) each, uint8.
        fused: Fused picture, likewise.

    Returns:
        Mean chroma in A over that of D, 0 or more, 1 where all is kept; None: does not apply.

    Raises:
        ValueError: There are fewer than two exposures, a picture is not RGB of 8 bits, or they
            differ in size.

    Reference:
        Ours.

    Example:
        >>> sky, white = (np.full((8, 8, 3), v, np.uint8) for v in ((40, 80, 160), (255,) * 3))
        >>> highlight_chroma([sky, white], sky), highlight_chroma([sky, sky], sky) is None
        (1.0, True)
    """
    colours = _compare_colours(exposures, fused)
    if colours is None:
        return None
    of_under, of_fused = colours
    return float(np.hypot(*of_fused).mean() / np.hypot(*of_under).mean())


def highlight_hue(exposures: Sequence[Grey], fused: Grey) -> float | None:
    r"""Compute by how much the hue of burnt-out places turns; lower is better.

    With the notation of `highlight_chroma` and the hue angles h of CIELAB:

    .. math::
        \frac{\sum_{p \in A} C_D(p) \, |h_f(p) - h_D(p)|}{\sum_{p \in A} C_D(p)}

    the difference taken the short way round. A neutral result has no hue: it has turned nothing,
    and `highlight_chroma` sees it.

    Args:
        exposures: See `highlight_chroma`.
        fused: See there.

    Returns:
        Mean turn in degrees, 0..180; None: does not apply, as `highlight_chroma`.

    Raises:
        ValueError: See there.

    Reference:
        Ours.
    """
    colours = _compare_colours(exposures, fused)
    if colours is None:
        return None
    (a_under, b_under), (a_fused, b_fused) = colours
    across = a_under * b_fused - b_under * a_fused
    along = a_under * a_fused + b_under * b_fused
    turns = np.degrees(np.abs(np.arctan2(across, along)))
    return float(np.average(turns, weights=np.hypot(a_under, b_under)))


def highlight_texture(exposures: Sequence[Grey], fused: Grey) -> float | None:
    r"""Compute how much of the texture of burnt-out places is kept; higher is more.

    With the notation of `highlight_chroma` and the Sobel magnitude g of luma:

    .. math::
        \frac{\sum_{p \in T} g_f(p)}{\sum_{p \in T} g_D(p)}, \qquad
        T = A' \text{ without a margin of 4 pixels}, \quad
        A' = \{p: \min(R_B, G_B, B_B) \ge 248, \; 25 \le Y_D \le 215\}

    It does not apply to a scene where A' takes no more than 3 % of the picture, is nowhere wider
    than the margin, or is flat in D.

    Args:
        exposures: See `highlight_chroma`.
        fused: See there.

    Returns:
        Mean magnitude in T over that of D, 0 or more; None: does not apply.

    Raises:
        ValueError: See there.

    Reference:
        Ours.
    """
    ends = find_ends(exposures, fused)
    area = _find_burnt(ends)
    if not _is_enough(area):
        return None
    square = np.ones((2 * MARGIN_PX + 1, 2 * MARGIN_PX + 1), np.uint8)
    inside = cv2.erode(area.astype(np.uint8), square).astype(np.bool_)
    of_under = _measure_slopes(ends.under_luma)[inside].sum()
    if of_under == 0.0:
        return None
    return float(
        _measure_slopes(rgb_to_grey(np.asarray(fused, dtype=np.uint8)))[inside].sum() / of_under
    )


def highlight_lightness(exposures: Sequence[Grey], fused: Grey) -> float | None:
    """Compute how light burnt-out places come out: mean L* in A' of `highlight_texture`.

    Lower is better: what is light there is pale. The darkest exposure itself has about 40.

    Args:
        exposures: See `highlight_chroma`.
        fused: See there.

    Returns:
        Mean L*, 0..100; None: does not apply, A' takes no more than 3 % of the picture.

    Raises:
        ValueError: See there.

    Reference:
        Ours.
    """
    area = _find_burnt(find_ends(exposures, fused))
    if not _is_enough(area):
        return None
    return float(_to_lab(fused[area])[0].mean())


def _is_enough(area: Mask) -> bool:
    return bool(area.mean() > LEAST_SHARE)


def _find_burnt(ends: Ends) -> Mask:
    """Where the brightest exposure is white and the darkest one shows something."""
    first, last = SHOWN
    is_white = ends.over.min(axis=2) >= WHITE
    burnt: Mask = is_white & (ends.under_luma >= first) & (ends.under_luma <= last)
    return burnt


def _compare_colours(exposures: Sequence[Grey], fused: Grey) -> tuple[Plane, Plane] | None:
    """a* and b* of D and of the result in A, shape (2, N) each; None where A is too small."""
    ends = find_ends(exposures, fused)
    area = _find_burnt(ends)
    of_under = _to_lab(ends.under[area])[1:]
    is_coloured = np.hypot(*of_under) >= COLOURED
    area[area] = is_coloured
    if not _is_enough(area):
        return None
    return of_under[:, is_coloured], _to_lab(fused[area])[1:]


def _to_lab(pixels: NDArray[np.generic]) -> Plane:
    """CIELAB of pixels, (N, 3) of 8 bits to (3, N) of float64."""
    linear = pixels_to_linear(torch.from_numpy(pixels.T[None, :, :, None].copy()))
    lab: Plane = linear_to_lab(linear.to(torch.float64))[0, :, :, 0].numpy()
    return lab


def _measure_slopes(luma: NDArray[np.uint8]) -> Plane:
    """Sobel magnitude. Shape (H, W), float64."""
    slopes = [
        cv2.Sobel(luma, cv2.CV_64F, *axes, borderType=cv2.BORDER_REPLICATE)
        for axes in ((1, 0), (0, 1))
    ]
    return np.asarray(np.hypot(*slopes), dtype=np.float64)
