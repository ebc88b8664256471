"""Fuses a stack of exposures on arrays: finds how they go together, runs a pipeline."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from model.alignment.sizes import FindAlignment, align_onto
from model.exposure import (
    AlignMode,
    CropMode,
    ExposureSet,
    GhostsMode,
    Pixels,
    Reference,
)
from model.register import RegisteredStack, register

if TYPE_CHECKING:
    from model.pipeline import FusionPipeline


@dataclass(frozen=True, slots=True, eq=False)
class Fusion:
    """A fused picture and how it came about.

    Attributes:
        picture: The picture, of the reference's size unless it was cropped, and of the type of the
            exposures. Shape (H, W, 3).
        registered: Which exposures were fused, and how they were put together.
    """

    picture: Pixels
    registered: RegisteredStack


def fuse_stack(
    stack: ExposureSet,
    pipeline: "FusionPipeline",
    *,
    align: AlignMode = "auto",
    ghosts: GhostsMode = "auto",
    wanted: int | None = None,
    default: Reference = "over",
    crop: CropMode = "none",
    find_alignment: FindAlignment = align_onto,
) -> Fusion:
    """Leave out useless exposures, align the others, free them of ghosts, and fuse them.

    Where a single exposure is left, it is the picture.

    Args:
        stack: The exposures; where their sizes differ, the picture has that of the reference, in
            which the others are sought.
        pipeline: Weights on a device.
        align: `auto` warps an exposure only where a homography passes the gates, `off` does not
            look for one, `require` refuses a stack of which an exposure has none. An exposure of
            another size must have one, and `off` refuses it.
        ghosts: `auto` replaces what moved by what the reference shows, `off` leaves it.
        wanted: Number, as given, from 1, of the exposure that stays where it is; None leaves the
            choice.
        default: Of a pair, the exposure that is then chosen; the weights' manifest says which.
        crop: `none` leaves the frame of the reference, `common` cuts the picture to the largest
            rectangle that all exposures cover.
        find_alignment: What finds the homographies. A caller that fuses one stack by several
            weights gives a function that remembers them.

    Returns:
        The picture and how it came about.

    Raises:
        ExposureError: There is no exposure of the wanted number, one is of another scene, sizes
            differ and cannot be brought together, or the exposures share too little to crop to.
        AlignmentError: `require`, and for an exposure no homography passes the gates.
        InferenceError: The computation failed.
    """
    registered = register(
        stack,
        align=align,
        ghosts=ghosts,
        wanted=wanted,
        default=default,
        crop=crop,
        find_alignment=find_alignment,
    )
    used = registered.used
    if len(used) == 1:
        picture = used.darkest.copy()
    else:
        picture = pipeline.fuse(used, registered.registration)
    if crop == "common" and registered.frame is not None:
        picture = picture[registered.frame.slices].copy()
    return Fusion(picture, registered)
