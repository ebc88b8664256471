"""Send 12-megapixel pairs through the running service: time of each stage, memory of each process.

Peak memory is VmHWM, the most that a process ever had resident, shared blocks included where it
had them mapped. From the repository root:

    python -m bench.highres [--repeats 3] [--data ../shared/data/highres]

The settings of the environment apply (`EXPOFUSE_WEIGHTS`, `EXPOFUSE_DEVICE`, ...): they choose the
weights, of either architecture.
"""

from __future__ import annotations

import argparse
import io
import re
import time
from pathlib import Path

import httpx
import psutil
from PIL import Image

from bench.repository import ROOT, SHARED_DATA
from bench.running_service import running_service
from bench.timing import spread, write_record

DEFAULT_DATA = SHARED_DATA / "highres"
DEFAULT_RESULT = ROOT / "bench" / "results" / "highres.json"
MEGAPIXEL = 1e6
REQUEST_TIMEOUT_S = 600.0

ROLES = {
    "service.codec.child": "codec process",
    "service.device.child": "device worker",
    "resource_tracker": "resource tracker",
    "service serve": "event loop",
}


def name_role(process: psutil.Process) -> str:
    """What a process of the service is, from its command line."""
    command = " ".join(process.cmdline())
    return next((role for mark, role in ROLES.items() if mark in command), "other")


def read_peaks() -> dict[str, float]:
    """Peak resident memory in MiB of every process of the service, by role and number."""
    peaks: dict[str, float] = {}
    for process in psutil.Process().children(recursive=True):
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        role = name_role(process)
        number = sum(name.startswith(role) for name in peaks) + 1
        peaks[f"{role} {number}"] = round(int(found.group(1)) / 1024, 1) if found else 0.0
    return peaks


def send(client: httpx.Client, under: Path, over: Path) -> tuple[float, httpx.Response]:
    """Send one pair; seconds until the whole answer was here, and the answer."""
    files = {"under": under.read_bytes(), "over": over.read_bytes()}
    begin = time.perf_counter()
    response = client.post("/fuse", files=files)
    seconds = time.perf_counter() - begin
    response.raise_for_status()
    return seconds, response


def measure_pair(client: httpx.Client, bracket: Path, *, repeats: int) -> dict[str, object]:
    """Send the darkest and the brightest exposure of one bracket a few times."""
    under, over = bracket / "00.jpg", bracket / "03.jpg"
    stages: dict[str, list[float]] = {}
    totals: list[float] = []
    digests: set[bytes] = set()
    for _ in range(repeats):
        seconds, response = send(client, under, over)
        totals.append(seconds)
        digests.add(response.content)
        for stage, value in re.findall(r"(\w+);dur=([\d.]+)", response.headers["server-timing"]):
            stages.setdefault(stage, []).append(float(value) / 1000)
    with Image.open(io.BytesIO(response.content)) as fused:
        width, height = fused.size
    return {
        "megapixels": round(width * height / MEGAPIXEL, 2),
        "alignment": response.headers["x-expofuse-alignment"],
        "exposure_order": response.headers["x-expofuse-exposure-order"],
        "answer_bytes": len(response.content),
        "answers_differ": len(digests) > 1,
        "total_s": spread(totals),
        "stages_s": {stage: spread(values) for stage, values in stages.items()},
    }


def main() -> None:
    """Measure every bracket of the folder with one service."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=DEFAULT_RESULT)
    options = parser.parse_args()
    brackets = sorted(path.parent for path in options.data.glob("*/03.jpg"))
    if not brackets:
        parser.error(f"expected brackets with 00.jpg and 03.jpg in {options.data}")
    with (
        running_service() as url,
        httpx.Client(base_url=url, trust_env=False, timeout=REQUEST_TIMEOUT_S) as client,
    ):
        version = client.get("/version").json()
        idle = read_peaks()
        pairs = {
            bracket.name: measure_pair(client, bracket, repeats=options.repeats)
            for bracket in brackets
        }
        peaks = read_peaks()
    write_record(
        options.out,
        {
            "version": version,
            "repeats": options.repeats,
            "pairs": pairs,
            "peak_mib_when_ready": idle,
            "peak_mib": peaks,
        },
    )


if __name__ == "__main__":
    main()
