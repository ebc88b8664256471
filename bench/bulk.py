"""Compare the ways to fuse a whole shoot: one process, shards, and Ray; see that memory stays flat.

All of them run `expofuse batch` on the same brackets, crops of the example pair, one way after the
other: in one process, as two shards beside each other, and on a Ray cluster of two nodes on
loopback that runs already. Their pictures have to be equal. While Ray does the many small brackets
the memory of the whole cluster is looked at. From the repository root:

    python -m bench.bulk [--small 2000] [--large 24] [--out bench/results/bulk.json]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from bench.processes import list_family, read_memory
from bench.ray_cluster import CORES, ENVIRONMENT, NODES, STORE_BYTES, run_cluster
from bench.repository import ROOT
from bench.timing import write_record

DEFAULT_RESULT = ROOT / "bench" / "results" / "bulk.json"
EXPOSURES = [ROOT / "examples" / f"{name}.jpg" for name in ("under", "over")]
SMALL_PX, LARGE_PX = (384, 256), (4248, 2832)
SHARDS = 2
SAMPLE_S = 2.0
RAY = ("--engine", "ray", "--jobs", "2", "--readers", "2")
COMMAND = (sys.executable, "-m", "service", "batch")


@dataclass(frozen=True, slots=True)
class Shoot:
    """Brackets of one size.

    Attributes:
        folder: The files, and `groups.json`.
        count: How many brackets.
        size: Width and height of their pictures, in pixels.
    """

    folder: Path
    count: int
    size: tuple[int, int]

    def describe(self) -> dict[str, object]:
        """As the record holds it."""
        width, height = self.size
        return {"brackets": self.count, "width": width, "height": height}


def make_shoot(folder: Path, count: int, size: tuple[int, int]) -> Shoot:
    """Write brackets of two, each another crop of the example pair."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    width, height = size
    pair = [cv2.imread(str(path)) for path in EXPOSURES]
    scale = max(1.0, 1.1 * width / pair[0].shape[1], 1.1 * height / pair[0].shape[0])
    pair = [cv2.resize(one, None, fx=scale, fy=scale) for one in pair]
    brackets = []
    for number in range(count):
        top = int(rng.integers(pair[0].shape[0] - height))
        left = int(rng.integers(pair[0].shape[1] - width))
        names = [f"{number:05}-{path.name}" for path in EXPOSURES]
        for name, one in zip(names, pair, strict=True):
            cv2.imwrite(str(folder / name), one[top : top + height, left : left + width])
        brackets.append({"files": names})
    (folder / "groups.json").write_text(json.dumps({"brackets": brackets}))
    return Shoot(folder, count, size)


def run_batches(
    shoot: Shoot, out: Path, *options: Sequence[str], environment: Mapping[str, str] | None = None
) -> list[subprocess.Popen[bytes]]:
    """Start a batch for each list of options, all of them at the same time."""
    fixed = (str(shoot.folder), "-o", str(out), "--groups", str(shoot.folder / "groups.json"))
    return [
        subprocess.Popen(
            [*COMMAND, *fixed, "--no-contact-sheet", *chosen],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdout=subprocess.DEVNULL,
        )
        for chosen in options
    ]


def time_batches(
    start: Callable[[], list[subprocess.Popen[bytes]]],
    watch: Callable[[subprocess.Popen[bytes]], None] | None = None,
) -> float:
    """Seconds from the start of the batches to the end of the last.

    Raises:
        RuntimeError: One of them failed.
    """
    begin_s = time.perf_counter()
    running = start()
    if watch is not None:
        watch(running[0])
    codes = [one.wait() for one in running]
    if any(codes):
        raise RuntimeError(f"expected batches that end with 0, got {codes}")
    return round(time.perf_counter() - begin_s, 2)


class MemoryWatch:
    """Looks at a cluster and the command that uses it, until the command ends.

    Args:
        cluster: Process of the cluster.
        report: The command's report, which has a line for each bracket that is done.
    """

    def __init__(self, cluster: int, report: Path) -> None:
        self._cluster, self._report = cluster, report
        self.samples: list[tuple[int, float]] = []

    def __call__(self, command: subprocess.Popen[bytes]) -> None:
        """Take a sample now and then: brackets done, and MiB of all processes together."""
        while command.poll() is None:
            done = self._report.read_bytes().count(b"\n") if self._report.exists() else 0
            memory = read_memory([*list_family(self._cluster), *list_family(command.pid)])
            self.samples.append((done, round(memory.mib, 1)))
            time.sleep(SAMPLE_S)

    def describe(self, shoot: Shoot) -> dict[str, object]:
        """The highest of each quarter of the brackets, and all samples."""
        quarters: list[list[float]] = [[], [], [], []]
        for done, mib in self.samples:
            if 0 < done < shoot.count:
                quarters[4 * done // shoot.count].append(mib)
        width, height = shoot.size
        return {
            "decoded_mib": round(shoot.count * 2 * 3 * width * height / 2**20),
            "store_mib_of_a_node": STORE_BYTES // 2**20,
            "highest_mib_by_quarter": [max(one, default=0.0) for one in quarters],
            "samples": self.samples,
        }


def hash_pictures(out: Path) -> str:
    """One hash of all pictures and sidecars, by name."""
    digest = hashlib.sha256()
    for path in sorted(out.glob("*-fused.*")):
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def compare_ways(
    shoot: Shoot, folder: Path, cluster: int, address: str
) -> tuple[dict[str, object], MemoryWatch]:
    """Fuse a shoot in every way; see that the pictures are the same."""
    on_ray = {**ENVIRONMENT, "RAY_ADDRESS": address}
    outs = {way: folder / f"{shoot.folder.name}-{way}" for way in ("loop", "shards", "ray")}
    parts = [("--shard", f"{part}/{SHARDS}") for part in range(1, SHARDS + 1)]
    watch = MemoryWatch(cluster, outs["ray"] / "report.jsonl")
    seconds = {
        "loop": time_batches(lambda: run_batches(shoot, outs["loop"], ())),
        "shards": time_batches(lambda: run_batches(shoot, outs["shards"], *parts)),
        "ray": time_batches(
            lambda: run_batches(shoot, outs["ray"], RAY, environment=on_ray), watch
        ),
    }
    if len({hash_pictures(out) for out in outs.values()}) > 1:
        raise RuntimeError("expected equal pictures by every way, got others")
    rates = {way: round(shoot.count / wall_s, 2) for way, wall_s in seconds.items()}
    return shoot.describe() | {"wall_s": seconds, "brackets_per_s": rates}, watch


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--small", type=int, default=2000, help="brackets of 0.1 megapixels")
    parser.add_argument("--large", type=int, default=24, help="brackets of 12 megapixels")
    parser.add_argument("--out", type=Path, default=DEFAULT_RESULT)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one = make_shoot(folder / "one", 1, SMALL_PX)
        small = make_shoot(folder / "small", options.small, SMALL_PX)
        large = make_shoot(folder / "large", options.large, LARGE_PX)
        begin_s = time.perf_counter()
        with run_cluster() as (cluster, address):
            started_s = round(time.perf_counter() - begin_s, 2)
            found = [
                compare_ways(shoot, folder, cluster.pid, address) for shoot in (one, small, large)
            ]
    start, few, many = (record for record, _ in found)
    write_record(
        options.out,
        {
            "cluster": {"nodes": NODES, "cores_of_a_node": CORES, "start_s": started_s},
            "shards": SHARDS,
            "pictures_are_equal": True,
            "one_bracket": start,
            "small": few,
            "large": many,
            "memory": found[1][1].describe(small),
        },
    )


if __name__ == "__main__":
    main()
