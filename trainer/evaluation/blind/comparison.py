"""Draws a sheet for each pair on which methods are letters, and keeps the key to them."""

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

from expofuse.files.images import to_8_bit
from trainer.data.pixels import limit_side
from trainer.errors import DataError
from trainer.evaluation.blind.judgement import check_unjudged, write_template
from trainer.evaluation.pictures import Picture, read_picture, write_png
from trainer.evaluation.report.sheets import EXPOSURES, GAP_PX, WHITE, draw_cell, source_path
from trainer.evaluation.report.summary import read_summary
from trainer.evaluation.scoring import fused_path
from trainer.files import write_whole

KEY_NAME = "key.json"
SHEETS_FOLDER = "sheets"
LETTERS = string.ascii_uppercase[15:21]

EXPOSURE_SIDE_PX = 320
LARGE_SIDE_PX = 900
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
        letters: Method by letter, by pair.
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
    pairs: Sequence[str] | None = None,
) -> Key:
    """Write the sheets, the key and the template of the judgement.

    Sheets go to `sheets/<pair>.png`, what they hide to `key.json`, and `judgement.csv` waits to be
    filled. A pair of which a method has no picture is left out, and named.

    Args:
        evaluation: Output folder of a finished evaluation with its report.
        out: Where to write.
        methods: Labels of its methods, two to six.
        seed: Decides the orders, see `draw_letters`.
        pairs: Names of the pairs, all by default.

    Returns:
        The key.

    Raises:
        DataError: A name is unknown, a picture is missing, or `out` holds a judgement already.
    """
    summary = read_summary(evaluation)
    _check_names("methods", methods, summary.methods)
    _check_names("pairs", pairs or (), summary.pairs)
    if not 2 <= len(methods) <= len(LETTERS):
        raise DataError(f"expected two to {len(LETTERS)} methods to compare, got {len(methods)}")
    check_unjudged(out)
    chosen = [pair for pair in summary.pairs if pairs is None or pair in pairs]
    lacking = {pair for label in methods for pair in summary.lacking.get(label, ())}
    shown = [pair for pair in chosen if pair not in lacking]
    for pair in (pair for pair in chosen if pair in lacking):
        sys.stderr.write(f"{pair}: left out, a method has no picture of it\n")
    letters = draw_letters(methods, shown, seed)
    for pair in tqdm(shown, unit="pair", desc="blind"):
        pictures = {
            key: _read(fused_path(evaluation, letters[pair][key], pair)) for key in letters[pair]
        }
        exposures = {name: _read(source_path(evaluation, name, pair)) for name in EXPOSURES}
        write_png(out / SHEETS_FOLDER / f"{pair}.png", draw_sheet(exposures, pictures))
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
    methods: Sequence[str], pairs: Sequence[str], seed: int
) -> dict[str, dict[str, str]]:
    """Draw which method each letter stands for on the sheets of the pairs.

    Of every so many pairs as there are methods, in an order that is drawn too, each method has
    each letter once: who likes the picture on the left best does not decide the comparison.

    Returns:
        Method by letter, by pair.

    Example:
        >>> letters = draw_letters(["ours", "theirs"], ["desk", "door"], 1)
        >>> sorted(of_pair["P"] for of_pair in letters.values())
        ['ours', 'theirs']
    """
    drawn, order = random.Random(seed), sorted(pairs)
    drawn.shuffle(order)
    letters = {}
    for start in range(0, len(order), len(methods)):
        names = sorted(methods)
        drawn.shuffle(names)
        for turn, pair in enumerate(order[start : start + len(methods)]):
            letters[pair] = dict(zip(LETTERS, names[turn:] + names[:turn], strict=False))
    return {pair: letters[pair] for pair in pairs}


def draw_sheet(exposures: Mapping[str, Picture], pictures: Mapping[str, Picture]) -> Picture:
    """One sheet: exposures small, pictures large, and crops of where they differ, unscaled.

    Args:
        exposures: Under and over by name.
        pictures: The compared pictures by letter, all of one size.

    Returns:
        The sheet. The frames on the exposures show where the crops are from.
    """
    regions = find_regions(list(pictures.values()))
    top = [_frame(picture, regions, name) for name, picture in exposures.items()]
    columns = [
        _stack(
            [
                draw_cell(to_8_bit(limit_side(picture, LARGE_SIDE_PX)), letter),
                _join([_cut(picture, *one) for one in enumerate(regions, start=1)]),
            ]
        )
        for letter, picture in pictures.items()
    ]
    return _stack([_join(top), _join(columns)])


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


def _frame(picture: Picture, regions: Sequence[Region], label: str) -> Picture:
    """A small picture with the regions drawn into it and numbered."""
    small = np.array(limit_side(picture, EXPOSURE_SIDE_PX))
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


def _join(cells: Sequence[Picture]) -> Picture:
    """Put cells side by side, aligned at their tops, on white."""
    height = max(cell.shape[0] for cell in cells)
    width = sum(cell.shape[1] + GAP_PX for cell in cells) - GAP_PX
    row = np.full((height, width, 3), WHITE, np.uint8)
    left = 0
    for cell in cells:
        row[: cell.shape[0], left : left + cell.shape[1]] = cell
        left += cell.shape[1] + GAP_PX
    return row


def _stack(cells: Sequence[Picture]) -> Picture:
    """Put cells below each other, aligned at their left, on white."""
    turned = _join([cell.transpose(1, 0, 2) for cell in cells])
    return np.ascontiguousarray(turned.transpose(1, 0, 2))
