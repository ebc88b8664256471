"""Contact sheets of fused pictures for looking at: a row per pair, a column per method.

The sheets show photographs that are not ours to publish, so they go to a folder outside the
repository. From the repository root:

    python -m bench.quality --save /tmp/fused
    python -m bench.contact_sheet --fused /tmp/fused --sheets /tmp/sheets
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from bench.evaluation_set import (
    DEFAULT_DATA,
    EvaluationPair,
    Picture,
    iterate_methods,
    list_pairs,
    read_picture,
)

COLUMNS = ("under", "over", "ours", "hyperp_mb", "mertens", "densefuse")
CELL_WIDTH_PX = 400
LABEL_HEIGHT_PX = 22
GAP_PX = 4
ROWS_PER_SHEET = 5
JPEG_QUALITY = 90


def gather_pictures(pair: EvaluationPair, ours: Path | None) -> dict[str, Picture]:
    """Read or compute every picture of a pair by the name of its column."""
    under, over = read_picture(pair.under_path), read_picture(pair.over_path)
    pictures = {"under": under, "over": over, **dict(iterate_methods(pair, under, over))}
    if ours is not None:
        pictures["ours"] = read_picture(ours / f"{pair.name}.png")
    return pictures


def draw_cell(picture: Picture, label: str) -> Picture:
    """Scale a picture to the width of a column and put its label above it."""
    height, width = picture.shape[:2]
    size = (CELL_WIDTH_PX, round(height * CELL_WIDTH_PX / width))
    shrinks = width > CELL_WIDTH_PX
    scaled = cv2.resize(
        picture, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    strip = np.full((LABEL_HEIGHT_PX, CELL_WIDTH_PX, 3), 255, np.uint8)
    origin = (4, LABEL_HEIGHT_PX - 6)
    cv2.putText(strip, label, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([strip, np.asarray(scaled, dtype=np.uint8)])


def join(pictures: Sequence[Picture], *, axis: int) -> Picture:
    """Put pictures beside each other (axis 1) or below each other (axis 0), a gap between."""
    shape = list(pictures[0].shape)
    shape[axis] = GAP_PX
    gap = np.full(shape, 255, np.uint8)
    spaced = [part for picture in pictures for part in (gap, picture)][1:]
    return np.concatenate(spaced, axis=axis)


def draw_row(name: str, pictures: Mapping[str, Picture], columns: Sequence[str]) -> Picture:
    """Draw one pair as a row of labelled cells."""
    labels = [f"{name} {columns[0]}", *columns[1:]]
    cells = [
        draw_cell(pictures[column], label) for column, label in zip(columns, labels, strict=True)
    ]
    return join(cells, axis=1)


def main(argv: list[str] | None = None) -> None:
    """Write the sheets."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--fused", type=Path, metavar="DIR", help="our pictures, <pair>.png")
    parser.add_argument("--sheets", type=Path, metavar="DIR", required=True, help="output folder")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="the evaluation pairs")
    arguments = parser.parse_args(argv)
    columns = [name for name in COLUMNS if name != "ours" or arguments.fused is not None]
    rows = [
        draw_row(pair.name, gather_pictures(pair, arguments.fused), columns)
        for pair in list_pairs(arguments.data)
    ]
    arguments.sheets.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(rows), ROWS_PER_SHEET):
        sheet = join(rows[start : start + ROWS_PER_SHEET], axis=0)
        path = arguments.sheets / f"sheet-{start // ROWS_PER_SHEET + 1:02d}.jpg"
        options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), options)
        print(path)


if __name__ == "__main__":
    main()
