"""Reads the options of `POST /fuse` from the query, the form and `Accept`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

from starlette.datastructures import QueryParams

from expofuse.errors import OptionError
from expofuse.files.formats import EncodeOptions, check_encodable
from expofuse.files.headers import ImageFormat, ImageHeader
from model.exposure import AlignMode, CropMode, GhostsMode
from model.tiling import Rect
from service.processes.shared_memory import SharedDescriptor
from service.served_weights import ServedWeights

FileField = Literal["under", "over", "exposures"]
FILE_FIELDS: tuple[FileField, ...] = get_args(FileField)
PAIR_FIELDS: tuple[FileField, ...] = ("under", "over")
STACK_FIELD: FileField = "exposures"
OPTION_NAMES = ("format", "quality", "align", "ghosts", "crop", "reference", "weights")
AUTO_REFERENCE = "auto"

DEFAULT_QUALITY = 90
MIN_QUALITY, MAX_QUALITY = 1, 100
MEDIA_TYPES: dict[ImageFormat, str] = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "tiff": "image/tiff",
}
ALIGN_MODES: tuple[AlignMode, ...] = get_args(AlignMode)
GHOSTS_MODES: tuple[GhostsMode, ...] = get_args(GhostsMode)
CROP_MODES: tuple[CropMode, ...] = get_args(CropMode)
Choice = TypeVar("Choice", bound=str)
_FORMATS = {media_type: name for name, media_type in MEDIA_TYPES.items()}


@dataclass(frozen=True, slots=True)
class FuseOptions:
    """The options of one request.

    Attributes:
        format: Format of the answer; None: by `Accept`, else that of the first exposure.
        quality: Of JPEG and WebP, 1..100; lossless formats ignore it.
        align: `auto` falls back to the identity, `off` does not look, `require` refuses.
        ghosts: `auto` replaces what moved by what the reference shows, `off` leaves it.
        crop: `common` cuts the picture to what all exposures cover, `none` leaves it whole.
        reference: Number of the exposure that stays where it is, from 1, as sent (`under` is 1 and
            `over` 2), and whose size the picture has; None leaves the choice to the service.
        weights: Name or label of a weights version, as given; None: the default.
    """

    format: ImageFormat | None = None
    quality: int = DEFAULT_QUALITY
    align: AlignMode = "auto"
    ghosts: GhostsMode = "auto"
    crop: CropMode = "none"
    reference: int | None = None
    weights: str | None = None


def parse_options(query: QueryParams, fields: Mapping[str, str]) -> FuseOptions:
    """Read the options from the query and from the form's fields.

    Args:
        query: Parameters of the URL.
        fields: Options given as form fields; their names are known ones.

    Returns:
        The options, with defaults for those not given.

    Raises:
        OptionError: A name is unknown, comes twice, or has a value that it does not take.
    """
    given = dict(fields)
    for name, value in query.multi_items():
        if name not in OPTION_NAMES:
            raise OptionError(f"expected the options {', '.join(OPTION_NAMES)}, got an unknown one")
        if name in given:
            raise OptionError(f"expected the option '{name}' once, got it twice")
        given[name] = value
    return FuseOptions(
        format=_choose(given, "format", tuple(MEDIA_TYPES)),
        quality=_parse_quality(given.get("quality")),
        align=_choose(given, "align", ALIGN_MODES) or "auto",
        ghosts=_choose(given, "ghosts", GHOSTS_MODES) or "auto",
        crop=_choose(given, "crop", CROP_MODES) or "none",
        reference=_parse_reference(given.get("reference")),
        weights=given.get("weights"),
    )


def choose_format(options: FuseOptions, accept: str | None, first: ImageFormat) -> ImageFormat:
    """The format of the answer: by the option, else by `Accept`, else that of the first exposure.

    A header that names none of our formats is no reason to refuse (RFC 9110, section 12.5.1).

    Example:
        >>> choose_format(FuseOptions(), "image/webp;q=0.5, image/png", "jpeg")
        'png'
        >>> choose_format(FuseOptions(), "*/*", "jpeg")
        'jpeg'
    """
    if options.format is not None:
        return options.format
    best, best_weight = first, 0.0
    for item in (accept or "").split(","):
        media_type, *parameters = (part.strip().lower() for part in item.split(";"))
        named = _FORMATS.get(media_type)
        weight = _parse_weight(parameters)
        if named is not None and weight > best_weight:
            best, best_weight = named, weight
    return best


def choose_encoding(
    options: FuseOptions, accept: str | None, headers: Sequence[ImageHeader]
) -> EncodeOptions:
    """How the answer will be written; known before any work is done.

    The picture has the size of the reference exposure, which is known only once the exposures are
    aligned, and may be cut then. So only what the format can hold in no case is refused here.

    Args:
        options: Of the request.
        accept: Its `Accept` header.
        headers: Of the exposures, as sent.

    Raises:
        OptionError: The format cannot hold a picture of this size.
    """
    encoding = EncodeOptions(choose_format(options, accept, headers[0].format), options.quality)
    if options.crop == "none":
        smallest = min(_find_references(options, headers), key=lambda one: max(one.sides))
        check_encodable(encoding, width_px=smallest.width_px, height_px=smallest.height_px)
    return encoding


def check_result(encoding: EncodeOptions, exposure: SharedDescriptor, frame: Rect | None) -> None:
    """Check that the format can hold the picture, once its size is known.

    Args:
        encoding: How it will be written.
        exposure: Any of the exposures that are fused.
        frame: What the picture is cut to; None leaves it whole.

    Raises:
        OptionError: It cannot.
    """
    height, width = exposure.shape[:2] if frame is None else (frame.height, frame.width)
    check_encodable(encoding, width_px=width, height_px=height)


def _find_references(options: FuseOptions, headers: Sequence[ImageHeader]) -> Sequence[ImageHeader]:
    """The exposures that may become the reference: the one asked for, or any."""
    if options.reference is None or options.reference > len(headers):
        return headers
    return [headers[options.reference - 1]]


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
    if value is None or value == AUTO_REFERENCE:
        return None
    if len(value) != 1 or value not in "123456789":
        raise OptionError(
            f"expected reference as {AUTO_REFERENCE} or the number of an exposure, got another"
        )
    return int(value)


def _parse_weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
