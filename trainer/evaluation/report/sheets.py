"""Draws contact sheets for people to look at: the exposures of a scene, and below each method."""

from collections.abc import Mapping
from pathlib import Path

import cv2

from expofuse.files.pixels import to_8_bit
from model.exposure import MAX_EXPOSURES, MIN_EXPOSURES, ExposureStack
from trainer.data.pixels import limit_side
from trainer.errors import DataError
from trainer.evaluation.pictures import (
    Picture,
    read_picture,
    write_png,
)
from trainer.evaluation.report.cells import (
    GAP_PX,
    arrange_cells,
    draw_cell,
    fit_row,
    join_cells,
    stack_cells,
)
from trainer.files import write_whole

SOURCES_FOLDER = "sources"
THUMBNAILS_FOLDER = "thumbnails"
SHEETS_FOLDER = "sheets"

THUMBNAIL_SIDE_PX = 320
CELL_SIDE_PX = 480
COLUMNS = 4
WIDTH_PX = COLUMNS * (CELL_SIDE_PX + GAP_PX) - GAP_PX
"""A row of methods; all exposures lie side by side in the same width, smaller where need be."""

JPEG_QUALITY = 90


def name_exposures(count: int) -> tuple[str, ...]:
    """What the exposures of a scene are called on sheets and in paths, dark to bright.

    Example:
        >>> name_exposures(2), name_exposures(3)
        (('under', 'over'), ('exposure-1', 'exposure-2', 'exposure-3'))
    """
    if count == MIN_EXPOSURES:
        return ("under", "over")
    return tuple(f"exposure-{number}" for number in range(1, count + 1))


EXPOSURE_NAMES = {
    name for count in range(MIN_EXPOSURES, MAX_EXPOSURES + 1) for name in name_exposures(count)
}
"""All these names; a method can have none of them."""


def write_sheet(out: Path, scene: str, exposures: ExposureStack, fused: Mapping[str, Path]) -> None:
    """Write what the report shows of a scene: exposures, thumbnails, and one sheet of all.

    Args:
        out: Output folder of the evaluation.
        scene: Name of the scene.
        exposures: Its exposures.
        fused: The pictures by method, in the order of the sheet.
    """
    side_px = fit_row(len(exposures), width_px=WIDTH_PX, most_px=CELL_SIDE_PX)
    names = name_exposures(len(exposures))
    above: list[Picture] = []
    for name, pixels in zip(names, exposures.exposures, strict=True):
        full = to_8_bit(pixels)
        write_png(source_path(out, name, scene), full)
        above.append(_write_thumbnail(out, name, scene, full, side_px))
    below = [
        _write_thumbnail(out, label, scene, to_8_bit(read_picture(path)), CELL_SIDE_PX)
        for label, path in fused.items()
    ]
    sheet = stack_cells([join_cells(above), arrange_cells(below, COLUMNS)])
    write_whole(sheet_path(out, scene), _encode_jpeg(sheet))


def sheet_path(out: Path, scene: str) -> Path:
    """Where the sheet of a scene is kept."""
    return out / SHEETS_FOLDER / f"{scene}.jpg"


def thumbnail_path(out: Path, column: str, scene: str) -> Path:
    """Where the thumbnail of a cell is kept."""
    return out / THUMBNAILS_FOLDER / column / f"{scene}.jpg"


def source_path(out: Path, exposure: str, scene: str) -> Path:
    """Where the full-size copy of an exposure is kept, in a form that browsers show."""
    return out / SOURCES_FOLDER / exposure / f"{scene}.png"


def _write_thumbnail(out: Path, label: str, scene: str, full: Picture, side_px: int) -> Picture:
    """Write a picture's thumbnail, and give its cell of the sheet."""
    thumbnail = to_8_bit(limit_side(full, THUMBNAIL_SIDE_PX))
    write_whole(thumbnail_path(out, label, scene), _encode_jpeg(thumbnail))
    return draw_cell(to_8_bit(limit_side(full, side_px)), label)


def _encode_jpeg(picture: Picture) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    is_encoded, encoded = cv2.imencode(".jpg", bgr, options)
    if not is_encoded:
        raise DataError("expected a thumbnail to be encoded as JPEG, got a failure")
    return encoded.tobytes()
