"""The options of a fusion as the client takes them, and as a query says them."""

from collections.abc import Mapping
from typing import Literal, TypedDict

from expofuse.files.formats import (
    MetadataMode,
    OutputDepth,
    OutputFormat,
    ProfileMode,
    Subsampling,
)
from model.exposure import AlignMode, CropMode, GhostsMode


class FuseOptions(TypedDict, total=False):
    """The options of one fusion; None, or none at all, leaves the choice to the service.

    Attributes:
        weights: Version that fuses, one of `names` at `Client.weights`.
        align: `auto` fuses exposures as they lie where no alignment is trusted, `off` does not look
            for one, `require` refuses instead.
        ghosts: `auto` replaces what moved by what the reference exposure shows, `off` leaves it.
        crop: `common` cuts the picture to what all exposures cover, `none` leaves it whole.
        reference: Number of the exposure that stays where it is, from 1 as given, or `auto`.
        format: Of the picture: `jpeg`, `png`, `webp`, `tiff` or `avif`; that of the first exposure
            where it is not given.
        quality: Of JPEG, WebP and AVIF, 1 to 100.
        bit_depth: Bits of a sample: 8, 10 (AVIF) or 16 (PNG, TIFF).
        subsampling: Of the chroma of JPEG and AVIF.
        progressive: A JPEG that shows itself coarse first.
        metadata: `keep` writes the EXIF block of the reference exposure, `no-gps` without the
            place, `strip` none.
        profile: `srgb`, or `keep` for the colour profile of the reference exposure.
    """

    weights: str | None
    align: AlignMode | None
    ghosts: GhostsMode | None
    crop: CropMode | None
    reference: int | Literal["auto"] | None
    format: OutputFormat | None
    quality: int | None
    bit_depth: OutputDepth | None
    subsampling: Subsampling | None
    progressive: bool | None
    metadata: MetadataMode | None
    profile: ProfileMode | None


OPTION_NAMES = tuple(FuseOptions.__annotations__)


def write_query(options: Mapping[str, object]) -> dict[str, str]:
    """The options that are given, as parameters of the URL; the service judges their values.

    Args:
        options: Of `FuseOptions`.

    Raises:
        TypeError: One is none of these.

    Example:
        >>> write_query({"quality": 80, "progressive": True, "crop": None})
        {'quality': '80', 'progressive': 'true'}
    """
    for name in options:
        if name not in OPTION_NAMES:
            raise TypeError(f"expected the options {', '.join(OPTION_NAMES)}, got '{name}'")
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in options.items()
        if value is not None
    }
