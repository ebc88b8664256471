"""Reads the options of `POST /fuse` from the query and the form."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

from starlette.datastructures import QueryParams

from expofuse.errors import OptionError
from expofuse.files.formats import (
    DEFAULT_QUALITY,
    OUTPUT_DEPTHS,
    OUTPUT_FORMATS,
    EncodeOptions,
    MetadataMode,
    OutputDepth,
    OutputFormat,
    ProfileMode,
    Subsampling,
)
from model.exposure import AlignMode, CropMode, GhostsMode
from service.served_weights import ServedWeights

FileField = Literal["under", "over", "exposures"]
FILE_FIELDS: tuple[FileField, ...] = get_args(FileField)
PAIR_FIELDS: tuple[FileField, ...] = ("under", "over")
STACK_FIELD: FileField = "exposures"
OPTION_NAMES = (
    "format",
    "quality",
    "bit_depth",
    "subsampling",
    "progressive",
    "metadata",
    "profile",
    "align",
    "ghosts",
    "crop",
    "reference",
    "weights",
)
AUTO = "auto"
"""Of `reference` and `bit_depth`: the service chooses."""

MIN_QUALITY, MAX_QUALITY = 1, 100
MEDIA_TYPES: dict[OutputFormat, str] = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "tiff": "image/tiff",
    "avif": "image/avif",
    "jxl": "image/jxl",
}
ALIGN_MODES: tuple[AlignMode, ...] = get_args(AlignMode)
GHOSTS_MODES: tuple[GhostsMode, ...] = get_args(GhostsMode)
CROP_MODES: tuple[CropMode, ...] = get_args(CropMode)
FORMAT_ALIASES = {"jpg": "jpeg", "tif": "tiff"}
BIT_DEPTHS = (AUTO, *map(str, OUTPUT_DEPTHS))
SUBSAMPLINGS: tuple[Subsampling, ...] = get_args(Subsampling)
METADATA_MODES: tuple[MetadataMode, ...] = get_args(MetadataMode)
PROFILE_MODES: tuple[ProfileMode, ...] = get_args(ProfileMode)
SWITCH = ("false", "true")
PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
Choice = TypeVar("Choice", bound=str)


@dataclass(frozen=True, slots=True)
class FuseOptions:
    """The options of one request.

    Attributes:
        format: Format of the answer; None: by `Accept`, else that of the first exposure.
        quality: Of lossy formats, 1..100; lossless ones ignore it.
        bits: Bits of a sample of the answer; None: those of the exposures, or the most that the
            format holds.
        subsampling: See `EncodeOptions`, as the others.
        is_progressive: See there.
        metadata: See there.
        profile: See there.
        align: `auto` falls back to the identity, `off` does not look, `require` refuses.
        ghosts: `auto` replaces what moved by what the reference shows, `off` leaves it.
        crop: `common` cuts the picture to what all exposures cover, `none` leaves it whole.
        reference: Number of the exposure that stays where it is, from 1, as sent (`under` is 1 and
            `over` 2), and whose size the picture has; None leaves the choice to the service.
        weights: Name or label of a weights version, as given; None: the default.
    """

    format: OutputFormat | None = None
    quality: int = DEFAULT_QUALITY
    bits: OutputDepth | None = None
    subsampling: Subsampling = "auto"
    is_progressive: bool = False
    metadata: MetadataMode = "keep"
    profile: ProfileMode = "srgb"
    align: AlignMode = "auto"
    ghosts: GhostsMode = "auto"
    crop: CropMode = "none"
    reference: int | None = None
    weights: str | None = None

    def encode_as(self, image_format: OutputFormat) -> EncodeOptions:
        """How the answer is written in a format."""
        return EncodeOptions(
            image_format,
            self.quality,
            self.bits,
            self.subsampling,
            self.is_progressive,
            self.metadata,
            self.profile,
        )


def parse_options(query: QueryParams, fields: Mapping[str, str]) -> FuseOptions:
    """Read the options from the query and from the form's fields; an empty value is none.

    Args:
        query: Parameters of the URL.
        fields: Options given as form fields, none of them empty; their names are known ones.

    Returns:
        The options, with defaults for those not given.

    Raises:
        OptionError: A name is unknown, comes twice, or has a value that it does not take.
    """
    given = dict(fields)
    for name, value in query.multi_items():
        if name not in OPTION_NAMES:
            raise OptionError(
                f"expected the options {', '.join(OPTION_NAMES)}, got {tell_name(name)}"
            )
        if not value:
            continue
        if name in given:
            raise OptionError(f"expected the option '{name}' once, got it twice")
        given[name] = value
    if "format" in given:
        spelt = given["format"].lower()
        given["format"] = FORMAT_ALIASES.get(spelt, spelt)
    return FuseOptions(
        format=_choose(given, "format", OUTPUT_FORMATS),
        quality=_parse_quality(given.get("quality")),
        bits=_parse_bits(_choose(given, "bit_depth", BIT_DEPTHS)),
        subsampling=_choose(given, "subsampling", SUBSAMPLINGS) or "auto",
        is_progressive=_choose(given, "progressive", SWITCH) == "true",
        metadata=_choose(given, "metadata", METADATA_MODES) or "keep",
        profile=_choose(given, "profile", PROFILE_MODES) or "srgb",
        align=_choose(given, "align", ALIGN_MODES) or "auto",
        ghosts=_choose(given, "ghosts", GHOSTS_MODES) or "auto",
        crop=_choose(given, "crop", CROP_MODES) or "none",
        reference=_parse_reference(given.get("reference")),
        weights=given.get("weights"),
    )


def tell_name(name: str) -> str:
    """A name as messages repeat it: only what is short and harmless comes from the client.

    Example:
        >>> tell_name("sharpen"), tell_name("a<b>")
        ("'sharpen'", 'an unknown one')
    """
    return f"'{name}'" if PLAIN_NAME.fullmatch(name) else "an unknown one"


def list_weights_names(served: Sequence[ServedWeights]) -> dict[str, ServedWeights]:
    """Every value of the option `weights`, with the version that it stands for.

    Args:
        served: The loaded versions.

    Returns:
        Each label, and each bare name with the highest loaded version of that name.

    Example:
        >>> old, new = (
        ...     ServedWeights("net", version, "net", "", "over", "float32")
        ...     for version in ("1.9.0", "1.10.0")
        ... )
        >>> {name: one.version for name, one in list_weights_names([old, new]).items()}
        {'net-1.9.0': '1.9.0', 'net-1.10.0': '1.10.0', 'net': '1.10.0'}
    """
    names = {one.label: one for one in served}
    for one in sorted(served, key=_version_numbers):
        names[one.name] = one
    return names


def choose_weights(options: FuseOptions, served: Sequence[ServedWeights]) -> ServedWeights:
    """The weights version of one request: the option, else the default.

    Args:
        options: Of the request.
        served: The loaded versions, the default first.

    Raises:
        OptionError: The option names none of them.
    """
    if options.weights is None:
        return served[0]
    names = list_weights_names(served)
    if options.weights not in names:
        raise OptionError(f"expected weights as one of {', '.join(names)}, got another")
    return names[options.weights]


def _version_numbers(weights: ServedWeights) -> tuple[int, ...]:
    return tuple(int(part) for part in weights.version.split("."))


def _parse_quality(value: str | None) -> int:
    if value is None:
        return DEFAULT_QUALITY
    is_number = value.isascii() and value.isdigit() and len(value) <= len(str(MAX_QUALITY))
    if not is_number or not MIN_QUALITY <= int(value) <= MAX_QUALITY:
        raise OptionError(
            f"expected quality as a whole number from {MIN_QUALITY} to {MAX_QUALITY}, got another"
        )
    return int(value)


def _parse_bits(value: str | None) -> OutputDepth | None:
    return next((one for one in OUTPUT_DEPTHS if str(one) == value), None)


def _choose(given: Mapping[str, str], name: str, choices: tuple[Choice, ...]) -> Choice | None:
    """The choice that an option names; None when it is not given."""
    value = given.get(name)
    if value is None:
        return None
    for choice in choices:
        if value == choice:
            return choice
    raise OptionError(f"expected {name} as one of {', '.join(choices)}, got another")


def _parse_reference(value: str | None) -> int | None:
    if value is None or value == AUTO:
        return None
    if len(value) != 1 or value not in "123456789":
        raise OptionError(f"expected reference as {AUTO} or the number of an exposure, got another")
    return int(value)
