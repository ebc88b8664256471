"""Make the README's picture row from the sample pair: under, over, and what the service answers.

python -m examples.make_row                              # starts the service itself
python -m examples.make_row --url http://127.0.0.1:8000  # uses one that runs
"""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from pathlib import Path

import cv2
import httpx

from bench.contact_sheet import draw_cell, join
from bench.evaluation_set import EvaluationPair, read_picture
from bench.quality import REQUEST_TIMEOUT_S, post_pair
from bench.running_service import running_service

FOLDER = Path(__file__).resolve().parent
DEFAULT_ROW = FOLDER.parent / "docs" / "images" / "row.jpg"
JPEG_QUALITY = 88

SAMPLE_PAIR = EvaluationPair("sample", FOLDER / "under.jpg", FOLDER / "over.jpg", {})


def main(argv: list[str] | None = None) -> None:
    """Fuse the sample pair over HTTP and write the row."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", help="base URL of a running service; default: start one")
    parser.add_argument("--out", type=Path, default=DEFAULT_ROW, help="the row's file")
    arguments = parser.parse_args(argv)
    service = nullcontext(arguments.url) if arguments.url else running_service()
    with service as url, httpx.Client(base_url=url, timeout=REQUEST_TIMEOUT_S) as client:
        fused = post_pair(client, SAMPLE_PAIR, align="auto").picture
    row = join(
        [
            draw_cell(read_picture(SAMPLE_PAIR.under_path), "under"),
            draw_cell(read_picture(SAMPLE_PAIR.over_path), "over"),
            draw_cell(fused, "fused"),
        ],
        axis=1,
    )
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    cv2.imwrite(str(arguments.out), cv2.cvtColor(row, cv2.COLOR_RGB2BGR), options)


if __name__ == "__main__":
    main()
