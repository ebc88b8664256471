"""Lists the pairs of an evaluation set, and decodes their exposures when they are needed."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from expofuse.files.images import to_8_bit
from model.alignment.stack import align_stack
from model.exposure import AlignmentReport, ExposureStack, Pixels, Reference, StackAlignment
from model.run import prepare_motions
from model.selection import choose_reference
from model.tiling import Rect
from model.warp import warp_pixels
from trainer.data.pixels import limit_side
from trainer.errors import DataError
from trainer.evaluation.pictures import (
    SUFFIXES,
    Picture,
    mean_lightness,
    read_picture,
)
from trainer.metrics import rgb_to_grey

PEERS_FOLDER = "peers"
LIGHTNESS_SIDE_PX = 512
"""Stacks are ordered by the mean lightness of exposures reduced to this side."""


@dataclass(frozen=True, slots=True)
class EvaluationPair:
    """One scene of an evaluation set; nothing is decoded yet.

    Attributes:
        name: Name of its folder.
        exposure_paths: Its exposures: two, or a stack of which darkest and brightest are taken.
        peer_paths: Fused pictures of other people's methods, by method.
        problem: Why the folder holds no pair; None when it does.
    """

    name: str
    exposure_paths: tuple[Path, ...]
    peer_paths: Mapping[str, Path] = field(default_factory=dict)
    problem: str | None = None


def list_pairs(folder: Path) -> list[EvaluationPair]:
    """List the scenes of a folder, a sub-folder each.

    A sub-folder holds `under.*` and `over.*`, or a stack `00.jpg`, `01.jpg`, ...; in both cases
    `peers/<method>.*` may lie beside them.

    Args:
        folder: The evaluation set.

    Returns:
        The scenes by name; one that cannot be used says why in `problem`.

    Raises:
        DataError: The folder does not exist or has no sub-folder.
    """
    if not folder.is_dir():
        raise DataError(f"expected a folder of pairs, found none named '{folder.name}'")
    scenes = [
        _list_pair(item)
        for item in sorted(folder.iterdir())
        if item.is_dir() and not item.name.startswith(".")
    ]
    if not scenes:
        raise DataError(f"expected a sub-folder for each pair in '{folder.name}', found none")
    return scenes


def read_exposures(pair: EvaluationPair, *, max_side_px: int | None = None) -> ExposureStack:
    """Decode a pair, or the darkest and the brightest exposure of a stack by mean lightness.

    Args:
        pair: A scene of `list_pairs`.
        max_side_px: Both exposures are reduced by area averaging until no side is longer.

    Returns:
        The exposures, darker first.

    Raises:
        DataError: The scene has a problem, or a file cannot be decoded.
        ExposureError: The exposures differ in size or are too small.
    """
    if pair.problem is not None:
        raise DataError(pair.problem)
    both = ExposureStack.from_images(_choose(pair.exposure_paths))
    if max_side_px is None:
        return both
    return ExposureStack.from_images([limit_side(one, max_side_px) for one in both.exposures])


class Sources:
    """The exposures of one pair while it is evaluated; each thing is computed once, when needed.

    Args:
        pair: The scene.
        max_side_px: See `read_exposures`.
    """

    def __init__(self, pair: EvaluationPair, *, max_side_px: int | None = None) -> None:
        self.pair = pair
        self._max_side_px = max_side_px
        self._alignments: dict[tuple[int, int], tuple[AlignmentReport | None, ...]] = {}

    @cached_property
    def fingerprint(self) -> str:
        """Content hash of the exposures' files and of their reduction."""
        digest = hashlib.sha256(f"{self._max_side_px}".encode())
        for path in self.pair.exposure_paths:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    @cached_property
    def exposures(self) -> ExposureStack:
        """The decoded pair; see `read_exposures` for what it may raise."""
        return read_exposures(self.pair, max_side_px=self._max_side_px)

    @cached_property
    def greys(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Under and over as the metrics take them: grey, 8 bit."""
        return to_grey(self.exposures.darkest), to_grey(self.exposures.brightest)

    @cached_property
    def pictures(self) -> tuple[Picture, Picture]:
        """Under and over in colour, 8 bit."""
        return to_8_bit(self.exposures.darkest), to_8_bit(self.exposures.brightest)

    @cached_property
    def greys_hash(self) -> str:
        """Content hash of what the metrics take of the exposures."""
        digest = hashlib.sha256()
        for grey in self.greys:
            digest.update(f"{grey.shape}".encode() + grey.tobytes())
        return digest.hexdigest()

    def load(self) -> None:
        """Decode the exposures now, so that a bad pair fails before any method does."""
        _ = self.exposures

    def find_alignment(
        self, exposures: Sequence[Pixels], reference: int
    ) -> tuple[AlignmentReport | None, ...]:
        """The alignment of these exposures, for `align_as_asked`; found once for all methods."""
        key = (len(exposures), reference)
        if key not in self._alignments:
            self._alignments[key] = align_stack(exposures, reference=reference)
        return self._alignments[key]

    def move(self, reference: Reference) -> ExposureStack:
        """The exposures as the service lays them on each other: those that move, warped."""
        stack = self.exposures
        index = choose_reference(stack, default=reference)
        reports = self.find_alignment(stack.exposures, index)
        motions = prepare_motions(stack, StackAlignment(index, reports))
        if all(motion is None for motion in motions):
            return stack
        whole = Rect(0, 0, stack.height, stack.width)
        moved = tuple(
            pixels
            if motion is None
            else warp_pixels(pixels, motion, whole, device=torch.device("cpu"))
            for pixels, motion in zip(stack.exposures, motions, strict=True)
        )
        return replace(stack, exposures=moved)


def to_grey(pixels: Pixels) -> NDArray[np.uint8]:
    """RGB pixels to the 8-bit grey of the metrics."""
    return rgb_to_grey(to_8_bit(pixels))


def _choose(paths: tuple[Path, ...]) -> tuple[Pixels, Pixels]:
    """Both exposures of a pair, or the darkest and the brightest of a stack."""
    if len(paths) == 2:
        return read_picture(paths[0]), read_picture(paths[1])
    levels = [
        mean_lightness(to_8_bit(limit_side(read_picture(path), LIGHTNESS_SIDE_PX)))
        for path in paths
    ]
    darkest, brightest = int(np.argmin(levels)), int(np.argmax(levels))
    return read_picture(paths[darkest]), read_picture(paths[brightest])


def _list_pair(folder: Path) -> EvaluationPair:
    pictures = _list_pictures(folder)
    peers = {path.stem: path for path in _list_pictures(folder / PEERS_FOLDER)}
    named = {stem: [path for path in pictures if path.stem == stem] for stem in ("under", "over")}
    if all(len(paths) == 1 for paths in named.values()):
        return EvaluationPair(folder.name, (named["under"][0], named["over"][0]), peers)
    stack = tuple(path for path in pictures if path.stem.isdecimal())
    if not any(named.values()) and len(stack) >= 2:
        return EvaluationPair(folder.name, stack, peers)
    found = f"{len(named['under'])} under, {len(named['over'])} over, {len(stack)} numbered"
    problem = f"expected one under.* and one over.*, or a stack 00.*, 01.*, ...; found {found}"
    return EvaluationPair(folder.name, (), peers, problem)


def _list_pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES]
