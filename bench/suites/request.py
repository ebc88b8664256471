"""Times whole requests over HTTP, files in and file out, beside others that do the same.

The service runs as a process of its own, OpenCV in this one, which is warm, and the programs of
Hugin and Enblend where they are installed. The core time of a request is that of every process of
the service. Its stages are those that it names itself, and, for what they cost without a service
around them, the same calls in this process.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from bench.client import Answer, connect, make_form
from bench.measurement import MEGAPIXEL, OURS, Measurement, describe_values, run_rounds
from bench.opponents import (
    OPENCV,
    PROGRAMS,
    fuse_by_opencv,
    fuse_by_programs,
    read_version_of_programs,
    run_opencv,
    why_no_programs,
)
from bench.processes import Memory, read_family_core_time, watch_memory
from bench.running_service import RunningService, watched_service
from bench.scenes import (
    HANDHELD,
    HIGHRES,
    SAMPLE,
    Scene,
    has_photographs,
    take_handheld,
    take_photographs,
    take_still,
)
from bench.scope import Outcome, Scope, draw_points
from bench.stages import STAGES, measure_stages, open_pipeline
from bench.timing import Cost, measure

if TYPE_CHECKING:
    from model.pipeline import FusionPipeline

PROGRAMS_MP = 50.0
"""Megapixels of all exposures above which the programs would take minutes a round."""

STACK, SMALL_STACK = 5, 3

SMALL_MP, SMALL_ROUNDS = 3.0, 5
"""Cases below this size have so many times as many rounds: a millisecond is a part of them."""


@dataclass(frozen=True, slots=True)
class Case:
    """A job.

    Attributes:
        name: What it is.
        megapixels: Size of an exposure, about.
        take: Makes its scene.
    """

    name: str
    megapixels: float
    take: Callable[[], Scene]


@dataclass(slots=True)
class Bench:
    """What every measurement of this suite needs."""

    service: RunningService
    pipeline: FusionPipeline
    folder: Path


@dataclass(slots=True)
class Notes:
    """What came back in the rounds, beside what they cost."""

    answers: list[Answer] = field(default_factory=list)
    alone: list[dict[str, Cost]] = field(default_factory=list)
    program_peaks_mib: list[float] = field(default_factory=list)


def list_cases() -> list[Case]:
    """The jobs; photographs as they are where they are there."""
    is_rich = has_photographs()
    hand = partial(take_photographs, HANDHELD) if is_rich else partial(take_handheld, 1.9)
    large = partial(take_photographs, HIGHRES) if is_rich else partial(take_still, 12.0)
    stack = partial(take_handheld, 24.0, STACK, moves=True)
    small_stack = partial(take_handheld, 0.1, SMALL_STACK, moves=True)
    return [
        Case("0.6 MP, still", 0.6, partial(take_photographs, SAMPLE)),
        Case("0.3 MP, by hand", 0.3, partial(take_handheld, 0.3)),
        Case(f"{SMALL_STACK} of 0.1 MP, by hand, something moves", 0.1, small_stack),
        Case("1.9 MP, by hand", 1.9, hand),
        Case("12 MP, still", 12.0, large),
        Case("12 MP, by hand", 12.0, partial(take_handheld, 12.0)),
        Case("24 MP, still", 24.0, partial(take_still, 24.0)),
        Case("24 MP, by hand", 24.0, partial(take_handheld, 24.0)),
        Case(f"{STACK} of 24 MP, by hand, something moves", 24.0, stack),
    ]


def run(scope: Scope) -> Outcome:
    """Measure every case, and curves against megapixels and exposures."""
    cases = [case for case in list_cases() if case.megapixels <= scope.case_mp]
    with tempfile.TemporaryDirectory() as folder, watched_service() as service:
        bench = Bench(service, open_pipeline(scope.weights_dir), Path(folder))
        measurements = [
            measure_case(
                case,
                bench,
                repeats=scope.repeats * (SMALL_ROUNDS if case.megapixels < SMALL_MP else 1),
                has_programs=n < scope.program_cases,
            )
            for n, case in enumerate(cases)
        ]
        found = {
            (size, count): measure_scene(
                f"{count} of {size:g} MP", take_still(size, count), bench, scope.curve_repeats, {}
            )
            for size, count in scope.points
        }
        version = httpx.get(f"{service.url}/version", trust_env=False).json()
    facts = {"service": version, "enfuse": read_version_of_programs()}
    return Outcome([*measurements, *found.values()], draw_points(found, scope), facts)


def measure_case(case: Case, bench: Bench, *, repeats: int, has_programs: bool) -> Measurement:
    """A case: the programs are measured too, and the stages in this process.

    Args:
        case: What is measured.
        bench: What it is measured with.
        repeats: Counted rounds.
        has_programs: The programs may run.
    """
    scene = case.take()
    reason = why_no_programs()
    if not has_programs:
        reason = reason or "left out of the small versions: slow"
    if scene.width * scene.height * len(scene.exposures) > PROGRAMS_MP * MEGAPIXEL:
        reason = reason or f"over {PROGRAMS_MP:g} MP in all, minutes a round"
    skipped = {} if reason is None else {PROGRAMS: reason}
    return measure_scene(case.name, scene, bench, repeats, skipped, is_case=True)


def measure_scene(
    name: str,
    scene: Scene,
    bench: Bench,
    repeats: int,
    skipped: dict[str, str],
    *,
    is_case: bool = False,
) -> Measurement:
    """One job in every way.

    Args:
        name: Of the job.
        scene: Its exposures.
        bench: What it is measured with.
        repeats: Counted rounds.
        skipped: Ways that are left out of a case, and why.
        is_case: It is one, and no point of a curve.
    """
    paths = [bench.folder / f"exposure-{number}.jpg" for number in range(len(scene.exposures))]
    files = scene.encode()
    for path, content in zip(paths, files, strict=True):
        path.write_bytes(content)
    target, notes = bench.folder / "fused.jpg", Notes()
    ways: dict[str, Callable[[], object]] = {
        OURS: partial(ask_service, bench, paths, target, notes),
        OPENCV: partial(fuse_by_opencv, paths, bench.folder / "opencv.jpg"),
    }
    if is_case:
        ways["stages in this process"] = partial(do_stages, bench, files, notes)
        if PROGRAMS not in skipped:
            ways[PROGRAMS] = partial(run_programs, bench, paths, notes)
    rounds = run_rounds(ways, repeats=repeats, skipped=skipped)
    with watch_memory(bench.service.pid) as peak, connect(bench.service.url) as client:
        client.fuse(make_form(files))
    opencv_mib = run_opencv(paths, bench.folder / "opencv.jpg").peak_mib
    peaks = {OURS: peak.memory, OPENCV: Memory("rss", opencv_mib)}
    if notes.program_peaks_mib:
        peaks[PROGRAMS] = Memory("rss", max(notes.program_peaks_mib))
    facts = describe_answers(notes, rounds[OURS])
    return scene.describe(name, rounds, facts, peaks=peaks, skipped=skipped)


def ask_service(bench: Bench, paths: Sequence[Path], target: Path, notes: Notes) -> Cost:
    """Files in, file out over a new connection; core time is that of the whole service."""

    def work() -> Answer:
        with connect(bench.service.url) as client:
            answer = client.fuse(make_form([path.read_bytes() for path in paths]))
        target.write_bytes(answer.picture)
        return answer

    answer, cost = measure(work, partial(read_family_core_time, bench.service.pid))
    notes.answers.append(answer)
    return cost


def run_programs(bench: Bench, paths: Sequence[Path], notes: Notes) -> Cost:
    """Files in, file out by the programs."""
    ended = fuse_by_programs(paths, bench.folder)
    notes.program_peaks_mib.append(ended.peak_mib)
    return ended.cost


def do_stages(bench: Bench, files: Sequence[bytes], notes: Notes) -> Cost:
    """The stages one after the other in this process."""
    costs = measure_stages(files, bench.pipeline)
    notes.alone.append(costs)
    return sum(costs.values(), Cost(0.0, 0.0))


def describe_answers(notes: Notes, costs: Sequence[Cost]) -> dict[str, object]:
    """What the service said in the counted rounds, and what a request takes beside its stages."""
    answers = notes.answers[-len(costs) :]
    stages = {
        stage: describe_values([answer.stages_s[stage] for answer in answers])
        for stage in answers[0].stages_s
    }
    around = [
        cost.wall_s - sum(answer.stages_s.get(stage, 0.0) for stage in STAGES)
        for cost, answer in zip(costs, answers, strict=True)
    ]
    facts: dict[str, object] = {
        "alignment": answers[-1].alignment,
        "ghosts": answers[-1].ghosts,
        "answer_bytes": len(answers[-1].picture),
        "answers_differ": len({answer.picture for answer in notes.answers}) > 1,
        "stages_s": stages,
        "around_stages_wall_s": describe_values(around),
    }
    alone = notes.alone[-len(costs) :]
    if alone:
        facts["stages_alone_core_s"] = {
            stage: describe_values([one[stage].cpu_s for one in alone]) for stage in STAGES
        }
        facts["around_stages_core_s"] = describe_values(
            [
                cost.cpu_s - sum(part.cpu_s for part in one.values())
                for cost, one in zip(costs, alone, strict=True)
            ]
        )
    return facts
