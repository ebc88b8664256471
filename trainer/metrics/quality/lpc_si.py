"""LPC-SI: how sharp the fused picture is by the local coherence of its phases over scales."""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from trainer.metrics.grey import as_planes
from trainer.metrics.windows import Plane

WAVELENGTHS_PX = (4.0, 6.0, 8.0)
"""Wavelengths of the three scales; the phase weights below follow from their ratios."""

PHASE_WEIGHTS = (1, -3, 2)
ORIENTATIONS = 8
RADIAL_SIGMA = 0.33
"""Bandwidth of the log-Gabor filters; a later release of the authors has 0.75."""

ANGULAR_SIGMA = np.pi / ORIENTATIONS / 1.5
LOW_PASS_CUTOFF = 0.45
LOW_PASS_ORDER = 15
NOISE_DEVIATIONS = 2.0
ENERGY_CONSTANT = 2.0
BORDER_SHARE = 1 / 16
RANK_DECAY = 1e-4
"""Share of the pixels after which the weight of a rank has fallen to 1/e."""


def lpc_si(fused: NDArray[np.generic]) -> float:
    r"""Compute the sharpness index of local phase coherence; higher is sharper.

    At an edge the phases of log-Gabor responses C at three scales are aligned. Per orientation o,

    .. math::
        P_o = \max(0, \cos(\varphi_1 - 3 \varphi_2 + 2 \varphi_3)), \qquad
        E_o = \max(0, |C_1| - T_o),

    with T the mean of the finest magnitude plus two deviations. The map is the mean of P weighted
    by E (the constant 2 added to the divisor), and its values from the largest downwards are
    averaged with weights that fall by 1/e every 0.01 % of the pixels. The index saturates near
    0.95 for any picture that is sharp somewhere. A constant picture gives 0.

    Args:
        fused: Grey picture, 0..255. Shape (H, W), sides of at least 2.

    Returns:
        Index, 0..1.

    Reference:
        Hassen, Wang and Salama, IEEE TIP 22 (2013) 2798-2810, with the filters of the authors'
        first programme (sigma 0.33), its frequency grid of odd sides included.

    Example:
        >>> step = np.repeat(np.repeat([[50.0, 200.0]], 32, axis=1), 64, axis=0)
        >>> lpc_si(np.full((64, 64), 7.0)) < 1e-9 < lpc_si(step) <= 1
        True
    """
    (plane,) = as_planes(fused)
    border = int(np.floor(min(plane.shape) * BORDER_SHARE + 0.5))
    inside = np.s_[border : plane.shape[0] - border, border : plane.shape[1] - border]
    radials, theta = _filters(plane.shape)
    # The mean has no part in any response; without it a constant picture responds with exact 0.
    spectrum = scipy.fft.fft2(plane - plane.mean())
    coherent = np.zeros_like(plane[inside])
    energies = np.zeros_like(coherent)
    for orientation in range(ORIENTATIONS):
        angle = orientation * np.pi / ORIENTATIONS
        distance = np.abs((theta - angle + np.pi) % (2 * np.pi) - np.pi)
        directed = spectrum * np.exp(-(distance**2) / (2 * ANGULAR_SIGMA**2))
        phase = np.zeros_like(coherent)
        for radial, weight in zip(radials, PHASE_WEIGHTS, strict=True):
            response = scipy.fft.ifft2(directed * radial, overwrite_x=True)[inside]
            phase += weight * np.angle(response)
            if radial is radials[0]:
                magnitude = np.abs(response)
        threshold = magnitude.mean() + NOISE_DEVIATIONS * magnitude.std(ddof=1)
        energy = np.maximum(magnitude - threshold, 0)
        coherent += np.maximum(np.cos(phase), 0) * energy
        energies += energy
    return _pool(coherent / (energies + ENERGY_CONSTANT))


def _pool(coherence: Plane) -> float:
    """Average the values with weights that fall with their rank."""
    values = np.sort(coherence, axis=None)[::-1]
    rank = np.arange(len(values)) / max(len(values) - 1, 1)
    weights = np.exp(-rank / RANK_DECAY)
    return float((values * weights).sum() / weights.sum())


def _filters(shape: tuple[int, ...]) -> tuple[list[Plane], Plane]:
    """Give the radial filters and the angle of every frequency, the zero frequency first."""
    v, u = np.meshgrid(*(_frequencies(side) for side in shape), indexing="ij")
    radius = np.hypot(u, v)
    low_pass = 1 / (1 + (radius / LOW_PASS_CUTOFF) ** (2 * LOW_PASS_ORDER))
    radius[0, 0] = 1.0
    radials = []
    for wavelength in WAVELENGTHS_PX:
        radial = np.exp(-(np.log(radius * wavelength) ** 2) / (2 * np.log(RADIAL_SIGMA) ** 2))
        radial *= low_pass
        radial[0, 0] = 0.0
        radials.append(radial)
    return radials, np.arctan2(-v, u)


def _frequencies(side: int) -> Plane:
    """Give the frequencies of an axis; those of an odd one reach 1/2, as in the programme."""
    centred = np.arange(side) - side // 2
    return np.asarray(np.fft.ifftshift(centred / (side - side % 2)))
