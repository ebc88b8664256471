"""The front door for Python: `fuse` takes exposures and returns the picture.

Nothing heavy is imported before `fuse` is called.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast, get_args, overload

from expofuse.bundled_weights import DEFAULT_WEIGHTS, PACKAGED_WEIGHTS_DIR, locate_weights
from expofuse.errors import OptionError
from model.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from PIL.Image import Image

    from expofuse.files.formats import (
        MetadataMode,
        OutputDepth,
        OutputFormat,
        ProfileMode,
        Subsampling,
    )
    from expofuse.kinds import File, FileOptions, Kind
    from expofuse.open_weights import OpenWeights
    from model.exposure import AlignMode, CropMode, GhostsMode, Pixels, StackAlignment
    from model.register import RegisteredStack


@dataclass(frozen=True, slots=True)
class FuseReport:
    """How a picture came about.

    Attributes:
        alignment: How the exposures lie on each other, dark to bright; None with `align="off"`.
            Those that had another size than the reference say so in `own_size`.
        weights: Name and version of the weights that fused it.
        order: Which of the exposures given is the darkest, the next, ... and the brightest, from 0.
        used: Those of them that add something: no blank one, and of equal ones a single one.
        fused: Those of them that the picture is made of; weights for pairs, `hyperp-mb`, take the
            darkest and the brightest.
        reference: Which of the exposures given stayed where it is, from 0.
        replaced_share: Share of the picture in which what moved, or what only the reference
            covers, was replaced in an exposure, 0..1.
        frame: What all used exposures cover: left, top, width and height in pixels of the picture
            before it was cropped; None where they share nothing.
    """

    alignment: StackAlignment | None
    weights: str
    order: tuple[int, ...]
    used: tuple[int, ...]
    fused: tuple[int, ...]
    reference: int
    replaced_share: float
    frame: tuple[int, int, int, int] | None

    def describe_order(self) -> str:
        """The order found, as the service's header says it."""
        from model.describe import describe_order

        return describe_order(self.order)

    def describe_alignment(self) -> str:
        """What alignment did, as the service's header says it."""
        from model.describe import describe_alignment

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
    crop: CropMode = ...,
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
    crop: CropMode = ...,
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
    crop: CropMode = ...,
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
    crop: CropMode = ...,
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
    crop: CropMode = ...,
    reference: int | None = ...,
    device: str = ...,
    format: OutputFormat | None = ...,
    quality: int | None = ...,
    bit_depth: OutputDepth | None = ...,
    subsampling: Subsampling | None = ...,
    progressive: bool | None = ...,
    metadata: MetadataMode | None = ...,
    profile: ProfileMode | None = ...,
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
    crop: CropMode = ...,
    reference: int | None = ...,
    device: str = ...,
    format: OutputFormat | None = ...,
    quality: int | None = ...,
    bit_depth: OutputDepth | None = ...,
    subsampling: Subsampling | None = ...,
    progressive: bool | None = ...,
    metadata: MetadataMode | None = ...,
    profile: ProfileMode | None = ...,
    return_report: Literal[True],
) -> tuple[bytes, FuseReport]: ...
def fuse(
    under: object,
    over: object = None,
    *,
    weights: str | Path = DEFAULT_WEIGHTS,
    align: AlignMode = "auto",
    ghosts: GhostsMode = "auto",
    crop: CropMode = "none",
    reference: int | None = None,
    device: str = "auto",
    format: OutputFormat | None = None,
    quality: int | None = None,
    bit_depth: OutputDepth | None = None,
    subsampling: Subsampling | None = None,
    progressive: bool | None = None,
    metadata: MetadataMode | None = None,
    profile: ProfileMode | None = None,
    return_report: bool = False,
) -> object:
    """Fuse two to nine exposures of one scene into one well-exposed picture.

    What comes in comes out: arrays give an array, images of Pillow an image, and files, as bytes
    or as paths, the bytes of a file in the format of the first exposure. Arrays are taken for sRGB
    as they are. Files and images are turned upright and brought from their colour profile to sRGB;
    where one is transparent the others show. 16 bits are kept, but by Pillow, JPEG and WebP, which
    cannot hold them; of exposures of 8 and 16 bits the picture has 16. A written file carries the
    EXIF block of the reference exposure. The picture is the one that the service answers with.

    The first call with a version of the weights reads it, which takes a second or two; then it
    stays open. Threads may call `fuse` at the same time.

    Args:
        under: The darker exposure, (H, W, 3) of uint8 or uint16 if it is an array. Or a list of the
            exposures, in any order, two to nine.
        over: The brighter exposure, of the same kind. Exposures that are given the other way round
            change places.
        weights: Name and version of bundled weights, or the path of a weights directory.
        align: `auto` fuses the exposures as they lie where no alignment is trusted, `off` does not
            look for one, `require` raises an error instead. Exposures of one scene whose sizes
            differ are brought to that of the reference; with `off` they are refused.
        ghosts: `auto` replaces what moved by what the reference exposure shows, `off` leaves it.
        crop: `common` cuts the picture to the largest rectangle that all exposures cover once they
            are aligned; `none` leaves it whole.
        reference: Number of the exposure that stays where it is, from 1 as given, and whose size
            the picture has; None leaves the choice.
        device: `auto`, `cpu` or `cuda:N`; `auto` takes a CUDA device where there is one.
        format: `jpeg`, `png`, `webp`, `tiff`, `avif` or `jxl`, of the file that is returned.
        quality: Of JPEG, AVIF, JPEG XL and WebP, 1 to 100; 90 when not given.
        bit_depth: Bits of a sample, 8 or 16 (AVIF: 8 or 10); those of the exposures when not given,
            or the most that the format holds.
        subsampling: Of the chroma of JPEG and AVIF, `444` or `420`; `auto` halves it below quality
            90.
        progressive: Write a JPEG that shows itself coarse first.
        metadata: `keep` writes the EXIF block of the reference exposure, `no-gps` without the
            place, `strip` none.
        profile: `srgb`, or `keep` for the colour profile of the reference exposure.
        return_report: Return the report too.

    Returns:
        The picture, and with `return_report` a pair of it and a `FuseReport`.

    Raises:
        ExposureError: The exposures are not two to nine, are of several scenes, differ in size
            with `align="off"`, share too little for `crop="common"`, are smaller than 16 pixels,
            or are arrays of another shape or type.
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
        ((32, 48, 3), 'pyramid-blend-2.1.0', False)
        >>> picture.dtype, bool(30 < picture.mean() < 180)
        (dtype('uint8'), True)
    """
    exposures = _list_exposures(under, over)
    directory = find_weights(weights)

    from expofuse.kinds import choose_kind
    from expofuse.open_weights import open_weights
    from model.exposure import AlignMode, CropMode, GhostsMode

    _check_choice("align", align, get_args(AlignMode))
    _check_choice("ghosts", ghosts, get_args(GhostsMode))
    _check_choice("crop", crop, get_args(CropMode))
    given_options = {
        "format": format,
        "quality": quality,
        "bits": bit_depth,
        "subsampling": subsampling,
        "is_progressive": progressive,
        "metadata": metadata,
        "profile": profile,
    }
    kind = choose_kind(exposures, _check_file_options(given_options))
    opened = open_weights(directory, device=device)
    picture, report = fuse_kind(
        kind, opened, align=align, ghosts=ghosts, crop=crop, reference=reference
    )
    return (picture, report) if return_report else picture


