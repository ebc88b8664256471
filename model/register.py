"""Finds how the exposures of a stack go together; loads neither torch nor a network."""

from collections.abc import Mapping
from dataclasses import dataclass

from model.alignment.cover import lay_proxies
from model.alignment.frame import common_frame
from model.alignment.sizes import (
    FindAlignment,
    MakeRoom,
    align_onto,
    lay_exposures,
    make_array,
)
from model.alignment.unrelated import find_unrelated
from model.errors import AlignmentError, ExposureError
from model.exposure import (
    ALIGNMENT_HELPS,
    MIN_SIDE_PX,
    AlignMode,
    CropMode,
    ExposureSet,
    ExposureStack,
    GhostsMode,
    Reference,
    StackAlignment,
    Useless,
    check_one_size,
)
from model.ghosts.find import find_ghosts_of_proxies
from model.ghosts.proxies import reduce_exposure
from model.registration import Registration
from model.selection import (
    choose_reference,
    find_useless,
    find_wanted,
    keep_useful,
    measure_gap_ev,
)
from model.side_by_side import map_parts
from model.tiling import Rect

REDUCED_AREA = 0.9
"""Share of the largest exposure's pixels below which another one is held to be reduced, and not
merely cut at its edges."""


@dataclass(frozen=True, slots=True, eq=False)
class RegisteredStack:
    """The exposures of a stack that are fused, and how they go together.

    Attributes:
        used: The exposures that add something, at least one; those whose size was another one are
            resampled onto the reference.
        registration: How those go together; indices are those of `used`.
        useless: Number of each other exposure, as given, from 0, and why it is not used.
        frame: What all used exposures cover, in reference pixels; None where they share nothing.
        gap_ev: From the darkest to the brightest used exposure, see `measure_gap_ev`.
    """

    used: ExposureStack
    registration: Registration
    useless: Mapping[int, Useless]
    frame: Rect | None
    gap_ev: float


@dataclass(frozen=True, slots=True, eq=False)
class _Laid:
    """The exposures that are left, their small pictures, and how they lie on the reference."""

    stack: ExposureStack
    small: ExposureStack
    reference: int
    alignment: StackAlignment | None
    useless: Mapping[int, Useless]


def register(
    given: ExposureSet,
    *,
    align: AlignMode,
    ghosts: GhostsMode,
    wanted: int | None = None,
    default: Reference = "over",
    crop: CropMode = "none",
    find_alignment: FindAlignment = align_onto,
    make_room: MakeRoom = make_array,
) -> RegisteredStack:
    """Find which exposures add something, how they lie on each other, and what moved.

    Exposures of several sizes come to that of the reference, see `lay_exposures`.

    Args:
        given: The exposures.
        align: See `fuse_stack`, as the others.
        ghosts: See there.
        wanted: See there.
        default: See there.
        crop: See there; here `common` only refuses what cannot be cut.
        find_alignment: See there.
        make_room: What gives the arrays for exposures that are brought to another size.

    Raises:
        ExposureError: There is no exposure of the wanted number, one is of another scene, sizes
            differ and `align` is `off`, or `crop` is `common` and too little is shared.
        AlignmentError: `require`, and for an exposure no homography passes the gates.
    """
    if align == "off":
        check_one_size(given.sizes_as_given, advice=ALIGNMENT_HELPS)
    laid = _lay(given, align, wanted, default, find_alignment, make_room)
    stack, alignment = laid.stack, laid.alignment
    reports = () if alignment is None else alignment.reports
    frame = common_frame(reports, stack.height, stack.width)
    if crop == "common" and min(frame.height, frame.width) < MIN_SIDE_PX:
        raise ExposureError(
            f"expected exposures that share a frame of at least {MIN_SIDE_PX}x{MIN_SIDE_PX} "
            f"pixels to cut the picture to, they share {frame.width}x{frame.height}"
        )
    found = None
    if ghosts == "auto" or any(one is not None and one.model == "homography" for one in reports):
        size = (stack.width, stack.height)
        proxies, absent = lay_proxies(laid.small.exposures, alignment, size)
        found = find_ghosts_of_proxies(
            proxies,
            reference=laid.reference,
            absent=absent,
            is_motion_sought=ghosts == "auto",
        )
    return RegisteredStack(
        stack,
        Registration(laid.reference, alignment, found),
        laid.useless,
        frame if frame.height else None,
        measure_gap_ev(laid.small.darkest, laid.small.brightest),
    )


