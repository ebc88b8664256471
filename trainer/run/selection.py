"""Which parameters of a run are the best: a score from the means of a validation."""

from collections.abc import Mapping

from trainer.config import SelectionCriterion

COMPARED_METRICS = ("MEF-SSIM", "Qabf", "MS-SSIM", "VIFF")
"""What a fusion is compared with Mertens's by; none of them rises by sharpening alone."""

SHORTFALL = 10.0
"""A lead in one metric does not buy what another one lacks, unless it is ten times as large."""


def name_metrics(criterion: SelectionCriterion) -> tuple[str, ...]:
    """Metrics that a validation computes, those of the selection criterion first."""
    if criterion == "fidelity+contrast":
        return (*COMPARED_METRICS, "AG")
    return ("MEF-SSIM", "Qabf", "AG")


def score_validation(
    means: Mapping[str, float], criterion: SelectionCriterion, *, mertens: Mapping[str, float]
) -> float:
    """The selection score of one validation; the parameters with the highest are the best.

    Args:
        means: Mean of each metric over the scenes.
        criterion: What the score is made of.
        mertens: The same means of Mertens's fusion; empty where it is not compared with.
    """
    if criterion == "fidelity+contrast":
        return lead_over_mertens(means, mertens)
    if criterion == "mef-ssim+qabf":
        return (means["MEF-SSIM"] + means["Qabf"]) / 2
    return means["MEF-SSIM"]


def lead_over_mertens(means: Mapping[str, float], mertens: Mapping[str, float]) -> float:
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
        >>> round(lead_over_mertens(mertens | {"VIFF": 0.6, "Qabf": 0.49}, mertens), 6) + 0.0
        0.0
    """
    leads = [means[name] / mertens[name] - 1 for name in COMPARED_METRICS]
    return sum(one if one >= 0 else SHORTFALL * one for one in leads) / len(leads)
