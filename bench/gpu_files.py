"""Times JPEG files on a GPU, and what they do for the requests a second of a whole service.

Beside the way of the CPU, in interleaved rounds: decoding a pair and encoding a picture, and two
services, one with `EXPOFUSE_CODEC__JPEG=nvimagecodec`, which are loaded in turns. Bounded in time:
what would begin after `BUDGET_S` is left out. Of files with damaged codes it is counted how many
nvJPEG refuses by itself when it is told to be strict: whether libjpeg-turbo need go over files
first. It needs the extra `nvimagecodec`. `make gpu-check` does it too. From the repository root:

    python -m bench.gpu_files [--device cuda:0] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import numpy as np

from bench.capacity import CLIENTS, load_closed, make_kind, run_in_loop
from bench.measurement import OURS, describe_costs, describe_ratios, run_rounds, shorten
from bench.open_loop import OK, Kind
from bench.processes import read_family_core_time
from bench.repository import ROOT
from bench.running_service import RunningService, watched_service
from bench.scenes import Scene, take_still
from bench.timing import find_version, write_record
from expofuse.errors import ImageDecodeError
from expofuse.files.device.jpeg import CPU, OPTIONS, DeviceJpeg
from expofuse.files.formats import EncodeOptions, ImageMetadata
from expofuse.files.headers import PixelLimits
from expofuse.files.reading.decode import decode
from expofuse.files.reading.jpeg.scan import check_scan
from expofuse.files.reading.jpeg.stream import tidy
from expofuse.files.reading.vips import configure_libvips
from expofuse.files.writing.encode import encode
from model.errors import DeviceError
from model.exposure import Pixels

RECORD = "nvimagecodec.json"
"""Of the results; not for git, as the licence of nvImageCodec wants no figures published."""

BUDGET_S = 90.0
SIZES_MP = (0.6, 12.0, 24.0)
REPEATS = 7
CPU_WAY = "libjpeg-turbo and libvips, CPU"
UNCHECKED = "device, without the check that a file is sound"
ENGINE = "the same, by its engine for JPEG"
STRICT = f"{OPTIONS} :extra_flags=4"
"""The flag NVJPEG_FLAGS_BITSTREAM_STRICT of `nvjpeg.h`."""

DAMAGED, DAMAGED_MP, DAMAGED_TIMEOUT_S = 60, 1.2, 20.0
QUALITY = 90

SERVICE_SIZES_MP = (2.0, 12.0)
ROUNDS, ROUND_S = 2, 3.0
START_TIMEOUT_S = 60.0
WAYS = {CPU_WAY: "libjpeg-turbo", OURS: "nvimagecodec"}
"""Values of the setting; ours is the one with the device."""

_LIMITS = PixelLimits(max_pixels=100_000_000, max_side_px=20_000)
_COUNTED = re.compile(
    r'^expofuse_codec_device_jpegs_total\{call="(\w+)",outcome="(\w+)"\} ([\d.]+)$', re.MULTILINE
)


def measure_files(
    device: str,
    *,
    sizes_mp: Sequence[float] = SIZES_MP,
    service_sizes_mp: Sequence[float] = SERVICE_SIZES_MP,
    repeats: int = REPEATS,
    round_s: float = ROUND_S,
    budget_s: float = BUDGET_S,
) -> dict[str, object]:
    """Measure everything; what cannot be is a sentence in the record, not an error.

    Args:
        device: See `DeviceJpeg`.
        sizes_mp: Megapixels of the files.
        service_sizes_mp: Megapixels of the exposures that services are sent.
        repeats: Counted rounds of files.
        round_s: Seconds of load of one service in one round.
        budget_s: Seconds after which nothing more begins.
    """
    end_s = time.monotonic() + budget_s
    configure_libvips()
    try:
        codec = DeviceJpeg(device, min_pixels=1)
        engine = DeviceJpeg(device, min_pixels=1, uses_engine=device != CPU)
        begin_s = time.perf_counter()
        codec.try_out()
        trial_s = time.perf_counter() - begin_s
    except DeviceError as error:
        return {"left_out": error.message}
    files = {}
    for megapixels in sizes_mp:
        if time.monotonic() > end_s:
            break
        files[f"{megapixels:g} MP"] = time_codec(
            codec, engine, take_still(megapixels), repeats=repeats
        )
    del codec, engine
    return {
        "nvimagecodec": find_version("nvidia-nvimgcodec-cu13"),
        "nvjpeg": find_version("nvidia-nvjpeg"),
        "trial_s": shorten(trial_s),
        "files": files,
        "damaged": count_refusals(device) if time.monotonic() < end_s else None,
        "service": measure_services(
            device, sizes_mp=service_sizes_mp, round_s=round_s, end_s=end_s
        ),
    }


def time_codec(
    codec: DeviceJpeg, engine: DeviceJpeg, scene: Scene, *, repeats: int
) -> dict[str, object]:
    """Decode a pair and encode a picture, on the device and on the CPU, in interleaved rounds.

    Args:
        codec: Takes files of any size.
        engine: The same, which decodes by the device's engine for JPEG.
        scene: A pair.
        repeats: Counted rounds.
    """
    files = scene.encode()
    tidied = [tidy(file) for file in files]
    rooms = [np.empty_like(one) for one in scene.exposures]
    options, picture = EncodeOptions("jpeg", quality=QUALITY), scene.exposures[1]
    save = partial(encode, picture, options=options, metadata=ImageMetadata())

    def read_pair(device: DeviceJpeg | None) -> list[Pixels]:
        return [
            decode(file, limits=_LIMITS, out=room, device=device).pixels
            for file, room in zip(files, rooms, strict=True)
        ]

    def read_unchecked(device: DeviceJpeg) -> None:
        for file, room in zip(tidied, rooms, strict=True):
            if not device.decode(file, room):
                raise RuntimeError("expected the device to decode a file, it failed")

    decoding: dict[str, Callable[[], object]] = {
        OURS: partial(read_pair, codec),
        UNCHECKED: partial(read_unchecked, codec),
        ENGINE: partial(read_unchecked, engine),
        CPU_WAY: partial(read_pair, None),
    }
    encoding: dict[str, Callable[[], object]] = {OURS: partial(save, device=codec), CPU_WAY: save}
    works = {"decode a pair": decoding, "encode": encoding}
    found: dict[str, object] = {"source": scene.source}
    for work, ways in works.items():
        rounds = run_rounds(ways, repeats=repeats)
        found[work] = {
            "rounds": {way: describe_costs(costs) for way, costs in rounds.items()},
            "ratios": describe_ratios(rounds),
        }
    return found | {
        "likeness": compare(codec, files[1], picture),
        "likeness_of_engine": compare(engine, files[1], picture),
    }


def compare(codec: DeviceJpeg, file: bytes, picture: Pixels) -> dict[str, object]:
    """How far a decoded and an encoded picture are from those of the CPU, in levels and bytes."""
    read = [
        decode(file, limits=_LIMITS, device=one).pixels.astype(np.int16) for one in (codec, None)
    ]
    outcome = codec.take_outcome()
    difference = np.abs(read[0] - read[1])
    options = EncodeOptions("jpeg", quality=QUALITY)
    written = [
        encode(picture, options=options, metadata=ImageMetadata(), device=one)
        for one in (codec, None)
    ]
    losses = [
        float(np.square(decode(one, limits=_LIMITS).pixels.astype(np.float32) - picture).mean())
        for one in written
    ]
    return {
        "decoded_by": outcome,
        "decoded_mean": shorten(float(difference.mean())),
        "decoded_max": int(difference.max()),
        "encoded_bytes": [len(one) for one in written],
        "encoded_mean_squared_error": [shorten(loss) for loss in losses],
    }


def count_refusals(device: str, *, count: int = DAMAGED) -> dict[str, object]:
    """How many files with damaged codes the device refuses by itself, and how many we refuse.

    In a process of its own: what damage does to the device's context is not known.

    Args:
        device: See `DeviceJpeg`.
        count: Files.
    """
    command = [sys.executable, "-m", "bench.gpu_files", "--count-refusals", str(count)]
    try:
        done = subprocess.run(
            [*command, "--device", device],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            timeout=DAMAGED_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return {"left_out": str(error)}
    found: dict[str, object] = json.loads(done.stdout)
    return found


def _count_refusals(device: str, count: int) -> dict[str, object]:
    codec = DeviceJpeg(device, min_pixels=1, options=STRICT)
    file = tidy(take_still(DAMAGED_MP).encode()[1])
    room = np.empty(decode(file, limits=_LIMITS).pixels.shape, np.uint8)
    refused = {"by us": 0, "by the device": 0, "by both": 0}
    for damaged in damage_codes(file, seed=0, count=count):
        try:
            check_scan(damaged)
            is_sound = True
        except ImageDecodeError:
            is_sound = False
        is_taken = codec.decode(damaged, room)
        refused["by us"] += not is_sound
        refused["by the device"] += not is_taken
        refused["by both"] += not (is_sound or is_taken)
    return {"files": count, "takes_the_sound_one": codec.decode(file, room), **refused}


def damage_codes(file: bytes, *, seed: int, count: int) -> Iterator[bytes]:
    """Copies of a JPEG file with damage to the codes of its picture.

    A bit is turned, bytes are lost or inserted, or the rest is lost.

    Args:
        file: A whole file.
        seed: Of the places.
        count: How many.
    """
    rng = np.random.default_rng(seed)
    start = file.rindex(b"\xff\xda") + 14
    for index in range(count):
        changed = bytearray(file)
        position, size = int(rng.integers(start, len(file) - 2)), int(rng.integers(1, 40))
        match index % 4:
            case 0:
                changed[position] ^= 1 << int(rng.integers(8))
            case 1:
                del changed[position : position + size]
            case 2:
                changed[position:position] = rng.bytes(size)
            case _:
                del changed[position:-2]
        yield bytes(changed)


@dataclass(slots=True)
class _Loaded:
    """A service, and what it answered so far."""

    service: RunningService
    facts: dict[str, object]
    answers: list[dict[str, object]] = field(default_factory=list)


def measure_services(
    device: str, *, sizes_mp: Sequence[float], round_s: float, end_s: float
) -> dict[str, object]:
    """Requests a second of two services that differ in the setting, loaded in turns.

    Args:
        device: Of both.
        sizes_mp: Megapixels of the exposures.
        round_s: Seconds of load of one service in one round.
        end_s: On the monotonic clock, after which nothing more begins.
    """
    kinds = [make_kind(megapixels) for megapixels in sizes_mp]
    found: dict[str, object] = {}
    with ExitStack() as stack:
        loaded: dict[str, _Loaded] = {}
        for way, value in WAYS.items():
            try:
                loaded[way] = stack.enter_context(_start(device, value, end_s))
            except RuntimeError as error:
                found[way] = {"left_out": str(error)}
        for kind in kinds:
            for number in range(ROUNDS + 1):  # The first one warms up.
                for one in loaded.values():
                    if time.monotonic() + round_s < end_s:
                        _load(one, kind, number, round_s)
        for way, one in loaded.items():
            found[way] = one.facts | {
                "jpegs": _read_counts(one.service.url),
                "rounds": one.answers,
            }
    return found | {"clients": CLIENTS, "ratios": _compare_rates(found)}


@contextmanager
def _start(device: str, value: str, end_s: float) -> Iterator[_Loaded]:
    """A service with a value of the setting; unconfined where it does not start otherwise."""
    settings = {"EXPOFUSE_DEVICE": device, "EXPOFUSE_CODEC__JPEG": value}
    reasons: list[str] = []
    for sandbox in ("auto", "off"):
        used_before = _read_used_mib()
        with tempfile.TemporaryFile() as log, ExitStack() as stack:
            timeout_s = min(START_TIMEOUT_S, end_s - time.monotonic())
            try:
                service = stack.enter_context(
                    watched_service(
                        ready_timeout_s=timeout_s,
                        settings=settings | {"EXPOFUSE_CODEC__SANDBOX": sandbox},
                        log=log,
                    )
                )
            except RuntimeError as error:
                log.seek(0)
                last = log.read().decode(errors="replace").splitlines()[-1:]
                reasons.append(f"{error} ({sandbox=}): {' '.join(last)}")
                continue
            used = _read_used_mib()
            facts: dict[str, object] = {
                "start_s": shorten(service.ready_s),
                "sandbox": sandbox,
                "refused_starts": reasons,
                "device_memory_mib": None
                if used is None or used_before is None
                else used - used_before,
            }
            yield _Loaded(service, facts)
            return
    raise RuntimeError("; ".join(reasons))


def _load(one: _Loaded, kind: Kind, number: int, seconds: float) -> None:
    core_s = read_family_core_time(one.service.pid)
    begin_s = time.monotonic()
    answers = run_in_loop(
        load_closed(
            one.service.url, {kind.name: kind}, {kind.name: 1.0}, clients=CLIENTS, seconds=seconds
        )
    )
    wall_s = time.monotonic() - begin_s
    core_s = read_family_core_time(one.service.pid) - core_s
    if number:
        done = answers[OK]
        one.answers.append(
            {
                "pair": kind.name,
                "round": number,
                "requests_per_s": shorten(done / wall_s),
                "core_s_per_request": shorten(core_s / done) if done else None,
                "others": {str(status): n for status, n in answers.items() if status != OK},
            }
        )


def _compare_rates(found: Mapping[str, object]) -> dict[str, list[float]]:
    """Our requests a second over the other's of the same round, by the pair."""
    ratios: dict[str, list[float]] = {}
    ours, others = (_list_rates(found.get(way)) for way in (OURS, CPU_WAY))
    for (pair, number), rate in ours.items():
        if others.get((pair, number)):
            ratios.setdefault(pair, []).append(shorten(rate / others[pair, number]))
    return ratios


def _list_rates(way: object) -> dict[tuple[str, int], float]:
    rounds = way.get("rounds", []) if isinstance(way, dict) else []
    return {(one["pair"], one["round"]): one["requests_per_s"] for one in rounds}


def _read_counts(url: str) -> dict[str, float]:
    """What became of JPEG files, as the service counted."""
    text = httpx.get(f"{url}/metrics", timeout=10).text
    return {f"{call} {outcome}": float(n) for call, outcome, n in _COUNTED.findall(text)}


def _read_used_mib() -> int | None:
    """Memory of all GPUs that is in use; None where NVIDIA's program is not there."""
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return sum(int(line) for line in said.stdout.split() if line.isdecimal())


def main(arguments: list[str] | None = None) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    parser.add_argument("--count-refusals", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.count_refusals is not None:
        configure_libvips()
        print(json.dumps(_count_refusals(options.device, options.count_refusals)))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    write_record(options.out / RECORD, measure_files(options.device))


if __name__ == "__main__":
    main()
