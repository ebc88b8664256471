"""The front door for Python: `fuse` takes exposures and returns the picture.

Nothing heavy is imported before `fuse` is called.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args, overload

from expofuse.bundled_weights import DEFAULT_WEIGHTS, PACKAGED_WEIGHTS_DIR, locate_weights
from expofuse.errors import OptionError
from model.errors import ExposureError, WeightsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from PIL.Image import Image

    from expofuse.files.headers import ImageFormat
    from expofuse.kinds import File
    from model.exposure import AlignmentReport, AlignMode, Pixels


@dataclass(frozen=True, slots=True)
class FuseReport:
    """How a picture came about.

    Attributes:
        alignment: How the exposures lie on each other; None with `align="off"`.
        weights: Name and version of the weights that fused it.
        is_swapped: The brighter exposure was given first.
    """

    alignment: AlignmentReport | None
    weights: str
    is_swapped: bool


@overload
def fuse(
    under: Pixels | Sequence[Pixels],
    over: Pixels | None = None,
    *,
    weights: str | Path = ...,
    align: AlignMode = ...,
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
    device: str = "auto",
    format: ImageFormat | None = None,
    quality: int | None = None,
    return_report: bool = False,
) -> object:
    """Fuse two exposures of one scene into one well-exposed picture.

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
            exposures, in any order; it has to hold two.
        over: The brighter exposure, of the same kind and size. Exposures that are given the other
            way round change places.
        weights: Name and version of bundled weights, or the path of a weights directory.
        align: `auto` fuses the exposures as they lie where no alignment is trusted, `off` does not
            look for one, `require` raises an error instead.
        device: `auto`, `cpu` or `cuda:N`; `auto` takes a CUDA device where there is one.
        format: `jpeg`, `png`, `webp` or `tiff`, of the file that is returned.
        quality: Of JPEG and lossy WebP, 1 to 100; 90 when not given.
        return_report: Return the report too.

    Returns:
        The picture, and with `return_report` a pair of it and a `FuseReport`.

    Raises:
        ExposureError: The exposures are not two, differ in size, are smaller than 16 pixels, or are
            arrays of another shape or type.
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
    from model.exposure import AlignMode, ExposurePair
    from model.fuse import fuse_pair

    if align not in get_args(AlignMode):
        raise OptionError(f"expected align as one of {', '.join(get_args(AlignMode))}")
    kind = choose_kind(exposures, image_format=format, quality=quality)
    pair = ExposurePair.from_images(*kind.read())
    opened = open_weights(directory, device=device)
    fusion = fuse_pair(pair, opened.pipeline, align=align, reference=opened.reference)
    picture = kind.write(fusion.picture, darkest=1 if pair.is_swapped else 0)
    if not return_report:
        return picture
    return picture, FuseReport(fusion.alignment, opened.label, pair.is_swapped)


def _list_exposures(under: object, over: object) -> list[object]:
    exposures: list[object] = list(under) if isinstance(under, list | tuple) else [under]
    if over is not None:
        exposures.append(over)
    if len(exposures) != 2:
        raise ExposureError(f"expected two exposures, got {len(exposures)}")
    return exposures


def _find_weights(weights: str | Path) -> Path:
    directory = locate_weights(weights) if isinstance(weights, str) else weights
    if directory.is_dir():
        return directory
    bundled = sorted(path.parent.name for path in PACKAGED_WEIGHTS_DIR.glob("*/manifest.json"))
    raise WeightsError(
        f"expected a weights directory or one of {', '.join(bundled)}, got '{directory.name}'"
    )
