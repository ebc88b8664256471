"""Draws a sheet for each scene on which methods are letters, and keeps the key to them."""

import random
import string
import sys
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from tqdm import tqdm

from expofuse.files.pixels import to_8_bit
from trainer.data.pixels import limit_side
from trainer.errors import DataError
from trainer.evaluation.blind.judgement import check_unjudged, write_template
from trainer.evaluation.pictures import Picture, read_picture, write_png
from trainer.evaluation.report.cells import (
    arrange_cells,
    draw_cell,
    fit_row,
    join_cells,
    stack_cells,
)
from trainer.evaluation.report.sheets import name_exposures, source_path
from trainer.evaluation.report.summary import read_summary
from trainer.evaluation.scoring import fused_path
from trainer.files import write_whole

KEY_NAME = "key.json"
SHEETS_FOLDER = "sheets"
LETTERS = string.ascii_uppercase[15:21]

EXPOSURE_SIDE_PX = 320
LARGE_SIDE_PX = 900
ROW_LENGTH = 3
"""Pictures beside each other; more stand in a second row, where a screen still shows them large."""

CROP_SIDE_PX = 400
REGIONS = 2
FRAME_COLOUR = (255, 80, 0)

Region = tuple[int, int, int]
"""Top, left and side of a square, in pixels of the full picture."""


