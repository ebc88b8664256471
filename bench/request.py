"""Time a whole request, files in and file out, beside OpenCV's own alignment and fusion.

Both read two JPEG files, align, fuse and write one JPEG, in turn, on the cores that this process
may use: the service over HTTP on loopback, OpenCV as `imread`, `AlignMTB`, `MergeMertens` and
`imwrite` in a process that is warm. From the repository root:

    python -m bench.request [--repeats 5] [--pairs NAME=UNDER,OVER ...]

The settings of the environment apply (`EXPOFUSE_WEIGHTS`, `EXPOFUSE_DEVICE`, ...).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import httpx
import numpy as np

from bench.repository import ROOT, SHARED_DATA
from bench.running_service import running_service
from bench.timing import spread, write_record

DEFAULT_RESULT = ROOT / "bench" / "results" / "request.json"
REQUEST_TIMEOUT_S = 600.0
STAGE_HEADER = "server-timing"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two JPEG files of one scene."""

    name: str
    under: Path
    over: Path


DEFAULT_PAIRS = (
    Pair("sample, still", ROOT / "examples/under.jpg", ROOT / "examples/over.jpg"),
    Pair(
        "handheld",
        SHARED_DATA / "handheld/sycLin-scene1/01.jpg",
        SHARED_DATA / "handheld/sycLin-scene1/03.jpg",
    ),
    Pair(
        "12 megapixels, tripod",
        SHARED_DATA / "highres/meflut-1/00.jpg",
        SHARED_DATA / "highres/meflut-1/03.jpg",
    ),
)


def ask_service(client: httpx.Client, pair: Pair, target: Path) -> tuple[float, str]:
    """Seconds of a whole request, and the stages that the service reports."""
    begin = time.perf_counter()
    files = {"under": pair.under.read_bytes(), "over": pair.over.read_bytes()}
    response = client.post("/fuse?format=jpeg", files=files)
    response.raise_for_status()
    target.write_bytes(response.content)
    return time.perf_counter() - begin, response.headers[STAGE_HEADER]


def ask_opencv(pair: Pair, target: Path) -> float:
    """Seconds of the same job by OpenCV."""
    begin = time.perf_counter()
    pictures = [cv2.imread(str(path)) for path in (pair.under, pair.over)]
    cv2.createAlignMTB().process(pictures, pictures)
    fused = cv2.createMergeMertens().process(pictures)
    cv2.imwrite(str(target), np.clip(fused * 255, 0, 255).astype(np.uint8))
    return time.perf_counter() - begin


def measure_pair(
    client: httpx.Client, pair: Pair, *, repeats: int, folder: Path
) -> dict[str, object]:
    """Both in turn, after one round that is not counted."""
    ours: list[float] = []
    theirs: list[float] = []
    stages = ""
    for _ in range(repeats + 1):
        seconds, stages = ask_service(client, pair, folder / "ours.jpg")
        ours.append(seconds)
        theirs.append(ask_opencv(pair, folder / "opencv.jpg"))
    height, width = cv2.imread(str(pair.under)).shape[:2]
    return {
        "megapixels": round(height * width / 1e6, 2),
        "request_s": spread(ours[1:]),
        "opencv_s": spread(theirs[1:]),
        "ratio": spread([one / other for one, other in zip(ours[1:], theirs[1:], strict=True)]),
        "last_stages": stages,
    }


def parse_pair(text: str) -> Pair:
    """Read `NAME=UNDER,OVER`."""
    name, _, paths = text.partition("=")
    under, _, over = paths.partition(",")
    return Pair(name, Path(under), Path(over))


def main() -> None:
    """Measure every pair with one service."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pairs", type=parse_pair, nargs="+", default=list(DEFAULT_PAIRS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=DEFAULT_RESULT)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        running_service() as url,
        httpx.Client(base_url=url, trust_env=False, timeout=REQUEST_TIMEOUT_S) as client,
    ):
        results = {
            pair.name: measure_pair(client, pair, repeats=options.repeats, folder=Path(folder))
            for pair in options.pairs
        }
    write_record(options.out, {"repeats": options.repeats, "pairs": results})


if __name__ == "__main__":
    main()
