"""What decides which parameters of a run are the best: one number from the validation's means."""

from collections.abc import Mapping
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from model.exposure import ExposurePair

Objective = Literal["mef-ssim", "mef-ssim+qabf", "fidelity+contrast"]

COMPARED_METRICS = ("MEF-SSIM", "Qabf", "MS-SSIM", "VIFF")
"""What a fusion is compared with Mertens's by; none of them rises by sharpening alone."""

SHORTFALL = 10.0
"""A lead in one metric does not buy what another one lacks, unless it is ten times as large."""


def name_metrics(objective: Objective) -> tuple[str, ...]:
    """Metrics that a validation computes, those of its objective first."""
    if objective == "fidelity+contrast":
        return (*COMPARED_METRICS, "AG")
    return ("MEF-SSIM", "Qabf", "AG")


def judge(
    means: Mapping[str, float], objective: Objective, *, mertens: Mapping[str, float]
) -> float:
    """The objective of one validation; higher is better.

    Args:
        means: Mean of each metric over the scenes.
        objective: Which one.
        mertens: The same means of Mertens's fusion; empty where it is not compared with.
    """
    if objective == "fidelity+contrast":
        return lead(means, mertens)
    if objective == "mef-ssim+qabf":
        return (means["MEF-SSIM"] + means["Qabf"]) / 2
    return means["MEF-SSIM"]


def lead(means: Mapping[str, float], mertens: Mapping[str, float]) -> float:
    r"""How far a fusion leads Mertens's on the same scenes.

    .. math::
        \frac{1}{M} \sum_m d_m \cdot \begin{cases} 1 & d_m \ge 0 \\ 10 & d_m < 0 \end{cases},
        \qquad d_m = \frac{x_m}{y_m} - 1

    over `COMPARED_METRICS`, with the means x of the fusion and y of Mertens's. Above 0, and with
    every d above 0, it is better by each of them.

    Args:
        means: Mean of each metric, above 0.
        mertens: The same of Mertens's fusion, above 0.

    Returns:
        The lead; 0 for Mertens's fusion itself.

    Example:
        >>> mertens = dict.fromkeys(COMPARED_METRICS, 0.5)
        >>> round(lead(mertens | {"VIFF": 0.6, "Qabf": 0.49}, mertens), 6) + 0.0
        0.0
    """
    leads = [means[name] / mertens[name] - 1 for name in COMPARED_METRICS]
    return sum(one if one >= 0 else SHORTFALL * one for one in leads) / len(leads)


def fuse_as_mertens(pair: ExposurePair) -> NDArray[np.uint8]:
    """OpenCV's exposure fusion with its default weights. Shape (H, W, 3), uint8.

    Reference:
        Mertens, Kautz and Van Reeth, "Exposure fusion", Pacific Graphics, 2007.
    """
    fused = cv2.createMergeMertens().process([pair.under, pair.over])
    return np.asarray(np.clip(np.rint(fused * 255), 0, 255), dtype=np.uint8)
