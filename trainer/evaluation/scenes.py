"""Lists the scenes of an evaluation set, and decodes their exposures when they are needed."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from expofuse.files.pixels import to_8_bit
from model.alignment.stack import align_stack
from model.exposure import (
    MAX_EXPOSURES,
    MIN_EXPOSURES,
    AlignmentReport,
    ExposureStack,
    Pixels,
    StackAlignment,
)
from model.run import prepare_motions
from model.tiling import Rect
from model.warp import warp_pixels
from trainer.data.pixels import limit_side
from trainer.errors import DataError
from trainer.evaluation.pictures import SUFFIXES, Picture, read_picture
from trainer.metrics import rgb_to_grey

PEERS_FOLDER = "peers"

ExposureChoice = Literal["all", "ends"]
"""Which exposures of a scene are fused and compared with: all, or the darkest and the brightest."""


@dataclass(frozen=True, slots=True)
class EvaluationScene:
    """One scene of an evaluation set; nothing is decoded yet.

    Attributes:
        name: Name of its folder.
        exposure_paths: Its exposures, two to nine, in the order of their names.
        peer_paths: Fused pictures of other people's methods, by method.
        problem: Why the folder holds no scene; None when it does.
    """

    name: str
    exposure_paths: tuple[Path, ...]
    peer_paths: Mapping[str, Path] = field(default_factory=dict)
    problem: str | None = None


def list_scenes(folder: Path) -> list[EvaluationScene]:
    """List the scenes of a folder, a sub-folder each.

    A sub-folder holds `under.*` and `over.*`, or a stack of two to nine `00.jpg`, `01.jpg`, ... in
    any order; in both cases `peers/<method>.*` may lie beside them.

    Args:
        folder: The evaluation set.

    Returns:
        The scenes by name; one that cannot be used says why in `problem`.

    Raises:
        DataError: The folder does not exist or has no sub-folder.
    """
    if not folder.is_dir():
        raise DataError(f"expected a folder of scenes, found none named '{folder.name}'")
    scenes = [
        _list_scene(item)
        for item in sorted(folder.iterdir())
        if item.is_dir() and not item.name.startswith(".")
    ]
    if not scenes:
        raise DataError(f"expected a sub-folder for each scene in '{folder.name}', found none")
    return scenes


def read_exposures(
    scene: EvaluationScene,
    *,
    choice: ExposureChoice = "all",
    max_side_px: int | None = None,
) -> ExposureStack:
    """Decode the exposures of a scene.

    Args:
        scene: A scene of `list_scenes`.
        choice: Which of them are kept.
        max_side_px: They are reduced by area averaging until no side is longer.

    Returns:
        The exposures, dark to bright as the service orders them.

    Raises:
        DataError: The scene has a problem, or a file cannot be decoded.
        ExposureError: The exposures differ in size or are too small.
    """
    if scene.problem is not None:
        raise DataError(scene.problem)
    stack = ExposureStack.from_images([read_picture(path) for path in scene.exposure_paths])
    if choice == "ends":
        stack = ExposureStack.from_images([stack.darkest, stack.brightest])
    if max_side_px is None:
        return stack
    return ExposureStack.from_images([limit_side(one, max_side_px) for one in stack.exposures])


class Sources:
    """The exposures of one scene while it is evaluated; each thing is computed once, when needed.

    Args:
        scene: The scene.
        choice: See `read_exposures`.
        max_side_px: See there.
    """

    def __init__(
        self,
        scene: EvaluationScene,
        *,
        choice: ExposureChoice = "all",
        max_side_px: int | None = None,
    ) -> None:
        self.scene = scene
        self._choice = choice
        self._max_side_px = max_side_px
        self._alignments: dict[tuple[int, int], tuple[AlignmentReport | None, ...]] = {}

    @cached_property
    def fingerprint(self) -> str:
        """Content hash of the exposures' files, of their choice and of their reduction."""
        digest = hashlib.sha256(f"{self._choice} {self._max_side_px}".encode())
        for path in self.scene.exposure_paths:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    @cached_property
    def exposures(self) -> ExposureStack:
        """The decoded exposures; see `read_exposures` for what it may raise."""
        return read_exposures(self.scene, choice=self._choice, max_side_px=self._max_side_px)

    @cached_property
    def greys(self) -> tuple[NDArray[np.uint8], ...]:
        """The exposures as the metrics take them: grey, 8 bit, dark to bright."""
        return tuple(rgb_to_grey(picture) for picture in self.pictures)

    @cached_property
    def pictures(self) -> tuple[Picture, ...]:
        """The exposures in colour, 8 bit, dark to bright."""
        return tuple(to_8_bit(exposure) for exposure in self.exposures.exposures)

    @cached_property
    def greys_hash(self) -> str:
        """Content hash of what the metrics take of the exposures."""
        digest = hashlib.sha256()
        for grey in self.greys:
            digest.update(f"{grey.shape}".encode() + grey.tobytes())
        return digest.hexdigest()

    def find_alignment(
        self, exposures: Sequence[Pixels], reference: int
    ) -> tuple[AlignmentReport | None, ...]:
        """The alignment of these exposures, for `align_as_asked`; found once for all methods."""
        key = (len(exposures), reference)
        if key not in self._alignments:
            self._alignments[key] = align_stack(exposures, reference=reference)
        return self._alignments[key]

    def move(self, reference: int) -> ExposureStack:
        """The exposures as the service lays them on one of them: those that move, warped.

        Args:
            reference: Index of the exposure that stays where it is.
        """
        stack = self.exposures
        reports = self.find_alignment(stack.exposures, reference)
        motions = prepare_motions(stack, StackAlignment(reference, reports))
        if all(motion is None for motion in motions):
            return stack
        whole = Rect(0, 0, stack.height, stack.width)
        moved = tuple(
            pixels if motion is None else warp_pixels(pixels, motion, whole)
            for pixels, motion in zip(stack.exposures, motions, strict=True)
        )
        return replace(stack, exposures=moved)


def to_grey(pixels: Pixels) -> NDArray[np.uint8]:
    """RGB pixels to the 8-bit grey of the metrics."""
    return rgb_to_grey(to_8_bit(pixels))


def _list_scene(folder: Path) -> EvaluationScene:
    pictures = _list_pictures(folder)
    peers = {path.stem: path for path in _list_pictures(folder / PEERS_FOLDER)}
    named = {stem: [path for path in pictures if path.stem == stem] for stem in ("under", "over")}
    if all(len(paths) == 1 for paths in named.values()):
        return EvaluationScene(folder.name, (named["under"][0], named["over"][0]), peers)
    stack = tuple(path for path in pictures if path.stem.isdecimal())
    if not any(named.values()) and MIN_EXPOSURES <= len(stack) <= MAX_EXPOSURES:
        return EvaluationScene(folder.name, stack, peers)
    found = f"{len(named['under'])} under, {len(named['over'])} over, {len(stack)} numbered"
    problem = (
        "expected one under.* and one over.*, or a stack 00.*, 01.*, ... of "
        f"{MIN_EXPOSURES} to {MAX_EXPOSURES}; found {found}"
    )
    return EvaluationScene(folder.name, (), peers, problem)


def _list_pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES]
