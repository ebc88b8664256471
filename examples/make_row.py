"""Make the README's picture row from the sample pair: under, over, and what the service answers.

python -m examples.make_row                              # starts the service itself
python -m examples.make_row --url http://127.0.0.1:8000  # uses one that runs
"""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from pathlib import Path

import cv2
import numpy as np

from bench.running_service import running_service
from expofuse.client import Client
from trainer.data.pixels import limit_side
from trainer.evaluation.pictures import Picture
from trainer.evaluation.report.cells import draw_cell, join_cells

FOLDER = Path(__file__).resolve().parent
UNDER, OVER = FOLDER / "under.jpg", FOLDER / "over.jpg"
DEFAULT_ROW = FOLDER.parent / "docs" / "images" / "row.jpg"
CELL_WIDTH_PX = 400
JPEG_QUALITY = 88


def make_cell(encoded: bytes, label: str) -> Picture:
    """Decode a picture, reduce it to a cell and write its label above it."""
    pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB)
    return draw_cell(np.asarray(limit_side(pixels, CELL_WIDTH_PX), dtype=np.uint8), label)


def main(argv: list[str] | None = None) -> None:
    """Fuse the sample pair over HTTP and write the row."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", help="base URL of a running service; default: start one")
    parser.add_argument("--out", type=Path, default=DEFAULT_ROW, help="the row's file")
    arguments = parser.parse_args(argv)
    service = nullcontext(arguments.url) if arguments.url else running_service()
    with service as url, Client(url) as client:
        fused = client.fuse([UNDER, OVER], format="png").content
    pictures = {"under": UNDER.read_bytes(), "over": OVER.read_bytes(), "fused": fused}
    row = join_cells([make_cell(encoded, label) for label, encoded in pictures.items()])
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    cv2.imwrite(str(arguments.out), cv2.cvtColor(row, cv2.COLOR_RGB2BGR), options)


if __name__ == "__main__":
    main()
