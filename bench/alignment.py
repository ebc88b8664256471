"""Measure alignment: known motions of real pairs, pairs at rest, hand-held and unrelated stacks.

One exposure of a pair is moved by a known homography and both are cropped to where both show the
scene, so that no border helps or hurts. From the repository root:

    python -m bench.alignment [DATA]

The gates were tuned on the stacks marked `validate` with other seeds; the pairs of `eval/` are
reported only.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.repository import ROOT, SHARED_DATA
from bench.timing import measure, spread, write_record
from expofuse.files.pixels import to_8_bit
from model.alignment.estimate import (
    align_exposure,
    align_views,
    refine_views,
    rescale_homography,
)
from model.alignment.features import match_features, match_keypoints
from model.alignment.frame import common_frame
from model.alignment.patches import frame_corners, map_points, refine_homography
from model.alignment.rest import TileMotion, measure_tiles
from model.alignment.stack import align_stack
from model.alignment.unrelated import AGREEMENT_LIMIT, measure_agreement
from model.alignment.view import FIRST_LOOK, PROXY_MAX_PX, SIFT_MAX_PX, ExposureView
from model.exposure import AlignmentReport, ExposureStack
from trainer.evaluation import list_scenes
from trainer.evaluation.pictures import Picture, read_picture
from trainer.evaluation.scenes import read_exposures

DEFAULT_RESULT = ROOT / "bench" / "results" / "alignment.json"
SEED = 20_260
SIZES_MP = (0.3, 0.6, 2.0, 6.0, 12.0, 24.0)
SIZE_ROUNDS = 3
REPEATS = 3
MAX_ROTATION = np.deg2rad(3.0)
MAX_SHIFT = 0.03
MAX_PERSPECTIVE = 1e-4
PERSPECTIVE_SIDE_PX = 1_200
"""On longer images the perspective shrinks with the side, so that the frame bends alike."""

WRONG_PX = 5.0
MIDDLE_LEVEL = 118.0
"""Grey level of a middle exposure: L* 50."""

STACK_FOLDERS = ("eval", "brackets", "handheld", "stacks", "moving")
SKETCH_SIDE_PX = 384
UNRELATED_PAIRS = 2000
REST_ROUNDS = 7
CHECK_REACH_PX = 8
CHECK_CORRELATION = 0.5

Matrix = NDArray[np.float64]
Outcome = tuple[Matrix | None, str | None, str | None]
"""Homography at full size, or why there is none, and which path of the product said so."""


@dataclass(frozen=True, slots=True)
class MovedPair:
    """A pair one exposure of which was moved, cropped to what both show.

    Attributes:
        pair: The cropped exposures.
        motion: The known homography between the crops, under to over.
        motion_with_own: The same behind the motion that the pair had already, as found on it.
    """

    pair: ExposureStack
    motion: Matrix
    motion_with_own: Matrix | None


def draw_motion(rng: np.random.Generator, width: int, height: int) -> Matrix:
    """Draw a rotation, a shift and a perspective about the image's middle."""
    angle = rng.uniform(-MAX_ROTATION, MAX_ROTATION)
    x, y = rng.uniform(-MAX_SHIFT, MAX_SHIFT, 2) * (width, height)
    limit = MAX_PERSPECTIVE * min(1.0, PERSPECTIVE_SIDE_PX / max(width, height))
    g, h = rng.uniform(-limit, limit, 2)
    cos, sin = np.cos(angle), np.sin(angle)
    middle = translation((width - 1) / 2, (height - 1) / 2)
    turn = np.array([[cos, -sin, x], [sin, cos, y], [0.0, 0.0, 1.0]])
    bend = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [g, h, 1.0]])
    return normalise(middle @ turn @ bend @ np.linalg.inv(middle))


