"""Checks what a codec process answers against what it was handed, before anybody acts on it.

A process that a hostile image has taken over may answer anything that has the form of an answer:
another job's block, a shape that does not fit it, an order that is none, a file that is none. The
answer that passes here can be no worse than a wrong picture for the client that sent the image.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import isfinite, prod

import numpy as np

from expofuse.files.formats import OutputFormat
from model.exposure import AlignmentReport, StackAlignment
from model.ghosts.ghost_map import PackedGhost
from model.ghosts.packing import read_shape
from model.tiling import Rect
from service.codec.messages import (
    MAX_BESIDE_BYTES,
    Answer,
    Call,
    DecodeCall,
    DecodedImage,
    EncodeCall,
    Encoded,
    Failure,
    RegisterCall,
    StackFound,
)
from service.errors import CodecError, ServiceError, SharedMemoryError, error_from_code
from service.processes.child_process import UnexpectedMessageError
from service.processes.shared_memory import SharedDescriptor

MAX_SENTENCE = 2_000
"""Characters of the message of a failure."""

MAX_PLANE_PX = 1 << 20
"""Of a ghost map; it is made on a small picture."""

MAX_GAP_EV = 16.0
"""From what a black picture is taken for to a white one."""

MAX_LEVEL = 1e6
"""Of a curve, whose levels are about 0 to 255."""

_FILE_BYTES_PER_SAMPLE_BYTE = 3
_FILE_HEAD_BYTES = 1 << 20
"""No writer makes more of a sample than this, and beside them, apart from the metadata."""

_MAGIC: dict[OutputFormat, tuple[tuple[int, bytes], ...]] = {
    "jpeg": ((0, b"\xff\xd8\xff"),),
    "png": ((0, b"\x89PNG\r\n\x1a\n"),),
    "webp": ((0, b"RIFF"), (8, b"WEBP")),
    "tiff": ((0, b"II*\0"),),
    "avif": ((4, b"ftypavi"),),
    "jxl": ((0, b"\xff\x0a"),),
}
_OTHER_MAGIC: dict[OutputFormat, bytes] = {
    "tiff": b"MM\0*",
    "jxl": b"\0\0\0\x0cJXL \r\n\x87\n",
}


class AnswerError(UnexpectedMessageError):
    """An answer does not fit its call; the message says in what."""


def bound_payload(call: Call, answer: Answer) -> int:
    """The most bytes that may follow an answer."""
    if not isinstance(call, EncodeCall) or not isinstance(answer, Encoded):
        return 0
    frame = call.frame or Rect(0, 0, *call.pixels.shape[:2])
    sample_bytes = 2 * 3 * frame.height * frame.width
    beside = len(call.metadata.exif or b"") + len(call.metadata.profile or b"")
    return _FILE_BYTES_PER_SAMPLE_BYTE * sample_bytes + 2 * beside + _FILE_HEAD_BYTES


def check_answer(call: Call, answer: Answer, payload: bytes) -> None:
    """Check an answer against its call.

    Raises:
        AnswerError: It does not fit.
    """
    match call, answer:
        case _, Failure():
            _check_failure(answer)
        case DecodeCall(), DecodedImage():
            _check_decoded(call, answer)
        case RegisterCall(), StackFound():
            _check_found(call, answer)
        case EncodeCall(), Encoded():
            _check_file(call.options.format, payload)
        case _:
            raise AnswerError(f"{type(answer).__name__} to {type(call).__name__}")


def _require(is_met: bool, what: str) -> None:
    if not is_met:
        raise AnswerError(what)


def _check_failure(answer: Failure) -> None:
    error = error_from_code(answer.code, "")
    is_of_codec = isinstance(error, CodecError | SharedMemoryError)
    _require(is_of_codec or not isinstance(error, ServiceError), "the code of a failure")
    _require(len(answer.message) <= MAX_SENTENCE, "the length of a failure's message")


def _check_decoded(call: DecodeCall, answer: DecodedImage) -> None:
    given, pixels = call.destination, answer.pixels
    _require(pixels.name == given.name, "the block of an image")
    _require(pixels.dtype == given.dtype, "the type of an image")
    is_image = len(pixels.shape) == 3 and min(pixels.shape) >= 1 and pixels.shape[2] == 3
    # A raw file's header tells the sensor, which has more pixels than the picture.
    _require(is_image and pixels.size_bytes <= given.size_bytes, "the shape of an image")
    _require(1 <= answer.orientation <= 8, "an orientation")
    balance = answer.white_balance
    if balance is not None:
        is_sound = 3 <= len(balance) <= 4 and all(0 <= one < MAX_LEVEL for one in balance)
        _require(is_sound, "a white balance")
    metadata = answer.metadata
    beside = (metadata.exif, metadata.profile, answer.transparent)
    _require(sum(len(one or b"") for one in beside) <= MAX_BESIDE_BYTES, "the size of metadata")
    _require(len(set(metadata.dropped)) == len(metadata.dropped), "what was left out")
    if answer.transparent is not None:
        _require(_shape_of(answer.transparent) == pixels.shape[:2], "the shape of a transparency")


def _list_stances(shape: Sequence[int]) -> list[tuple[int, ...]]:
    """A shape as it is, and on its side."""
    lying = (shape[1], shape[0], *shape[2:]) if len(shape) > 1 else shape
    return [tuple(shape), tuple(lying)]


def _check_found(call: RegisterCall, answer: StackFound) -> None:
    count, used = len(call.images), answer.used
    _require(sorted(answer.order) == list(range(count)), "the order of the exposures")
    places = {image: place for place, image in enumerate(answer.order)}
    _require(bool(used) and set(used) <= set(places), "which exposures are used")
    is_ordered = all(places[one] < places[other] for one, other in pairwise(used))
    _require(is_ordered, "the order of the used exposures")
    _require(set(answer.useless) == set(places) - set(used), "which exposures are not used")
    _require(0 <= answer.reference < len(used), "the reference")
    _require(0.0 <= answer.replaced_share <= 1.0, "the share that is replaced")
    _require(0.0 <= answer.gap_ev <= MAX_GAP_EV, "the gap of the exposures")
    _check_places(call, answer)
    height, width, _ = answer.exposures[0].shape
    if answer.frame is not None:
        _check_frame(answer.frame, height, width)
    if answer.alignment is not None:
        _check_alignment(call, answer.alignment, answer)
    if answer.ghosts is not None:
        _require(len(answer.ghosts) == len(used), "the number of ghost maps")
        for ghost in answer.ghosts:
            if ghost is not None:
                _check_ghost(ghost)


def _check_places(call: RegisterCall, answer: StackFound) -> None:
    """Each exposure lies in its image's block as that is, or in a room of its own."""
    _require(len(answer.exposures) == len(answer.used), "the number of exposures")
    free = {room.name: room for room in call.rooms}
    sides = [shape for one in call.images for shape in _list_stances(one.pixels.shape)]
    for image, found in zip(answer.used, answer.exposures, strict=True):
        if found == call.images[image].pixels:
            continue
        room = free.pop(found.name, None)
        _require(room is not None and _fits(found, room, sides), "where an exposure lies")
    first = answer.exposures[0]
    _require(len(first.shape) == 3, "the shape of an exposure")
    is_one = all((one.shape, one.dtype) == (first.shape, first.dtype) for one in answer.exposures)
    _require(is_one, "exposures of several shapes")


