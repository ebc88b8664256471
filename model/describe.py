"""Says in short words how a picture came about, for headers and reports."""

from collections.abc import Mapping
from operator import itemgetter

from model.exposure import (
    MIN_EXPOSURES,
    AlignmentOutcome,
    Reference,
    StackAlignment,
    Useless,
)
from model.tiling import Rect


def describe_order(order: tuple[int, ...]) -> str:
    """The exposures as numbers from 1, dark to bright; of a pair whether it was swapped.

    Example:
        >>> describe_order((1, 0)), describe_order((2, 0, 1))
        ('swapped', '3,1,2')
    """
    if len(order) == MIN_EXPOSURES:
        return "as-given" if order == (0, 1) else "swapped"
    return ",".join(str(index + 1) for index in order)


def summarise_alignment(alignment: StackAlignment | None) -> AlignmentOutcome:
    """The outcome of a whole stack: refused where any exposure was, else what was applied to any.

    Example:
        >>> summarise_alignment(None)
        'off'
    """
    if alignment is None:
        return "off"
    reports = [one for one in alignment.reports if one is not None]
    if any(one.refused is not None for one in reports):
        return "refused"
    return "homography" if any(one.model == "homography" for one in reports) else "identity"


def describe_alignment(alignment: StackAlignment | None, order: tuple[int, ...]) -> str:
    """What was done to each exposure, with its figures, on one line.

    Args:
        alignment: What was found.
        order: Of each exposure of the stack, which of those given it is.
    """
    if alignment is None:
        return "off"
    if len(order) == 1:
        return "identity; one exposure adds something"
    if len(order) == MIN_EXPOSURES:
        (report,) = (one for one in alignment.reports if one is not None)
        figures = report.describe()
        reference: Reference = "over" if alignment.reference else "under"
        return figures if report.refused else f"{figures}; reference={reference}"
    outcomes = [
        f"{number + 1}={report.describe() if report.refused else report.describe_model()}"
        for number, report in sorted(zip(order, alignment.reports, strict=True), key=itemgetter(0))
        if report is not None
    ]
    return "; ".join([summarise_alignment(alignment), *outcomes])


def list_fused(used: tuple[int, ...], *, is_for_pairs: bool) -> tuple[int, ...]:
    """The exposures that a picture is made of.

    Args:
        used: Those that add something, dark to bright.
        is_for_pairs: The weights fuse the darkest and the brightest of them alone.

    Example:
        >>> list_fused((2, 0, 1), is_for_pairs=True)
        (2, 1)
    """
    return (used[0], used[-1]) if is_for_pairs and len(used) > MIN_EXPOSURES else used


def describe_unused(
    useless: Mapping[int, Useless], used: tuple[int, ...], *, is_for_pairs: bool = False
) -> str:
    """Which exposures, numbered as given from 1, were not fused, and why; `none` where all were.

    Args:
        useless: Those that add nothing, and why.
        used: The others, dark to bright.
        is_for_pairs: See `list_fused`; what that leaves out is `surplus`.

    Example:
        >>> describe_unused({}, (0, 1)), describe_unused({4: "blank", 1: "duplicate"}, (0, 3, 2))
        ('none', '2=duplicate 5=blank')
        >>> describe_unused({0: "blank"}, (1, 3, 2), is_for_pairs=True)
        '1=blank 4=surplus'
    """
    surplus = set(used) - set(list_fused(used, is_for_pairs=is_for_pairs))
    reasons: dict[int, str] = {**useless, **dict.fromkeys(surplus, "surplus")}
    parts = [f"{index + 1}={reason}" for index, reason in sorted(reasons.items())]
    return " ".join(parts) or "none"


def describe_frame(frame: Rect | None) -> str:
    """A rectangle as `left,top,width,height`; `none` where there is none.

    Example:
        >>> describe_frame(Rect(top=2, left=0, height=8, width=17))
        '0,2,17,8'
    """
    if frame is None:
        return "none"
    return f"{frame.left},{frame.top},{frame.width},{frame.height}"
