"""The front door for Python: `fuse` takes exposures and returns the picture.

Nothing heavy is imported before `fuse` is called.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args, overload

from expofuse.bundled_weights import DEFAULT_WEIGHTS, PACKAGED_WEIGHTS_DIR, locate_weights
from expofuse.errors import OptionError
from model.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from PIL.Image import Image

    from expofuse.files.headers import ImageFormat
    from expofuse.kinds import File
    from model.exposure import AlignMode, GhostsMode, Pixels, StackAlignment


@dataclass(frozen=True, slots=True)
class FuseReport:
    """How a picture came about.

    Attributes:
        alignment: How the exposures lie on each other, dark to bright; None with `align="off"`.
        weights: Name and version of the weights that fused it.
        order: Which of the exposures given is the darkest, the next, ... and the brightest, from 0.
        used: Those of them that were fused: no blank one, and of equal ones a single one.
        reference: Which of the exposures given stayed where it is, from 0.
        replaced_share: Share of the picture in which what moved, or what only the reference
            covers, was replaced in an exposure, 0..1.
    """

    alignment: StackAlignment | None
    weights: str
    order: tuple[int, ...]
    used: tuple[int, ...]
    reference: int
    replaced_share: float

    def describe_order(self) -> str:
        """The order found, as the service's header says it."""
        from model.exposure import describe_order

        return describe_order(self.order)

    def describe_alignment(self) -> str:
        """What alignment did, as the service's header says it."""
        from model.exposure import describe_alignment

        return describe_alignment(self.alignment, self.used)

    @property
    def is_swapped(self) -> bool:
        """The exposures were not given dark to bright."""
        return self.order != tuple(range(len(self.order)))