def align_as_asked(
    stack: ExposureStack,
    *,
    mode: AlignMode,
    reference: int,
    find_alignment: FindAlignment = align_onto,
) -> StackAlignment | None:
    """Align the exposures of a stack in one of the three modes.

    Args:
        stack: The exposures.
        mode: See `fuse_stack`, as the others.
        reference: See there.
        find_alignment: See there.

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
    alignment = StackAlignment(reference, find_alignment(stack.exposures, reference))
    _check_required(alignment, mode)
    return alignment


def _lay(
    given: ExposureSet,
    align: AlignMode,
    wanted: int | None,
    default: Reference,
    find_alignment: FindAlignment,
    make_room: MakeRoom,
) -> _Laid:
    """Leave out what adds nothing, and find how the others lie on the reference."""
    # Every choice is made on the same small pictures; reducing those again changes nothing.
    small = _reduce(given)
    useless = find_useless(small, wanted=find_wanted(given, wanted))
    used, small = keep_useful(given, useless), keep_useful(small, useless)
    by_number = {given.order[index]: reason for index, reason in useless.items()}
    reference = (
        _choose_full_size(used, small, default) if wanted is None else used.order.index(wanted - 1)
    )
    if len(set(used.sizes)) > 1:
        stack, alignment = lay_exposures(
            used, reference, find_alignment=find_alignment, make_room=make_room
        )
        _check_required(alignment, align)
        laid = _leave_out_equal(stack, alignment, by_number)
    else:
        stack = ExposureStack(used.exposures, used.order)
        laid = _Laid(
            stack,
            ExposureStack(small.exposures, small.order),
            reference,
            align_as_asked(stack, mode=align, reference=reference, find_alignment=find_alignment),
            by_number,
        )
    if laid.alignment is not None:
        _refuse_unrelated(laid.stack, laid.alignment)
    return laid


def _choose_full_size(used: ExposureSet, small: ExposureSet, default: Reference) -> int:
    """Choose the reference among the exposures that are not reduced: it gives the picture its size.

    Args:
        used: The exposures.
        small: Their small pictures.
        default: See `choose_reference`.
    """
    areas = [width * height for width, height in used.sizes]
    large = [index for index, area in enumerate(areas) if area >= REDUCED_AREA * max(areas)]
    candidates = ExposureSet(
        tuple(small.exposures[index] for index in large),
        tuple(small.order[index] for index in large),
    )
    return large[choose_reference(candidates, default=default)]


def _leave_out_equal(
    stack: ExposureStack, alignment: StackAlignment, useless: Mapping[int, Useless]
) -> _Laid:
    """Leave out exposures that turn out to be equal only now that they have one size."""
    small = _reduce(stack)
    equal = find_useless(small, wanted=alignment.reference)
    kept = [index for index in range(len(stack)) if index not in equal]
    reference = kept.index(alignment.reference)
    return _Laid(
        keep_useful(stack, equal),
        keep_useful(ExposureStack(small.exposures, small.order), equal),
        reference,
        StackAlignment(reference, tuple(alignment.reports[index] for index in kept)),
        {**useless, **{stack.order[index]: reason for index, reason in equal.items()}},
    )


def _reduce(given: ExposureSet) -> ExposureSet:
    return ExposureSet(tuple(map_parts(reduce_exposure, given.exposures)), given.order)


def _check_required(alignment: StackAlignment, mode: AlignMode) -> None:
    if mode == "require" and alignment.refused:
        raise AlignmentError(
            "expected an alignment that passes its gates, got one refused for "
            f"{', '.join(sorted(set(alignment.refused)))}"
        )


def _refuse_unrelated(stack: ExposureStack, alignment: StackAlignment) -> None:
    unrelated = find_unrelated(stack.exposures, alignment.reports)
    if unrelated:
        numbers = ", ".join(str(stack.order[index] + 1) for index in unrelated)
        raise ExposureError(
            f"expected exposures of one scene, exposure {numbers} shows nothing of the others"
        )