def _fits(found: SharedDescriptor, room: SharedDescriptor, shapes: Sequence[Sequence[int]]) -> bool:
    is_of_type = found.dtype == room.dtype
    return is_of_type and found.shape in shapes and found.size_bytes <= room.size_bytes


def _check_frame(frame: Rect, height: int, width: int) -> None:
    is_inside = min(frame.top, frame.left) >= 0 and min(frame.height, frame.width) >= 1
    _require(is_inside and frame.bottom <= height and frame.right <= width, "the frame")


def _check_alignment(call: RegisterCall, alignment: StackAlignment, answer: StackFound) -> None:
    _require(alignment.reference == answer.reference, "the reference of the alignment")
    _require(len(alignment.reports) == len(answer.used), "the number of alignments")
    own_sizes = {
        (shape[1], shape[0]) for one in call.images for shape in _list_stances(one.pixels.shape)
    }
    for index, report in enumerate(alignment.reports):
        _require((report is None) == (index == answer.reference), "which exposure is aligned")
        if report is not None:
            _check_report(report)
            is_known = report.own_size is None or tuple(report.own_size) in own_sizes
            _require(is_known, "the own size of an exposure")


def _check_report(report: AlignmentReport) -> None:
    matrix = np.array(report.homography, np.float64)
    _require(matrix.shape == (9,) and bool(np.isfinite(matrix).all()), "a homography")
    is_map = abs(matrix[8] - 1.0) < 1e-6 and bool(np.linalg.det(matrix.reshape(3, 3)))
    _require(is_map, "a homography that is no map")
    counts = (report.inliers, report.inlier_ratio, report.max_corner_shift_px)
    _require(all(isfinite(one) and one >= 0 for one in counts), "the figures of an alignment")
    _require(report.inlier_ratio <= 1.0, "the share of inliers")
    word = report.refused
    # It becomes part of a header of the answer.
    is_word = word is None or (len(word) <= 64 and word.isascii() and word.isidentifier())
    _require(is_word, "the gate that refused")


def _check_ghost(ghost: PackedGhost) -> None:
    mask, lift = _shape_of(ghost.mask), None if ghost.lift is None else _shape_of(ghost.lift)
    _require(len(mask) == 2 and prod(mask) <= MAX_PLANE_PX, "the shape of a mask")
    is_lift = lift is None or (len(lift) == 3 and lift[2] == 3 and prod(lift) <= 3 * MAX_PLANE_PX)
    _require(is_lift, "the shape of a lift")
    curves = [*ghost.curve, *(ghost.neighbour_curve or ()), ghost.trust]
    _require(all(len(curve) == 256 for curve in curves), "the length of a curve")
    levels = np.array(curves, np.float64)
    _require(bool((np.abs(levels) <= MAX_LEVEL).all()), "the levels of a curve")
    _require(0.0 <= ghost.share <= 1.0, "the share of a ghost map")


def _shape_of(packed: bytes) -> tuple[int, ...]:
    try:
        return read_shape(packed)
    except ValueError as error:
        raise AnswerError("a packed plane") from error


def _check_file(image_format: OutputFormat, payload: bytes) -> None:
    is_one = all(payload[at : at + len(mark)] == mark for at, mark in _MAGIC[image_format])
    other = _OTHER_MAGIC.get(image_format)
    _require(is_one or (other is not None and payload.startswith(other)), "the form of a file")
