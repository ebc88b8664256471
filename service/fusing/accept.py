"""Chooses how the answer is written, by the options and by `Accept`, before any work is done."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from expofuse.files.formats import (
    FORMAT_DEPTHS,
    FORMAT_MAX_SIDE_PX,
    EncodeOptions,
    OutputFormat,
    check_encodable,
    is_written,
)
from expofuse.files.headers import ImageFormat, ImageHeader
from model.tiling import Rect
from service.errors import NotAcceptableError
from service.fusing.options import MEDIA_TYPES, FuseOptions
from service.processes.shared_memory import SharedDescriptor

OTHER_MEDIA_TYPES: dict[str, OutputFormat] = {
    "image/jpg": "jpeg",
    "image/pjpeg": "jpeg",
    "image/x-png": "png",
    "image/tif": "tiff",
}
"""Names that clients also use; answers carry the registered ones."""

LOSSLESS_FORMAT: OutputFormat = "png"
SMALL_FORMAT: OutputFormat = "jpeg"
"""Taken where the client has no preference and the first exposure's own format is not written."""

SLOW_FORMATS: tuple[OutputFormat, ...] = ("avif", "jxl")
"""Taken only where the client prefers them: browsers name them first, but would wait long."""

_FORMATS = {media_type: name for name, media_type in MEDIA_TYPES.items()} | OTHER_MEDIA_TYPES
_ITEMS = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_PARAMETERS = re.compile(r'(?:[^;"]|"(?:[^"\\]|\\.)*"?)+')
_WEIGHT = re.compile(r"[0-9]{1,9}(?:\.[0-9]{0,9})?|\.[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One item of an `Accept` header.

    Attributes:
        media_type: A type in lower case, `image/*` or `*/*`.
        weight: How welcome it is, 0..1; 0: not at all.
    """

    media_type: str
    weight: float


@dataclass(frozen=True, slots=True)
class Welcome:
    """How welcome one format is.

    Attributes:
        weight: 0..1, by the most specific range that covers it.
        place: Place of the item that names it; None where a wildcard covers it.
    """

    weight: float
    place: int | None


@dataclass(frozen=True, slots=True)
class Picture:
    """What is known beforehand of the picture that the format has to hold.

    Attributes:
        first: Format of the first exposure.
        bits: Of a sample; a format with fewer would lose some.
        least_px: Longer side that it has at least.
        most_px: Longer side that it has at most.
    """

    first: ImageFormat
    bits: int
    least_px: int
    most_px: int


def read_accept(accept: str) -> Iterator[MediaRange]:
    """The items of an `Accept` header (RFC 9110, section 12.5.1), in their order.

    Parameters of a media type are not looked at. A weight above 1 counts as 1, and an item whose
    weight is no number counts as 0: it asks for something, and not for this.

    Example:
        >>> [(one.media_type, one.weight) for one in read_accept('image/PNG;q=0.5, */*;x=",";q=0')]
        [('image/png', 0.5), ('*/*', 0.0)]
    """
    for item in _ITEMS.findall(accept):
        media_type, *parameters = (part.strip() for part in _PARAMETERS.findall(item))
        if media_type:
            yield MediaRange(media_type.lower(), _read_weight(parameters))


def choose_format(asked: OutputFormat | None, accept: str, picture: Picture) -> OutputFormat:
    """The format of the answer: the one asked for, else the most welcome one that can hold it.

    A format that is not as deep as the exposures is taken only where no welcome one is. Of equally
    welcome formats the first one named is taken, but for slow ones; where only wildcards cover
    them, that of the first exposure, else PNG for 16 bits and JPEG for 8.

    Args:
        asked: The option `format`; None: not given.
        accept: The `Accept` headers, joined by commas; empty: everything is welcome.
        picture: What has to be held.

    Raises:
        NotAcceptableError: No welcome format can hold it, or none is written here.

    Example:
        >>> picture = Picture("jpeg", 8, 400, 400)
        >>> choose_format(None, "image/webp;q=0.5, image/png", picture)
        'png'
        >>> choose_format(None, "*/*", picture)
        'jpeg'
    """
    if asked is not None:
        return asked
    ranges = list(read_accept(accept)) or [MediaRange("*/*", 1.0)]
    welcomes = {name: _find_welcome(name, ranges) for name in MEDIA_TYPES if is_written(name)}
    welcome = [name for name, one in welcomes.items() if one.weight > 0]
    able = [name for name in welcome if FORMAT_MAX_SIDE_PX[name] >= picture.most_px]
    # Of exposures of several sizes, the picture may yet become one that these can hold.
    able = able or [name for name in welcome if FORMAT_MAX_SIDE_PX[name] >= picture.least_px]
    if not able:
        raise NotAcceptableError(_explain(welcome, picture))
    able = [name for name in able if max(FORMAT_DEPTHS[name]) >= picture.bits] or able
    defaults = (picture.first, LOSSLESS_FORMAT if picture.bits > 8 else SMALL_FORMAT)

    def rank(name: OutputFormat) -> tuple[float, bool, int, int]:
        one = welcomes[name]
        place = len(ranges) if one.place is None else one.place
        default = defaults.index(name) if name in defaults else len(defaults)
        return -one.weight, name in SLOW_FORMATS, place, default

    return min(able, key=rank)


def choose_encoding(
    options: FuseOptions, accept: str, headers: Sequence[ImageHeader]
) -> EncodeOptions:
    """How the answer will be written; known before any work is done.

    The picture has the size of the reference exposure, which is known only once the exposures are
    aligned, and may be cut then. So only what the format can hold in no case is refused here.

    Args:
        options: Of the request.
        accept: Its `Accept` headers, joined by commas.
        headers: Of the exposures, as sent.

    Raises:
        OptionError: The format asked for cannot hold a picture of this size.
        NotAcceptableError: None that the client takes can.
    """
    references = _find_references(options, headers)
    smallest = min(references, key=lambda one: max(one.sides))
    is_whole = options.crop == "none"
    picture = Picture(
        first=headers[0].format,
        bits=options.bits or max(header.bits for header in headers),
        least_px=max(smallest.sides) if is_whole else 1,
        most_px=max(max(one.sides) for one in references),
    )
    encoding = options.encode_as(choose_format(options.format, accept, picture))
    if is_whole:
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


def _find_welcome(name: OutputFormat, ranges: Sequence[MediaRange]) -> Welcome:
    """By the most specific ranges that cover the format, the most welcoming of them."""
    named = [
        Welcome(one.weight, place)
        for place, one in enumerate(ranges)
        if _FORMATS.get(one.media_type) == name
    ]
    for covering in ("image/*", "*/*"):
        named = named or [Welcome(one.weight, None) for one in ranges if one.media_type == covering]
    return max(named, key=lambda one: one.weight, default=Welcome(0.0, None))


def _explain(welcome: Sequence[OutputFormat], picture: Picture) -> str:
    if not welcome:
        return f"expected Accept to admit one of {_list_written()}, it admits none"
    sizes = ", ".join(f"{name} at most {FORMAT_MAX_SIDE_PX[name]}" for name in welcome)
    return (
        f"expected a picture whose sides an admitted format can hold ({sizes} pixels), "
        f"got one of {picture.least_px} pixels; there are {_list_written()}"
    )


def _list_written() -> str:
    return ", ".join(media_type for name, media_type in MEDIA_TYPES.items() if is_written(name))


def _read_weight(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            value = value.strip()
            return min(1.0, float(value)) if _WEIGHT.fullmatch(value) else 0.0
    return 1.0