def fuse_kind(
    kind: Kind,
    opened: OpenWeights,
    *,
    align: AlignMode,
    ghosts: GhostsMode,
    crop: CropMode,
    reference: int | None,
) -> tuple[object, FuseReport]:
    """The part of `fuse` that comes when all is found; exposures that are not read yet are read.

    Args:
        kind: The exposures, and what the picture becomes.
        opened: The weights.
        align: See `fuse`, as all that follow.
        ghosts: See there.
        crop: See there.
        reference: See there.

    Returns:
        The picture, and how it came about.
    """
    from model.exposure import ExposureSet
    from model.fuse import fuse_stack
    from model.settle import settle_images

    decoded = kind.read()
    settled = settle_images(
        [one.pixels for one in decoded],
        [one.orientation for one in decoded],
        [one.transparent for one in decoded],
        wanted=reference,
        default=opened.reference,
    )
    given = ExposureSet.from_images(settled)
    fusion = fuse_stack(
        given,
        opened.pipeline,
        align=align,
        ghosts=ghosts,
        wanted=reference,
        default=opened.reference,
        crop=crop,
    )
    registered = fusion.registered
    used = registered.used.order
    picture = kind.write(fusion.picture, reference=used[registered.registration.reference])
    return picture, _make_report(registered, given.order, opened)


def _make_report(
    registered: RegisteredStack, order: tuple[int, ...], opened: OpenWeights
) -> FuseReport:
    from model.describe import list_fused

    used, found, frame = registered.used.order, registered.registration, registered.frame
    return FuseReport(
        alignment=found.alignment,
        weights=opened.label,
        order=order,
        used=used,
        fused=list_fused(used, is_for_pairs=opened.is_for_pairs),
        reference=used[found.reference],
        replaced_share=found.replaced_share,
        frame=None if frame is None else (frame.left, frame.top, frame.width, frame.height),
    )


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise OptionError(f"expected {name} as one of {', '.join(choices)}")


def _check_file_options(given: Mapping[str, object]) -> FileOptions:
    """The options of files that were given, each with a value that it takes."""
    from expofuse.files import formats

    choices = {
        "format": get_args(formats.OutputFormat),
        "bits": get_args(formats.OutputDepth),
        "subsampling": get_args(formats.Subsampling),
        "metadata": get_args(formats.MetadataMode),
        "profile": get_args(formats.ProfileMode),
    }
    options = {name: value for name, value in given.items() if value is not None}
    for name, value in options.items():
        if name in choices and value not in choices[name]:
            shown = "bit_depth" if name == "bits" else name
            raise OptionError(f"expected {shown} as one of {', '.join(map(str, choices[name]))}")
    return cast("FileOptions", options)


def _list_exposures(under: object, over: object) -> list[object]:
    from model.exposure import check_count

    exposures: list[object] = list(under) if isinstance(under, list | tuple) else [under]
    if over is not None:
        exposures.append(over)
    check_count(len(exposures))
    return exposures


def find_weights(weights: str | Path) -> Path:
    """The folder of bundled weights by their name, or the one that is given.

    Raises:
        WeightsError: There is no such folder.
    """
    directory = locate_weights(weights) if isinstance(weights, str) else weights
    if directory.is_dir():
        return directory
    bundled = sorted(path.parent.name for path in PACKAGED_WEIGHTS_DIR.glob("*/manifest.json"))
    raise WeightsError(
        f"expected a weights directory or one of {', '.join(bundled)}, got '{directory.name}'"
    )