@overload
def fuse(
    under: Pixels | Sequence[Pixels],
    over: Pixels | None = None,
    *,
    weights: str | Path = ...,
    align: AlignMode = ...,
    ghosts: GhostsMode = ...,
    reference: int | None = ...,
    device: str = ...,
    return_report: Literal[False] = False,
) -> Pixels: ...
@overload
def fuse(
    under: Pixels | Sequence[Pixels],
    over: Pixels | None = None,
    *,
    weights: str | Path = ...,
    align: AlignMode = ...,
    ghosts: GhostsMode = ...,
    reference: int | None = ...,
    device: str = ...,
    return_report: Literal[True],
) -> tuple[Pixels, FuseReport]: ...
@overload
def fuse(
    under: Image | Sequence[Image],
    over: Image | None = None,
    *,
    weights: str | Path = ...,
    align: AlignMode = ...,
    ghosts: GhostsMode = ...,
    reference: int | None = ...,
    device: str = ...,
    return_report: Literal[False] = False,
) -> Image: ...
@overload
def fuse(
    under: Image | Sequence[Image],
    over: Image | None = None,
    *,
    weights: str | Path = ...,
    align: AlignMode = ...,
    ghosts: GhostsMode = ...,
    reference: int | None = ...,
    device: str = ...,
    return_report: Literal[True],
) -> tuple[Image, FuseReport]: ...
@overload
def fuse(
    under: File | Sequence[File],
    over: File | None = None,
    *,
    weights: str | Path = ...,
    align: AlignMode = ...,
    ghosts: GhostsMode = ...,
    reference: int | None = ...,
    device: str = ...,
    format: ImageFormat | None = ...,
    quality: int | None = ...,
    return_report: Literal[False] = False,
) -> bytes: ...
@overload
def fuse(
    under: File | Sequence[File],
    over: File | None = None,
    *,
    weights: str | Path = ...,
    align: AlignMode = ...,
    ghosts: GhostsMode = ...,
    reference: int | None = ...,
    device: str = ...,
    format: ImageFormat | None = ...,
    quality: int | None = ...,
    return_report: Literal[True],
) -> tuple[bytes, FuseReport]: ...
def fuse(
    under: object,
    over: object = None,
    *,
    weights: str | Path = DEFAULT_WEIGHTS,
    align: AlignMode = "auto",
    ghosts: GhostsMode = "auto",
    reference: int | None = None,
    device: str = "auto",
    format: ImageFormat | None = None,
    quality: int | None = None,
    return_report: bool = False,
) -> object:
    """Fuse two to nine exposures of one scene into one well-exposed picture.

    What comes in comes out: arrays give an array, images of Pillow an image, and files, as bytes
    or as paths, the bytes of a file in the format of the first exposure. Arrays are taken for sRGB
    as they are. Files and images are turned upright, brought from their colour profile to sRGB, and
    lose their alpha channel. 16 bits are kept, but by Pillow, JPEG and WebP, which cannot hold
    them; of exposures of 8 and 16 bits the picture has 16. A written file carries the EXIF block of
    the darker exposure. The picture is the one that the service answers with.

    The first call with a version of the weights reads it, which takes a second or two; then it
    stays open. Threads may call `fuse` at the same time.

    Args:
        under: The darker exposure, (H, W, 3) of uint8 or uint16 if it is an array. Or a list of the
            exposures, in any order, two to nine.
        over: The brighter exposure, of the same kind and size. Exposures that are given the other
            way round change places.
        weights: Name and version of bundled weights, or the path of a weights directory.
        align: `auto` fuses the exposures as they lie where no alignment is trusted, `off` does not
            look for one, `require` raises an error instead.
        ghosts: `auto` replaces what moved by what the reference exposure shows, `off` leaves it.
        reference: Number of the exposure that stays where it is, from 1 as given; None leaves the
            choice.
        device: `auto`, `cpu` or `cuda:N`; `auto` takes a CUDA device where there is one.
        format: `jpeg`, `png`, `webp` or `tiff`, of the file that is returned.
        quality: Of JPEG and lossy WebP, 1 to 100; 90 when not given.
        return_report: Return the report too.

    Returns:
        The picture, and with `return_report` a pair of it and a `FuseReport`.

    Raises:
        ExposureError: The exposures are not two to nine, differ in size, are smaller than 16
            pixels, or are arrays of another shape or type.
        AlignmentError: `align="require"`, and no alignment is trusted.
        WeightsError: The weights are not there or do not pass their checks.
        FileError: A file cannot be read or written, or an option has no such value.
        TypeError: The exposures are of several kinds, or of none of these.
        ValueError: The device is not there.
        OSError: A path cannot be read.

    Example:
        >>> import numpy as np
        >>> dark = np.full((32, 48, 3), 30, np.uint8)
        >>> picture, report = fuse(dark, dark * 6, return_report=True)
        >>> picture.shape, report.weights, report.is_swapped
        ((32, 48, 3), 'pyramid-blend-1.1.0', False)
        >>> picture.dtype, bool(30 < picture.mean() < 180)
        (dtype('uint8'), True)
    """
    exposures = _list_exposures(under, over)
    directory = _find_weights(weights)

    from expofuse.kinds import choose_kind
    from expofuse.open_weights import open_weights
    from model.exposure import AlignMode, ExposureStack, GhostsMode
    from model.fuse import fuse_stack

    if align not in get_args(AlignMode):
        raise OptionError(f"expected align as one of {', '.join(get_args(AlignMode))}")
    if ghosts not in get_args(GhostsMode):
        raise OptionError(f"expected ghosts as one of {', '.join(get_args(GhostsMode))}")
    kind = choose_kind(exposures, image_format=format, quality=quality)
    stack = ExposureStack.from_images(kind.read())
    opened = open_weights(directory, device=device)
    fusion = fuse_stack(
        stack,
        opened.pipeline,
        align=align,
        ghosts=ghosts,
        wanted=reference,
        default=opened.reference,
    )
    picture = kind.write(fusion.picture, darkest=stack.order[0])
    if not return_report:
        return picture
    used, found = fusion.registered.used, fusion.registered.registration
    return picture, FuseReport(
        found.alignment,
        opened.label,
        stack.order,
        used.order,
        used.order[found.reference],
        found.replaced_share,
    )


def _list_exposures(under: object, over: object) -> list[object]:
    from model.exposure import check_count

    exposures: list[object] = list(under) if isinstance(under, list | tuple) else [under]
    if over is not None:
        exposures.append(over)
    check_count(len(exposures))
    return exposures


def _find_weights(weights: str | Path) -> Path:
    directory = locate_weights(weights) if isinstance(weights, str) else weights
    if directory.is_dir():
        return directory
    bundled = sorted(path.parent.name for path in PACKAGED_WEIGHTS_DIR.glob("*/manifest.json"))
    raise WeightsError(
        f"expected a weights directory or one of {', '.join(bundled)}, got '{directory.name}'"
    )