class Key(BaseModel):
    """Which method each letter stands for.

    Attributes:
        dataset: Name of the evaluation set.
        seed: Seed of the orders.
        methods: The compared methods.
        letters: Method by letter, by scene.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    dataset: str
    seed: int
    methods: tuple[str, ...]
    letters: dict[str, dict[str, str]]


def write_comparison(
    evaluation: Path,
    out: Path,
    methods: Sequence[str],
    *,
    seed: int,
    scenes: Sequence[str] | None = None,
) -> Key:
    """Write the sheets, the key and the template of the judgement.

    Sheets go to `sheets/<scene>.png`, what they hide to `key.json`, and `judgement.csv` waits to be
    filled. A scene of which a method has no picture is left out, and named.

    Args:
        evaluation: Output folder of a finished evaluation with its report.
        out: Where to write.
        methods: Labels of its methods, two to six.
        seed: Decides the orders, see `draw_letters`.
        scenes: Names of the scenes, all by default.

    Returns:
        The key.

    Raises:
        DataError: A name is unknown, a picture is missing, or `out` holds a judgement already.
    """
    summary = read_summary(evaluation)
    _check_names("methods", methods, summary.methods)
    _check_names("scenes", scenes or (), summary.scenes)
    if not 2 <= len(methods) <= len(LETTERS):
        raise DataError(f"expected two to {len(LETTERS)} methods to compare, got {len(methods)}")
    check_unjudged(out)
    chosen = [scene for scene in summary.scenes if scenes is None or scene in scenes]
    lacking = {scene for label in methods for scene in summary.lacking.get(label, ())}
    shown = [scene for scene in chosen if scene not in lacking]
    for scene in (scene for scene in chosen if scene in lacking):
        sys.stderr.write(f"{scene}: left out, a method has no picture of it\n")
    letters = draw_letters(methods, shown, seed)
    for scene in tqdm(shown, unit="scene", desc="blind"):
        pictures = {
            key: _read(fused_path(evaluation, letters[scene][key], scene)) for key in letters[scene]
        }
        names = name_exposures(summary.count_exposures(scene))
        exposures = {name: _read(source_path(evaluation, name, scene)) for name in names}
        write_png(out / SHEETS_FOLDER / f"{scene}.png", draw_sheet(exposures, pictures))
    key = Key(dataset=summary.dataset, seed=seed, methods=tuple(methods), letters=letters)
    write_whole(out / KEY_NAME, key.model_dump_json(indent=1) + "\n")
    write_template(out, shown)
    return key


def read_key(folder: Path) -> Key:
    """Read the key of a comparison.

    Raises:
        DataError: There is none, or it is not one of this version.
    """
    try:
        return Key.model_validate_json((folder / KEY_NAME).read_bytes())
    except (OSError, ValidationError) as cause:
        raise DataError(f"expected {KEY_NAME} of a blind comparison in '{folder.name}'") from cause


def draw_letters(
    methods: Sequence[str], scenes: Sequence[str], seed: int
) -> dict[str, dict[str, str]]:
    """Draw which method each letter stands for on the sheets of the scenes.

    Of every so many scenes as there are methods, in an order that is drawn too, each method has
    each letter once: who likes the picture on the left best does not decide the comparison.

    Returns:
        Method by letter, by scene.

    Example:
        >>> letters = draw_letters(["ours", "theirs"], ["desk", "door"], 1)
        >>> sorted(of_scene["P"] for of_scene in letters.values())
        ['ours', 'theirs']
    """
    drawn, order = random.Random(seed), sorted(scenes)
    drawn.shuffle(order)
    letters = {}
    for start in range(0, len(order), len(methods)):
        names = sorted(methods)
        drawn.shuffle(names)
        for turn, scene in enumerate(order[start : start + len(methods)]):
            letters[scene] = dict(zip(LETTERS, names[turn:] + names[:turn], strict=False))
    return {scene: letters[scene] for scene in scenes}


def draw_sheet(exposures: Mapping[str, Picture], pictures: Mapping[str, Picture]) -> Picture:
    """One sheet: exposures small, pictures large, and crops of where they differ, unscaled.

    Args:
        exposures: The exposures by name, dark to bright.
        pictures: The compared pictures by letter, all of one size.

    Returns:
        The sheet. The frames on the exposures show where the crops are from.
    """
    regions = find_regions(list(pictures.values()))
    columns = [
        stack_cells(
            [
                draw_cell(to_8_bit(limit_side(picture, LARGE_SIDE_PX)), letter),
                join_cells([_cut(picture, *one) for one in enumerate(regions, start=1)]),
            ]
        )
        for letter, picture in pictures.items()
    ]
    compared = arrange_cells(columns, ROW_LENGTH)
    width_px = max(compared.shape[1], min(len(pictures), ROW_LENGTH) * LARGE_SIDE_PX)
    side_px = fit_row(len(exposures), width_px=width_px, most_px=EXPOSURE_SIDE_PX)
    top = [_frame(picture, regions, name, side_px) for name, picture in exposures.items()]
    return stack_cells([join_cells(top), compared])


def find_regions(pictures: Sequence[Picture]) -> list[Region]:
    """Find the squares in which pictures differ most, at most `REGIONS` of them, apart.

    The difference of two pictures is the mean absolute one over channels, of several the largest
    of any two; a square has the mean of it. Squares do not overlap.

    Args:
        pictures: Two or more of one size.

    Returns:
        The squares, most different first; fewer where the picture has no room for more.
    """
    height, width = pictures[0].shape[:2]
    # A third of the longer side: there is room for a second square wherever the first one lies.
    side = max(1, min(CROP_SIDE_PX, min(height, width) // 2, max(height, width) // 3))
    difference = np.zeros((height, width), np.float32)
    for one, other in combinations(pictures, 2):
        of_both = cv2.absdiff(one, other).mean(axis=2, dtype=np.float32)
        difference = np.maximum(difference, of_both)
    sums = cv2.boxFilter(difference, cv2.CV_32F, (side, side), anchor=(0, 0))
    left = np.array(sums[: height - side + 1, : width - side + 1])
    regions: list[Region] = []
    while len(regions) < REGIONS and left.max() >= 0:
        row, column = (int(one) for one in np.unravel_index(left.argmax(), left.shape))
        regions.append((row, column, side))
        left[max(0, row - side + 1) : row + side, max(0, column - side + 1) : column + side] = -1
    return regions


def _check_names(
    what: str, asked: Sequence[str], known: Mapping[str, object] | Sequence[str]
) -> None:
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise DataError(f"expected {what} of the evaluation, got {', '.join(unknown)}")
    if len(set(asked)) < len(asked):
        raise DataError(f"expected each of the {what} once, got {', '.join(asked)}")


def _read(path: Path) -> Picture:
    try:
        return to_8_bit(read_picture(path))
    except FileNotFoundError as cause:
        raise DataError(
            f"expected the picture '{path.parent.name}/{path.name}' in the evaluation, found none; "
            "evaluate again, without --no-report"
        ) from cause


def _frame(picture: Picture, regions: Sequence[Region], label: str, side_px: int) -> Picture:
    """A small picture with the regions drawn into it and numbered."""
    small = np.array(limit_side(picture, side_px))
    scale = small.shape[0] / picture.shape[0]
    for number, (top, left, side) in enumerate(regions, start=1):
        corner, far = (
            (round(x * scale), round(y * scale))
            for x, y in ((left, top), (left + side, top + side))
        )
        cv2.rectangle(small, corner, far, FRAME_COLOUR, 1)
        origin = (corner[0] + 3, corner[1] + 14)
        cv2.putText(small, str(number), origin, cv2.FONT_HERSHEY_SIMPLEX, 0.45, FRAME_COLOUR, 1)
    return draw_cell(to_8_bit(small), label)


def _cut(picture: Picture, number: int, region: Region) -> Picture:
    top, left, side = region
    return draw_cell(picture[top : top + side, left : left + side], str(number))
