"""Draws a sheet of exposures and their fusion, each with its histogram."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from expofuse.grouping import Frame, read_frames
from service.console.thumbnails import read_small

CELL_PX, PICTURE_PX, HISTOGRAM_PX, MARGIN_PX, TEXT_PX = 420, 420, 150, 24, 18
TITLE_LINES = 3
BACKGROUND, INK, QUIET, EDGE = (250, 250, 248), (25, 25, 25), (110, 110, 110), (205, 205, 205)
RESULT_EDGE = (30, 110, 200)
CHANNELS = ((205, 45, 45), (25, 140, 55), (45, 85, 215))
BINS = 256
TOP_QUANTILE, TOP_RATIO = 0.95, 1.5
"""A histogram is as high as this quantile of its levels, times so much."""

CLIPPED_LOW, CLIPPED_HIGH = 1, 254
"""Levels up to and from which a sample counts as clipped: JPEG does not keep 0 and 255."""

MAX_COLUMNS = 6
"""Of a sheet of one row; more pictures stand in two of equal length."""

Pixels = NDArray[np.uint8]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, slots=True)
class Cell:
    """One picture of a sheet.

    Attributes:
        title: File name.
        lines: What its header says, and how much of it is clipped.
        image: The picture, reduced; RGB.
        is_result: It is the fusion.
    """

    title: str
    lines: tuple[str, ...]
    image: Image.Image
    is_result: bool


def draw_comparison(exposures: Sequence[Path], result: Path) -> Image.Image:
    """Draw exposures, from dark to bright, and their fusion behind them.

    Under each lies the histogram of its red, green and blue, the height by the square root, and how
    much of it is clipped. Pictures are reduced before they are counted.

    Args:
        exposures: Two to nine files, in any order.
        result: Their fusion.

    Raises:
        FileError: A file cannot be decoded.
        OSError: A file cannot be read.
    """
    cells = [_read_cell(path, is_result=False) for path in exposures]
    cells.sort(key=lambda cell: float(np.asarray(cell.image).mean()))
    cells.append(_read_cell(result, is_result=True))
    rows = 1 if len(cells) <= MAX_COLUMNS else 2
    columns = math.ceil(len(cells) / rows)
    tallest = max(cell.image.height for cell in cells)
    height = tallest + HISTOGRAM_PX + TITLE_LINES * (TEXT_PX + 6) + 3 * MARGIN_PX
    sheet = Image.new(
        "RGB", (columns * (CELL_PX + MARGIN_PX) + MARGIN_PX, rows * height), BACKGROUND
    )
    for index, cell in enumerate(cells):
        row, column = divmod(index, columns)
        left = MARGIN_PX + column * (CELL_PX + MARGIN_PX)
        _draw_cell(sheet, cell, left, row * height + MARGIN_PX, tallest)
    return sheet


def encode_sheet(sheet: Image.Image, suffix: str) -> bytes:
    """The file of a sheet: JPEG for its suffixes, PNG for all others."""
    stream = io.BytesIO()
    if suffix.lower() in (".jpg", ".jpeg"):
        sheet.save(stream, "jpeg", quality=92)
    else:
        sheet.save(stream, "png")
    return stream.getvalue()


def count_levels(pixels: Pixels) -> NDArray[np.float64]:
    """Share of the samples of each channel on each level. Shape (3, 256).

    Args:
        pixels: Shape (H, W, 3).

    Example:
        >>> count_levels(np.full((2, 2, 3), 7, np.uint8))[:, 7].tolist()
        [1.0, 1.0, 1.0]
    """
    samples = pixels.reshape(-1, 3)
    counts = [np.bincount(samples[:, channel], minlength=BINS) for channel in range(3)]
    return np.stack(counts).astype(np.float64) / len(samples)


def _read_cell(path: Path, *, is_result: bool) -> Cell:
    image = read_small(path, PICTURE_PX)
    (frame,) = read_frames([path])
    shares = count_levels(np.asarray(image))
    low = float(shares[:, : CLIPPED_LOW + 1].sum(axis=1).max())
    high = float(shares[:, CLIPPED_HIGH:].sum(axis=1).max())
    told = _describe_exposure(frame) or ("fused" if is_result else "no exposure in its header")
    return Cell(path.name, (told, f"black {low:.1%}, white {high:.1%}"), image, is_result)


def _describe_exposure(frame: Frame) -> str:
    """Settings as photographers write them.

    Example:
        >>> _describe_exposure(Frame("a.jpg", exposure_s=0.005, f_number=8.0, iso=100.0))
        '1/200 s, f/8, ISO 100'
    """
    said = []
    if frame.exposure_s is not None:
        brief = Fraction(frame.exposure_s).limit_denominator(10_000)
        is_fraction = frame.exposure_s < 0.3 and brief.numerator > 0
        said.append(f"1/{round(1 / brief)} s" if is_fraction else f"{frame.exposure_s:g} s")
    if frame.f_number is not None:
        said.append(f"f/{frame.f_number:g}")
    if frame.iso is not None:
        said.append(f"ISO {frame.iso:g}")
    return ", ".join(said)


def _draw_cell(sheet: Image.Image, cell: Cell, left: int, top: int, tallest: int) -> None:
    pen = ImageDraw.Draw(sheet)
    bold, font = ImageFont.load_default(TEXT_PX + 2), ImageFont.load_default(TEXT_PX)
    place = left + (CELL_PX - cell.image.width) // 2, top + tallest - cell.image.height
    sheet.paste(cell.image, place)
    right, bottom = place[0] + cell.image.width, place[1] + cell.image.height
    edge = RESULT_EDGE if cell.is_result else EDGE
    width = 4 if cell.is_result else 1
    pen.rectangle(
        (place[0] - width, place[1] - width, right + width - 1, bottom + width - 1),
        outline=edge,
        width=width,
    )
    at = top + tallest + 10
    pen.text((left, at), _shorten(pen, cell.title, bold), INK, font=bold)
    for line in cell.lines:
        at += TEXT_PX + 6
        pen.text((left, at), _shorten(pen, line, font), QUIET, font=font)
    _draw_histogram(sheet, cell, left, at + TEXT_PX + 14)


def _draw_histogram(sheet: Image.Image, cell: Cell, left: int, top: int) -> None:
    shares = np.sqrt(count_levels(np.asarray(cell.image)))
    # What is nearly clipped may stand far above all else; it is cut off at the top.
    inner = shares[:, CLIPPED_LOW + 1 : CLIPPED_HIGH]
    highest = max(TOP_RATIO * float(np.quantile(inner, TOP_QUANTILE)), 1e-6)
    heights = np.minimum(shares / highest, 1.0) * (HISTOGRAM_PX - 4)
    pen = ImageDraw.Draw(sheet)
    pen.rectangle((left, top, left + CELL_PX - 1, top + HISTOGRAM_PX), outline=EDGE)
    for channel, colour in enumerate(CHANNELS):
        points = [
            (left + 1 + (CELL_PX - 3) * level / (BINS - 1), top + HISTOGRAM_PX - 1 - height)
            for level, height in enumerate(heights[channel])
        ]
        pen.line(points, fill=colour, width=2)


def _shorten(pen: ImageDraw.ImageDraw, text: str, font: Font) -> str:
    """As much of a text as is as wide as a cell."""
    if pen.textlength(text, font=font) <= CELL_PX:
        return text
    while text and pen.textlength(text + "...", font=font) > CELL_PX:
        text = text[:-1]
    return text + "..."