def translation(x: float, y: float) -> Matrix:
    """Homography that adds (x, y)."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def normalise(homography: Matrix) -> Matrix:
    """Scale a homography to h[2, 2] = 1."""
    return np.asarray(homography / homography[2, 2])


def move_pair(pair: ExposureStack, motion: Matrix) -> MovedPair:
    """Move the under exposure so that `motion` leads back, and crop both to the common part."""
    size = (pair.width, pair.height)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    under = np.asarray(cv2.warpPerspective(pair.darkest, motion, size, flags=flags))
    inside = cv2.warpPerspective(
        np.full(size[::-1], 255, np.uint8), motion, size, flags=cv2.WARP_INVERSE_MAP
    )
    share = 0.0
    while inside[crop(share, *size)].min() < 255:
        share += 0.005
    window = crop(share + 0.005, *size)
    corner = translation(window[1].start, window[0].start)
    fixed = ExposureView(pair.brightest)
    own = refine_homography(ExposureView(pair.darkest).proxy(), fixed.proxy(), np.eye(3))
    with_own = None
    if own is not None and own.is_inlier.mean() > 0.5:
        proxy_size = (fixed.proxy().shape[1], fixed.proxy().shape[0])
        with_own = rescale_homography(own.homography, proxy_size, fixed.proxy_frame()) @ motion
        with_own = normalise(np.linalg.inv(corner) @ with_own @ corner)
    cut = [np.ascontiguousarray(one[window]) for one in (under, pair.brightest)]
    moved = ExposureStack(tuple(cut), (0, 1))
    return MovedPair(moved, normalise(np.linalg.inv(corner) @ motion @ corner), with_own)


def crop(share: float, width: int, height: int) -> tuple[slice, slice]:
    """Window without this share of the frame on every side."""
    x, y = int(share * width), int(share * height)
    return slice(y, height - y), slice(x, width - x)


def align_with_gates(pair: ExposureStack) -> Outcome:
    """The product: `align_exposure`."""
    moving, fixed = (ExposureView(one) for one in pair.exposures)
    report = align_views(moving, fixed)
    path = "keypoints" if moving.has_keypoints else "direct"
    return np.reshape(report.homography, (3, 3)), report.refused, path


def align_by_keypoints(pair: ExposureStack) -> Outcome:
    """The product's last resort alone: SIFT, MAGSAC++, patches and gates at the first look."""
    moving, fixed = (ExposureView(one) for one in pair.exposures)
    start = match_keypoints(moving.keypoints(), fixed.keypoints())
    if start is None:
        return None, "few_matches", None
    report = refine_views(moving, fixed, start)
    return np.reshape(report.homography, (3, 3)), report.refused, None


def align_plainly(pair: ExposureStack, estimator: int, *, ratio: float, least: int) -> Outcome:
    """SIFT with its defaults on AGC images, ratio test, mutual check; no refinement, no gates."""
    points, features = [], []
    for image in (pair.darkest, pair.brightest):
        view = ExposureView(image)
        look = view.shrink_look(FIRST_LOOK, SIFT_MAX_PX)
        grey = np.rint(view.proxy(look) * 255.0).astype(np.uint8)
        keypoints, descriptors = cv2.SIFT.create().detectAndCompute(grey, None)
        points.append(np.array([keypoint.pt for keypoint in keypoints]))
        features.append(np.empty((0, 128), np.float32) if descriptors is None else descriptors)
    rows, columns = match_features(features[0], features[1], ratio=ratio)
    if len(rows) < least:
        return None, "few_matches", None
    found, _ = cv2.findHomography(points[0][rows], points[1][columns], estimator, 5.0)
    if found is None:
        return None, "no_homography", None
    size = (view.proxy(look).shape[1], view.proxy(look).shape[0])
    return rescale_homography(found, size, view.proxy_frame(look)), None, None


ARMS: dict[str, Callable[[ExposureStack], Outcome]] = {
    "ours": align_with_gates,
    "ours, keypoints alone": align_by_keypoints,
    "plain RANSAC": lambda pair: align_plainly(pair, cv2.RANSAC, ratio=0.75, least=4),
    "plain MAGSAC++": lambda pair: align_plainly(pair, cv2.USAC_MAGSAC, ratio=0.75, least=4),
    "authors' rule": lambda pair: align_plainly(pair, cv2.RANSAC, ratio=0.7, least=21),
}


def corner_error_px(found: Matrix, truth: Matrix, pair: ExposureStack) -> float:
    """Largest distance of a corner from where it belongs."""
    corners = frame_corners(pair.width, pair.height)
    difference = map_points(found, corners) - map_points(truth, corners)
    return float(np.linalg.norm(difference, axis=1).max())


