"""Judge how well the brackets of shoots are found, and how fast; list every error.

A bracket counts as found where exactly its files were put together. Shoots with headers are made
up; photographed brackets, whose files tell no exposure, are put into one folder without their
headers. From the repository root:

    python -m bench.grouping [--seed 1 ...] [--files 1000] [--photos ../shared/data]
        [--out bench/results/grouping.json]
"""

from __future__ import annotations

import argparse
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from bench.shoots.shoot import Shoot, make_shoot
from bench.timing import measure, write_record
from expofuse.grouping import Groups, group_files

SEEDS = (9001, 9002, 9003, 9004, 9005)
"""Of the final figures; the rules were made with others."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """How the groups of a shoot compare with its truth.

    Attributes:
        found: Brackets of which exactly the files were put together.
        missed: Those that are there and were not found, by the files' descriptions.
        invented: Those that were found and are not there.
    """

    found: int
    missed: tuple[frozenset[str], ...]
    invented: tuple[frozenset[str], ...]

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall of whole brackets."""
        wrong = len(self.missed) + len(self.invented)
        return 2 * self.found / (2 * self.found + wrong) if self.found or wrong else 1.0


def judge(shoot: Shoot, groups: Groups) -> Judgement:
    """Compare groups with the truth."""
    truth = set(shoot.brackets)
    answer = {frozenset(one.names) for one in groups.brackets}
    return Judgement(len(truth & answer), tuple(truth - answer), tuple(answer - truth))


def main(argv: list[str] | None = None) -> None:
    """Make the shoots, group them, print and record what came of it."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.grouping",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--photos", type=Path, help="folder of the photographed brackets")
    parser.add_argument("--out", type=Path, help="where the record goes")
    options = parser.parse_args(argv)
    shoots = [run_seed(seed, options.files) for seed in options.seed]
    totals = {key: sum(int(str(one[key])) for one in shoots) for key in _COUNTS}
    wrong = totals["missed"] + totals["invented"]
    f1 = 2 * totals["found"] / (2 * totals["found"] + wrong)
    print(f"all: {totals}, F1 {f1:.4f}")
    record: dict[str, object] = {"shoots": shoots, **totals, "f1": round(f1, 4)}
    if options.photos is not None:
        record["without_headers"] = [judge_photos(options.photos, order) for order in ORDERS]
    if options.out is not None:
        write_record(options.out, record)


ORDERS = ("rising", "outward")
PHOTO_FOLDERS = ("brackets", "handheld", "stacks")
_COUNTS = ("files", "found", "missed", "invented")


def run_seed(seed: int, files: int) -> dict[str, object]:
    """Group one shoot; prints its errors, and returns what is recorded."""
    shoot = make_shoot(seed, files)
    with tempfile.TemporaryDirectory() as folder:
        paths = shoot.write(Path(folder))
        groups, cost = measure(lambda: group_files(paths, Path(folder)))
    judged = judge(shoot, groups)
    errors = [_describe("missed", one, shoot) for one in judged.missed]
    errors += [_describe("invented", one, shoot) for one in judged.invented]
    print(f"seed {seed}: {len(paths)} files, {len(shoot.brackets)} brackets")
    print(
        f"  {cost.wall_s:.2f} s, core {cost.cpu_s:.2f} s, F1 {judged.f1:.4f}"
        + "".join(f"\n  {one}" for one in sorted(errors))
    )
    return {
        "seed": seed,
        "files": len(paths),
        "found": judged.found,
        "missed": len(judged.missed),
        "invented": len(judged.invented),
        "f1": round(judged.f1, 4),
        "wall_s": round(cost.wall_s, 2),
        "cpu_s": round(cost.cpu_s, 2),
        "errors": sorted(errors),
    }


def judge_photos(data: Path, order: str) -> dict[str, object]:
    """Put photographed brackets into one folder, without headers, and group them.

    Args:
        data: Holds folders of brackets, the exposures of each named by numbers, dark to bright.
        order: `rising`, as they are, or `outward`, as most cameras take them: the middle one, a
            darker one, a brighter one, and so on.

    Returns:
        What is recorded; errors are printed too.
    """
    scenes = [
        exposures
        for kind in PHOTO_FOLDERS
        for folder in sorted((data / kind).iterdir())
        if 2 <= len(exposures := sorted(folder.glob("[0-9][0-9].jpg"))) <= 9
    ]
    random.Random(SEEDS[0]).shuffle(scenes)
    truth: list[frozenset[str]] = []
    meant: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for scene in scenes:
            middle = len(scene) // 2
            ordered = sorted(scene, key=lambda one: abs(scene.index(one) - middle))
            names = []
            for path in ordered if order == "outward" else scene:
                names.append(f"DSC{len(meant) + 1:05}.jpg")
                meant[names[-1]] = path.parent.name
                Image.open(path).convert("RGB").save(folder / names[-1], quality=95)
            truth.append(frozenset(names))
        shoot = Shoot({}, tuple(truth), meant)
        groups, cost = measure(lambda: group_files(sorted(folder.iterdir()), folder))
    judged = judge(shoot, groups)
    errors = [_describe("missed", one, shoot) for one in judged.missed]
    errors += [_describe("invented", one, shoot) for one in judged.invented]
    print(f"{len(scenes)} photographed brackets, {order}: F1 {judged.f1:.4f}")
    print("".join(f"  {one}\n" for one in sorted(errors)), end="")
    return {
        "order": order,
        "files": len(meant),
        "found": judged.found,
        "missed": len(judged.missed),
        "invented": len(judged.invented),
        "f1": round(judged.f1, 4),
        "wall_s": round(cost.wall_s, 2),
        "cpu_s": round(cost.cpu_s, 2),
        "errors": sorted(errors),
    }


def _describe(what: str, names: frozenset[str], shoot: Shoot) -> str:
    meant = sorted({shoot.descriptions[name] for name in names})
    return f"{what}: {', '.join(sorted(names))} ({'; '.join(meant)})"


if __name__ == "__main__":
    main()
