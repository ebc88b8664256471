"""Draws contact sheets for people to look at: under | over | each method of one pair."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from expofuse.files.images import to_8_bit
from model.exposure import ExposureStack
from trainer.data.pixels import limit_side
from trainer.errors import DataError
from trainer.evaluation.pictures import (
    Picture,
    read_picture,
    write_png,
)
from trainer.files import write_whole

SOURCES_FOLDER = "sources"
THUMBNAILS_FOLDER = "thumbnails"
SHEETS_FOLDER = "sheets"
EXPOSURES = ("under", "over")

THUMBNAIL_SIDE_PX = 320
CELL_SIDE_PX = 480
LABEL_HEIGHT_PX = 24
GAP_PX = 6
COLUMNS = 4
JPEG_QUALITY = 90
WHITE = 255


def write_sheet(out: Path, pair: str, exposures: ExposureStack, fused: Mapping[str, Path]) -> None:
    """Write what the report shows of a pair: exposures, thumbnails, and one sheet of all.

    Args:
        out: Output folder of the evaluation.
        pair: Name of the pair.
        exposures: Its exposures.
        fused: The pictures by method, in the order of the sheet.
    """
    pictures: dict[str, Picture] = {}
    for name, pixels in zip(EXPOSURES, exposures.exposures, strict=True):
        pictures[name] = to_8_bit(pixels)
        write_png(source_path(out, name, pair), pictures[name])
    cells: list[Picture] = []
    for name in (*EXPOSURES, *fused):
        full = pictures[name] if name in pictures else to_8_bit(read_picture(fused[name]))
        thumbnail = to_8_bit(limit_side(full, THUMBNAIL_SIDE_PX))
        write_whole(thumbnail_path(out, name, pair), _encode_jpeg(thumbnail))
        cells.append(draw_cell(to_8_bit(limit_side(full, CELL_SIDE_PX)), name))
    write_whole(sheet_path(out, pair), _encode_jpeg(arrange(cells)))


def sheet_path(out: Path, pair: str) -> Path:
    """Where the sheet of a pair is kept."""
    return out / SHEETS_FOLDER / f"{pair}.jpg"


def thumbnail_path(out: Path, column: str, pair: str) -> Path:
    """Where the thumbnail of a cell is kept."""
    return out / THUMBNAILS_FOLDER / column / f"{pair}.jpg"


def source_path(out: Path, exposure: str, pair: str) -> Path:
    """Where the full-size copy of an exposure is kept, in a form that browsers show."""
    return out / SOURCES_FOLDER / exposure / f"{pair}.png"


def draw_cell(picture: Picture, label: str) -> Picture:
    """A picture under its label."""
    strip = np.full((LABEL_HEIGHT_PX, picture.shape[1], 3), WHITE, np.uint8)
    origin = (2, LABEL_HEIGHT_PX - 8)
    cv2.putText(strip, label, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([strip, picture])


def arrange(cells: Sequence[Picture], columns: int = COLUMNS) -> Picture:
    """Put cells of one size into rows of at most so many columns."""
    height, width = cells[0].shape[:2]
    rows, columns = -(-len(cells) // columns), min(columns, len(cells))
    shape = (rows * (height + GAP_PX) - GAP_PX, columns * (width + GAP_PX) - GAP_PX, 3)
    sheet = np.full(shape, WHITE, np.uint8)
    for index, cell in enumerate(cells):
        top = index // columns * (height + GAP_PX)
        left = index % columns * (width + GAP_PX)
        sheet[top : top + height, left : left + width] = cell
    return sheet


def _encode_jpeg(picture: Picture) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    is_encoded, encoded = cv2.imencode(".jpg", bgr, options)
    if not is_encoded:
        raise DataError("expected a thumbnail to be encoded as JPEG, got a failure")
    return encoded.tobytes()
