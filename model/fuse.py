"""Fuses a stack of exposures on arrays: finds how they go together, runs a pipeline.

Loads neither torch nor a network by itself: a process that only aligns needs neither.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from model.alignment.estimate import rescale_homography
from model.alignment.stack import align_stack
from model.alignment.unrelated import find_unrelated
from model.errors import AlignmentError, ExposureError
from model.exposure import (
    AlignmentReport,
    AlignMode,
    ExposureStack,
    GhostsMode,
    Pixels,
    Reference,
    StackAlignment,
    Useless,
)
from model.ghosts.curves import Proxy
from model.ghosts.find import Absence, find_ghosts_of_proxies
from model.ghosts.proxies import reduce_exposure
from model.registration import Registration
from model.selection import (
    choose_reference,
    find_useless,
    find_wanted,
    keep_useful,
)

if TYPE_CHECKING:
    from model.pipeline import FusionPipeline

FindAlignment = Callable[[Sequence[Pixels], int], tuple[AlignmentReport | None, ...]]
"""Finds how each exposure lies on the reference, as `align_stack` does."""


@dataclass(frozen=True, slots=True, eq=False)
class RegisteredStack:
    """The exposures of a stack that are fused, and how they go together.

    Attributes:
        used: The exposures that add something, at least one.
        registration: How those go together; indices are those of `used`.
        useless: Number of each other exposure, as given, from 0, and why it is not used.
    """

    used: ExposureStack
    registration: Registration
    useless: Mapping[int, Useless]


@dataclass(frozen=True, slots=True, eq=False)
class Fusion:
    """A fused picture and how it came about.

    Attributes:
        picture: The picture, at the size and of the type of the exposures. Shape (H, W, 3).
        registered: Which exposures were fused, and how they were put together.
    """

    picture: Pixels
    registered: RegisteredStack


def fuse_stack(
    stack: ExposureStack,
    pipeline: "FusionPipeline",
    *,
    align: AlignMode = "auto",
    ghosts: GhostsMode = "auto",
    wanted: int | None = None,
    default: Reference = "over",
    find_alignment: FindAlignment | None = None,
) -> Fusion:
    """Leave out useless exposures, align the others, free them of ghosts, and fuse them.

    Where a single exposure is left, it is the picture.

    Args:
        stack: The exposures.
        pipeline: Weights on a device.
        align: `auto` warps an exposure only where a homography passes the gates, `off` does not
            look for one, `require` refuses a stack of which an exposure has none.
        ghosts: `auto` replaces what moved by what the reference shows, `off` leaves it.
        wanted: Number, as given, from 1, of the exposure that stays where it is; None leaves the
            choice.
        default: Of a pair, the exposure that is then chosen; the weights' manifest says which.
        find_alignment: What finds the homographies; None: `align_stack`. A caller that fuses one
            stack by several weights gives a function that remembers them.

    Returns:
        The picture and how it came about.

    Raises:
        ExposureError: There is no exposure of the wanted number, or one is of another scene.
        AlignmentError: `require`, and for an exposure no homography passes the gates.
        InferenceError: The computation failed.
    """
    registered = register(
        stack,
        align=align,
        ghosts=ghosts,
        wanted=wanted,
        default=default,
        find_alignment=find_alignment,
    )
    used = registered.used
    if len(used) == 1:
        return Fusion(used.darkest.copy(), registered)
    return Fusion(pipeline.fuse(used, registered.registration), registered)


def register(
    stack: ExposureStack,
    *,
    align: AlignMode,
    ghosts: GhostsMode,
    wanted: int | None = None,
    default: Reference = "over",
    find_alignment: FindAlignment | None = None,
) -> RegisteredStack:
    """Find which exposures add something, how they lie on each other, and what moved.

    Args:
        stack: The exposures.
        align: See `fuse_stack`, as the others.
        ghosts: See there.
        wanted: See there.
        default: See there.
        find_alignment: See there.

    Raises:
        ExposureError: There is no exposure of the wanted number, or one is of another scene.
        AlignmentError: `require`, and for an exposure no homography passes the gates.
    """
    # Every choice is made on the same small pictures; reducing those again changes nothing.
    small = [reduce_exposure(exposure) for exposure in stack.exposures]
    reduced = ExposureStack(tuple(small), stack.order)
    useless = find_useless(reduced, wanted=find_wanted(stack, wanted))
    used, reduced = keep_useful(stack, useless), keep_useful(reduced, useless)
    small = [proxy for index, proxy in enumerate(small) if index not in useless]
    by_number = {stack.order[index]: reason for index, reason in useless.items()}
    reference = (
        choose_reference(reduced, default=default)
        if wanted is None
        else used.order.index(wanted - 1)
    )
    alignment = align_as_asked(used, mode=align, reference=reference, find_alignment=find_alignment)
    if alignment is not None:
        _refuse_unrelated(used, alignment)
    is_warped = alignment is not None and any(
        report is not None and report.model == "homography" for report in alignment.reports
    )
    if ghosts == "off" and not is_warped:
        return RegisteredStack(used, Registration(reference, alignment), by_number)
    proxies, absent = _lay_proxies(used, small, alignment)
    found = find_ghosts_of_proxies(
        proxies, reference=reference, absent=absent, is_motion_sought=ghosts == "auto"
    )
    return RegisteredStack(used, Registration(reference, alignment, found), by_number)


def _refuse_unrelated(stack: ExposureStack, alignment: StackAlignment) -> None:
    unrelated = find_unrelated(stack.exposures, alignment.reports)
    if unrelated:
        numbers = ", ".join(str(stack.order[index] + 1) for index in unrelated)
        raise ExposureError(
            f"expected exposures of one scene, exposure {numbers} shows nothing of the others"
        )


def _lay_proxies(
    stack: ExposureStack, given: Sequence[Proxy], alignment: StackAlignment | None
) -> tuple[list[Proxy], list[Absence | None]]:
    """Small pictures of the exposures as they lie on the reference, and what they do not cover."""
    proxies = list(given)
    absent: list[Absence | None] = [None] * len(proxies)
    height, width = proxies[0].shape[:2]
    for index, report in enumerate(alignment.reports if alignment is not None else ()):
        if report is None or report.model == "identity":
            continue
        full = np.array(report.homography).reshape(3, 3)
        small = rescale_homography(full, (stack.width, stack.height), (width, height))
        size = (width, height)
        laid = cv2.warpPerspective(proxies[index], small, size, borderMode=cv2.BORDER_REPLICATE)
        proxies[index] = np.asarray(laid, np.uint8)
        covered = cv2.warpPerspective(np.full((height, width), 255, np.uint8), small, size)
        # A pixel more: the mask is magnified, and its soft edge must lie on what is covered.
        inside = cv2.erode(covered, np.ones((3, 3), np.uint8), borderValue=255)
        uncovered = np.where(inside == 255, 0, 255).astype(np.uint8)
        absent[index] = uncovered if uncovered.any() else None
    return proxies, absent


def align_as_asked(
    stack: ExposureStack,
    *,
    mode: AlignMode,
    reference: int,
    find_alignment: FindAlignment | None = None,
) -> StackAlignment | None:
    """Align the exposures of a stack in one of the three modes.

    Args:
        stack: The exposures.
        mode: See `fuse_stack`, as the others.
        reference: See there.
        find_alignment: What finds the homographies; None: `align_stack`.

    Returns:
        What was found; None when the mode is `off`.

    Raises:
        AlignmentError: `require`, and for an exposure no homography passes the gates.

    Example:
        >>> import numpy as np
        >>> black = np.zeros((32, 32, 3), np.uint8)
        >>> stack = ExposureStack.from_images([black, black])
        >>> align_as_asked(stack, mode="off", reference=1) is None
        True
        >>> align_as_asked(stack, mode="auto", reference=1).refused
        ('few_matches',)
    """
    if mode == "off":
        return None
    if find_alignment is None:
        reports = align_stack(stack.exposures, reference=reference)
    else:
        reports = find_alignment(stack.exposures, reference)
    alignment = StackAlignment(reference, reports)
    if mode == "require" and alignment.refused:
        raise AlignmentError(
            "expected an alignment that passes its gates, got one refused for "
            f"{', '.join(sorted(set(alignment.refused)))}"
        )
    return alignment