def see_own_shift_px(pair: ExposureStack) -> int:
    """Shift of a pair in whole pixels, seen without keypoints, patches or a homography.

    The pair and its four quarters are each shifted over one another, locally normalised log
    intensities, for the highest correlation; the largest shift of a part that correlates counts.
    """
    under, over = (normalise_locally(image) for image in (pair.darkest, pair.brightest))
    reach, (height, width) = CHECK_REACH_PX, under.shape
    rows = (slice(reach, height // 2), slice(height // 2, height - reach))
    columns = (slice(reach, width // 2), slice(width // 2, width - reach))
    shifts = [0]
    for row in rows:
        for column in columns:
            part = under[
                row.start - reach : row.stop + reach, column.start - reach : column.stop + reach
            ]
            scores = cv2.matchTemplate(part, over[row, column], cv2.TM_CCOEFF_NORMED)
            _, best, _, place = cv2.minMaxLoc(scores)
            if best >= CHECK_CORRELATION:
                shifts.append(max(abs(place[0] - reach), abs(place[1] - reach)))
    return max(shifts)


def normalise_locally(image: Picture) -> NDArray[np.float32]:
    """Log intensity, its local mean taken away, divided by its local deviation."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    log = cv2.GaussianBlur(np.log(grey + 1.0), (0, 0), 1.0)
    mean = cv2.GaussianBlur(log, (0, 0), 8.0)
    variance = cv2.GaussianBlur(log * log, (0, 0), 8.0) - mean * mean
    return np.asarray((log - mean) / np.sqrt(variance.clip(0.0) + 4e-4), np.float32)


def summarise(cases: Sequence[Mapping[str, object]], key: str) -> dict[str, object]:
    """Corner errors of the accepted ones among the cases, and their number."""
    accepted = [case for case in cases if case["refused"] is None]
    errors = np.array([case[key] for case in accepted if case[key] is not None], np.float64)
    if len(errors) == 0:
        return {"cases": len(cases), "accepted": len(accepted)}
    return {
        "cases": len(cases),
        "refused_share": 1.0 - len(accepted) / len(cases),
        "median_px": float(np.median(errors)),
        "p95_px": float(np.percentile(errors, 95)),
        "largest_px": float(errors.max()),
        "wrong": int((errors > WRONG_PX).sum()),
    }


def summarise_cost(cases: Sequence[Mapping[str, object]]) -> dict[str, float]:
    """Core-milliseconds of some cases, and their number."""
    spent = np.array([float(str(case["core_ms"])) for case in cases])
    if len(spent) == 0:
        return {"cases": 0}
    return {
        "cases": len(spent),
        "median": float(np.median(spent)),
        "p90": float(np.percentile(spent, 90)),
        "largest": float(spent.max()),
    }


def measure_sizes(pairs: Mapping[str, ExposureStack], rounds: int) -> dict[str, object]:
    """Move each pair at every size, and align it directly and by keypoints in turn."""
    rng = np.random.default_rng(SEED)
    rows: dict[str, object] = {}
    for name, pair in pairs.items():
        for megapixels in SIZES_MP:
            scale = (megapixels * 1e6 / (pair.width * pair.height)) ** 0.5
            kernel = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_CUBIC
            sized = ExposureStack.from_images(
                [
                    np.asarray(cv2.resize(one, None, fx=scale, fy=scale, interpolation=kernel))
                    for one in pair.exposures
                ]
            )
            moved = move_pair(sized, draw_motion(rng, sized.width, sized.height))
            spent: dict[str, list[float]] = {"ours": [], "ours, keypoints alone": [], "still": []}
            errors: dict[str, float | None] = {}
            for _ in range(rounds):
                for arm in ("ours", "ours, keypoints alone"):
                    (found, refused, _), cost = measure(partial(ARMS[arm], moved.pair))
                    spent[arm].append(1000.0 * cost.cpu_s)
                    is_known = found is not None and refused is None
                    error = corner_error_px(found, moved.motion, moved.pair) if is_known else None
                    errors[arm] = error
                _, cost = measure(partial(align_exposure, sized.brightest, sized.brightest))
                spent["still"].append(1000.0 * cost.cpu_s)
            rows[f"{name} at {megapixels} MP"] = {
                "core_ms": {arm: spread(values) for arm, values in spent.items()},
                "corner_error_px": errors,
            }
        print(name, "at all sizes", flush=True)
    return rows


def measure_motion(
    pairs: Mapping[str, ExposureStack], own_shifts_px: Mapping[str, int], repeats: int
) -> dict[str, object]:
    """Move every pair `repeats` times and align it by every arm."""
    rng = np.random.default_rng(SEED)
    cases: dict[str, list[dict[str, object]]] = {arm: [] for arm in ARMS}
    for name, pair in pairs.items():
        for _ in range(repeats):
            moved = move_pair(pair, draw_motion(rng, pair.width, pair.height))
            for arm, align in ARMS.items():
                (found, refused, path), cost = measure(partial(align, moved.pair))
                case: dict[str, object] = {
                    "pair": name,
                    "refused": refused,
                    "path": path,
                    "core_ms": 1000.0 * cost.cpu_s,
                    **asdict(cost),
                }
                for key in ("motion", "motion_with_own"):
                    truth = getattr(moved, key)
                    is_known = found is not None and truth is not None and refused is None
                    error = corner_error_px(found, truth, moved.pair) if is_known else None
                    case[key] = error
                cases[arm].append(case)
        print(name, cases["ours"][-repeats:], flush=True)
    at_rest = {name for name, shift_px in own_shifts_px.items() if shift_px == 0}
    return {
        arm: {
            "all pairs": summarise(rows, "motion"),
            "pairs whose exposures lie on each other": summarise(
                [row for row in rows if row["pair"] in at_rest], "motion"
            ),
            "all pairs, against motion and own misalignment": summarise(rows, "motion_with_own"),
            "median_wall_s": float(np.median([float(str(row["wall_s"])) for row in rows])),
            "core_ms": summarise_cost(rows),
            "core_ms_of_keypoints": summarise_cost(
                [row for row in rows if row["path"] == "keypoints"]
            ),
            "wrong_against_motion": [
                row for row in rows if isinstance(row["motion"], float) and row["motion"] > WRONG_PX
            ]
            if arm.startswith("ours")
            else None,
        }
        for arm, rows in cases.items()
    }


def measure_rest(
    pairs: Mapping[str, ExposureStack], own_shifts_px: Mapping[str, int]
) -> dict[str, object]:
    """Align the pairs as they are; nothing may be warped that an exhaustive search sees at rest."""
    reports = {name: describe(pair) for name, pair in pairs.items()}
    warped = [name for name, report in reports.items() if report["model"] == "homography"]
    return {
        "identity": sum(r["model"] == "identity" and not r["refused"] for r in reports.values()),
        "refused": sum(r["refused"] is not None for r in reports.values()),
        "warped": warped,
        "warped_though_seen_at_rest": [name for name in warped if own_shifts_px[name] == 0],
        "pairs": {
            name: {**report, "own_shift_px": own_shifts_px[name]}
            for name, report in reports.items()
        },
    }


def describe(pair: ExposureStack) -> dict[str, object]:
    """Report of a pair, with the seconds it took on the clock and on all cores together."""
    report, cost = measure(partial(align_exposure, *pair.exposures))
    return {**asdict(report), **asdict(cost)}


def read_stacks(folder: Path) -> Iterator[tuple[str, list[Picture]]]:
    """Stacks of a folder, each ordered from dark to bright."""
    for item in sorted(folder.iterdir()):
        exposures = [to_8_bit(read_picture(path)) for path in sorted(item.glob("*.jpg"))]
        yield item.name, sorted(exposures, key=lambda exposure: float(exposure.mean()))


def measure_stack(exposures: Sequence[Picture]) -> dict[str, object]:
    """Align a stack to the exposure of middle brightness."""
    middle = [abs(float(exposure.mean()) - MIDDLE_LEVEL) for exposure in exposures]
    reference = int(np.argmin(middle))
    reports, cost = measure(partial(align_stack, exposures, reference=reference))
    height, width = exposures[0].shape[:2]
    frame = common_frame(reports, height, width)
    return {
        "size": f"{width}x{height}",
        "reference": reference,
        "refused": [report.refused for report in reports if report and report.refused],
        "reports": [None if report is None else report.describe() for report in reports],
        "common_share": frame.height * frame.width / (height * width),
        "torn_though_at_rest": count_torn(exposures, reports, reference),
        **asdict(cost),
    }


def count_torn(
    exposures: Sequence[Picture], reports: Sequence[AlignmentReport | None], reference: int
) -> int:
    """Exposures whose homography moves tiles that are at rest without it."""
    fixed, torn = ExposureView(exposures[reference]), 0
    for exposure, report in zip(exposures, reports, strict=True):
        if report is not None and report.model == "homography":
            tiles: TileMotion = measure_tiles(ExposureView(exposure), fixed)
            torn += tiles.is_torn_by(np.reshape(np.array(report.homography), (3, 3)))
    return torn


def measure_rest_test(pairs: Mapping[str, ExposureStack], rounds: int) -> dict[str, object]:
    """Core-milliseconds of the test of tiles, the median of some rounds, for each pair."""
    costs = {}
    for name, pair in pairs.items():
        taken = []
        for _ in range(rounds):
            under, over = ExposureView(pair.darkest), ExposureView(pair.brightest)
            tiles, cost = measure(partial(measure_tiles, under, over))
            taken.append(1000.0 * cost.cpu_s)
        costs[name] = {
            "megapixels": pair.width * pair.height / 1e6,
            "core_ms": float(np.median(taken)),
            "tiles": len(tiles.centres),
            "rest_share": tiles.rest_share,
        }
    return costs


def measure_unrelated(stacks: Mapping[str, Sequence[Picture]]) -> dict[str, object]:
    """Agreement of all exposures of each stack, and of exposures of different stacks."""
    same = {
        f"{name} {first} {second}": measure_agreement(exposures[first], exposures[second])
        for name, exposures in stacks.items()
        for first in range(len(exposures))
        for second in range(first + 1, len(exposures))
    }
    rng, names = np.random.default_rng(SEED), sorted(stacks)
    different: list[float] = []
    while len(different) < UNRELATED_PAIRS:
        one, other = rng.choice(names, 2, replace=False)
        if one.partition("/")[2] != other.partition("/")[2]:
            first, second = (stacks[name][rng.integers(len(stacks[name]))] for name in (one, other))
            different.append(measure_agreement(first, second))
    known = {name: value for name, value in same.items() if not np.isnan(value)}
    return {
        "limit": AGREEMENT_LIMIT,
        "pairs_of_one_scene": len(same),
        "of_them_below_the_limit": sum(value < AGREEMENT_LIMIT for value in known.values()),
        "least_agreement": dict(sorted(known.items(), key=lambda item: item[1])[:8]),
        "pairs_of_different_scenes": len(different),
        "share_below_the_limit": float(np.mean(np.array(different) < AGREEMENT_LIMIT)),
    }


def read_sketches(data: Path) -> dict[str, list[Picture]]:
    """All stacks of all folders, reduced, each ordered from dark to bright."""
    stacks = {}
    for folder in STACK_FOLDERS:
        for item in sorted((data / folder).iterdir()):
            paths = [
                path
                for path in sorted(item.glob("*.*"))
                if not path.stem.startswith("peer") and not path.stem.endswith("static")
            ]
            exposures = [
                cv2.resize(
                    to_8_bit(read_picture(path)),
                    (SKETCH_SIDE_PX, SKETCH_SIDE_PX),
                    interpolation=cv2.INTER_AREA,
                )
                for path in paths
            ]
            if len(exposures) > 1:
                stacks[f"{folder}/{item.name}"] = sorted(
                    (np.asarray(exposure, np.uint8) for exposure in exposures),
                    key=lambda exposure: float(exposure.mean()),
                )
    return stacks


def main(argv: list[str] | None = None) -> None:
    """Measure, and write and print the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path, nargs="?", default=SHARED_DATA)
    parser.add_argument("--repeats", type=int, default=REPEATS, help="motions of each pair")
    parser.add_argument("--out", type=Path, default=DEFAULT_RESULT, help="result file")
    arguments = parser.parse_args(argv)
    pairs = {scene.name: read_exposures(scene) for scene in list_scenes(arguments.data / "eval")}
    large = {
        name: ExposureStack.from_images([exposures[0], exposures[-1]])
        for name, exposures in read_stacks(arguments.data / "highres")
    }
    own = {name: see_own_shift_px(pair) for name, pair in (pairs | large).items()}
    record: dict[str, object] = {
        "seed": SEED,
        "proxy_max_px": PROXY_MAX_PX,
        "wrong_above_px": WRONG_PX,
        "motion_of_eval": measure_motion(pairs, own, arguments.repeats),
        "sizes": measure_sizes(large, SIZE_ROUNDS),
        "motion_of_highres": measure_motion(large, own, arguments.repeats),
        "eval_at_rest": measure_rest(pairs, own),
        "rest_test": measure_rest_test(pairs | large, REST_ROUNDS),
        "unrelated": measure_unrelated(read_sketches(arguments.data)),
        "stacks": {
            f"{folder}/{name}": measure_stack(exposures)
            for folder in ("handheld", "brackets")
            for name, exposures in read_stacks(arguments.data / folder)
        },
    }
    write_record(arguments.out, record)


if __name__ == "__main__":
    main()
