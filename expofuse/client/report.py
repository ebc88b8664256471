"""Reads what the headers of an answer say of its picture."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

from expofuse.files.formats import OUTPUT_FORMATS, OutputFormat
from model.exposure import AlignmentOutcome, Size

PREFIX = "x-expofuse-"
SWAPPED = "swapped"

_FIGURE = re.compile(r"([a-z-]+)=(\S+)")
_NUMBERED = re.compile(r"([1-9])=(.+)")
_TIMING = re.compile(r"(\w+);dur=([0-9.]+)")


@dataclass(frozen=True, slots=True)
class ExposureAlignment:
    """What became of one exposure that was to be aligned to the reference.

    Attributes:
        outcome: What was applied, or `refused`.
        reason: Code of the gate that failed; None where none did.
        resized_from: Width and height that the exposure had, where that is another size than the
            reference's; None elsewhere.
        figures: The figures of the alignment, told of a pair only: `inliers`, `ratio`,
            `max-corner-shift-px`.
    """

    outcome: AlignmentOutcome
    reason: str | None = None
    resized_from: Size | None = None
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Alignment:
    """What became of the alignment of all exposures.

    Attributes:
        outcome: `refused` where any exposure was, else what was applied to any; `off`.
        exposures: Of each exposure that was to be aligned, by its index as given, from 0.
        text: The same as the service says it.
    """

    outcome: AlignmentOutcome
    exposures: Mapping[int, ExposureAlignment]
    text: str

    def __str__(self) -> str:
        """As the service says it."""
        return self.text


@dataclass(frozen=True, slots=True)
class Ghosts:
    """What was done about what moved.

    Attributes:
        mode: `auto` or `off`.
        replaced_share: Share of the picture in which an exposure was replaced by what others show,
            0..1; edges that only the reference covers count too.
    """

    mode: Literal["auto", "off"]
    replaced_share: float


@dataclass(frozen=True, slots=True)
class Report:
    """How a picture came about; indices count the exposures as given, from 0.

    Attributes:
        format: Format of the picture.
        weights: Name and version of the weights that fused it.
        alignment: How the exposures were put on each other.
        order: The exposures dark to bright.
        used: Those of them that add something, dark to bright.
        fused: Those of them that the picture is made of; weights for pairs take two of them.
        unused: Why each of the others is not in the picture: `blank`, `duplicate`, `surplus`.
        reference: The exposure that stayed where it is.
        frame: What all exposures cover: left, top, width and height in pixels of the picture before
            it was cropped; None where they share nothing.
        ghosts: What was done about what moved.
        dropped: What files held beside their picture and the picture does not, by exposure.
        timings_ms: Milliseconds of each stage, in order.
        request_id: Under which the service's log tells of it.
    """

    format: OutputFormat
    weights: str
    alignment: Alignment
    order: tuple[int, ...]
    used: tuple[int, ...]
    fused: tuple[int, ...]
    unused: Mapping[int, str]
    reference: int
    frame: tuple[int, int, int, int] | None
    ghosts: Ghosts
    dropped: Mapping[int, tuple[str, ...]]
    timings_ms: Mapping[str, float]
    request_id: str


def read_report(headers: Mapping[str, str]) -> Report:
    """Read the headers of an answer that holds a picture.

    Args:
        headers: By name, in small letters or of a mapping that does not mind.

    Raises:
        KeyError: One of them is absent.
        ValueError: One of them does not say what it should.

    Example:
        >>> alignment = "homography; 1=identity; 3=refused; reason=few_matches"
        >>> one = read_alignment(alignment, used=(2, 0, 1), reference=1)
        >>> one.outcome, one.exposures[0].outcome, one.exposures[2].reason
        ('homography', 'identity', 'few_matches')
    """
    order = _read_order(headers[PREFIX + "exposure-order"])
    unused = _read_unused(headers[PREFIX + "unused"])
    used = tuple(index for index in order if unused.get(index, "surplus") == "surplus")
    reference = int(headers[PREFIX + "reference"]) - 1
    return Report(
        format=_read_format(headers["content-type"]),
        weights=headers[PREFIX + "weights"],
        alignment=read_alignment(headers[PREFIX + "alignment"], used=used, reference=reference),
        order=order,
        used=used,
        fused=tuple(index for index in used if index not in unused),
        unused=unused,
        reference=reference,
        frame=_read_frame(headers[PREFIX + "frame"]),
        ghosts=_read_ghosts(headers[PREFIX + "ghosts"]),
        dropped=_read_dropped(headers[PREFIX + "dropped"]),
        timings_ms={
            name: float(value) for name, value in _TIMING.findall(headers["server-timing"])
        },
        request_id=headers["x-request-id"],
    )


def read_alignment(text: str, *, used: tuple[int, ...], reference: int) -> Alignment:
    """Take the header `X-Expofuse-Alignment` apart.

    Args:
        text: Its value.
        used: Indices of the exposures that add something.
        reference: Index of the one that stayed where it is.
    """
    parts = text.split("; ")
    outcome = cast(AlignmentOutcome, parts[0])
    moving = [index for index in used if index != reference]
    if outcome == "off" or not moving:
        return Alignment(outcome, {}, text)
    if not any(_NUMBERED.fullmatch(part) for part in parts):
        return Alignment(outcome, {moving[0]: _read_exposure(parts)}, text)
    exposures: dict[int, list[str]] = {}
    for part in parts[1:]:
        numbered = _NUMBERED.fullmatch(part)
        if numbered:
            exposures[int(numbered[1]) - 1] = said = [numbered[2]]
        else:
            said.append(part)
    return Alignment(
        outcome, {index: _read_exposure(said) for index, said in exposures.items()}, text
    )


def _read_format(media_type: str) -> OutputFormat:
    for image_format in OUTPUT_FORMATS:
        if media_type == f"image/{image_format}":
            return image_format
    raise ValueError(f"expected a picture, got {media_type}")


def _read_exposure(parts: list[str]) -> ExposureAlignment:
    said = dict(_FIGURE.findall("; ".join(parts[1:]).replace(";", " ")))
    size = said.pop("resized-from", None)
    said.pop("reference", None)  # `X-Expofuse-Reference` says it for every number of exposures.
    reason = said.pop("reason", None)
    return ExposureAlignment(
        outcome=cast(AlignmentOutcome, parts[0]),
        reason=reason,
        resized_from=None if size is None else _read_size(size),
        figures={name: float(value) for name, value in said.items()},
    )


def _read_size(text: str) -> Size:
    width, height = text.split("x")
    return int(width), int(height)


def _read_order(text: str) -> tuple[int, ...]:
    if text in ("as-given", SWAPPED):
        return (1, 0) if text == SWAPPED else (0, 1)
    return tuple(int(number) - 1 for number in text.split(","))


def _read_unused(text: str) -> dict[int, str]:
    return {int(number) - 1: reason for number, reason in re.findall(r"([1-9])=(\S+)", text)}


def _read_frame(text: str) -> tuple[int, int, int, int] | None:
    if text == "none":
        return None
    left, top, width, height = map(int, text.split(","))
    return left, top, width, height


def _read_ghosts(text: str) -> Ghosts:
    mode, figure = text.split("; ")
    return Ghosts(cast(Literal["auto", "off"], mode), float(figure.removeprefix("replaced=")))


def _read_dropped(text: str) -> dict[int, tuple[str, ...]]:
    return {
        int(number) - 1: tuple(names.split("+"))
        for number, names in re.findall(r"([1-9])=([^\s;]+)", text)
    }
