"""Triples of lightness for training, deterministic under a seed.

The triple of a step depends on the seed and the step alone, never on what was drawn before, so
that a resumed run sees what an uninterrupted one would have seen.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from model.manifest import DataSource
from trainer.config import DataConfig
from trainer.data.camera import (
    expose,
    find_correct_gain,
    rgb_to_lightness,
    rgb_to_luma,
    sample_camera,
)
from trainer.data.panorama import read_panorama, render_view, sample_view
from trainer.errors import DataError

MID_TONE_LIGHTNESS = (35.0, 68.0)
"""Mean L* between which a photographed exposure passes as the correct one."""

CLEAN_LICENCES = ("CC0", "MIT", "Apache-2.0")


@dataclass(frozen=True, slots=True)
class PhotographedTriple:
    """Three exposures of one photographed stack, as indices into its images."""

    images: tuple[NDArray[np.uint8], ...]
    under: int
    correct: int
    over: int


class TripleDataset(Dataset[Tensor]):
    """Under, correct and over lightness of one scene, for each step of a run.

    Args:
        root: Folder with `hdri/`, `stacks/` and `manifest.csv`.
        config: What to draw.
        seed: Seed of the run.
        length: Steps of the run times its batch size.

    Raises:
        DataError: There is no panorama, a file is broken, or a licence is not clean.
    """

    def __init__(self, root: Path, config: DataConfig, *, seed: int, length: int) -> None:
        self._config = config
        self._seed = seed
        self._length = length
        self.sources = _clean_sources(root)
        self._panoramas = [
            read_panorama(root / source.name) for source in self.sources if source.kind == "hdri"
        ]
        if not self._panoramas:
            raise DataError("expected at least one HDR panorama in the training data, found none")
        self._photographed = [
            triple
            for source in self.sources
            if source.kind == "stack"
            for triple in _read_stack(root / source.name)
        ]

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Tensor:
        """Lightness of the triple of one step.

        Returns:
            L*, 0..100, in the order under, correct, over. Shape (3, 1, S, S), float32.
        """
        rng = np.random.default_rng((self._seed, index))
        if self._photographed and rng.random() < self._config.stack_share:
            pictures = self._photograph(rng)
        else:
            pictures = self._render(rng)
        if rng.random() < 0.5:
            pictures = [picture[:, ::-1] for picture in pictures]
        to_plane = rgb_to_lightness if self._config.lightness == "cielab" else rgb_to_luma
        planes = [to_plane(picture) for picture in pictures]
        return torch.from_numpy(np.stack(planes))[:, None]

    def _render(self, rng: np.random.Generator) -> list[NDArray[np.uint8]]:
        config = self._config
        panorama = self._panoramas[int(rng.integers(len(self._panoramas)))]
        view = sample_view(rng, config.field_of_view_deg)
        radiance = render_view(panorama, view, config.side_px, sampling=config.sampling)
        camera = sample_camera(rng)
        target = float(rng.uniform(*config.correct_lightness))
        correct = find_correct_gain(radiance, target, camera)
        gaps_ev = rng.uniform(*config.gap_ev, size=2)
        gains = (correct * 2.0 ** -gaps_ev[0], correct, correct * 2.0 ** gaps_ev[1])
        return [expose(radiance, float(gain), camera, rng) for gain in gains]

    def _photograph(self, rng: np.random.Generator) -> list[NDArray[np.uint8]]:
        triple = self._photographed[int(rng.integers(len(self._photographed)))]
        height, width = triple.images[0].shape[:2]
        rows, columns = slice(0, height), slice(0, width)
        if self._config.resize == "crop":
            side = int(rng.uniform(self._config.side_px, min(height, width)))
            top = int(rng.integers(height - side + 1))
            left = int(rng.integers(width - side + 1))
            rows, columns = slice(top, top + side), slice(left, left + side)
        size = (self._config.side_px, self._config.side_px)
        # Bilinear without area averaging: the planes keep the sharpness of photographs.
        return [
            cv2.resize(
                triple.images[index][rows, columns], size, interpolation=cv2.INTER_LINEAR
            ).astype(np.uint8, copy=False)
            for index in (triple.under, triple.correct, triple.over)
        ]


def _clean_sources(root: Path) -> tuple[DataSource, ...]:
    """Every item that the manifest releases for training, with its licence."""
    try:
        text = (root / "manifest.csv").read_text(encoding="utf-8")
    except OSError as cause:
        raise DataError("expected manifest.csv in the data folder, found none") from cause
    rows = [row for row in csv.DictReader(text.splitlines()) if row["use"] == "train"]
    for row in rows:
        if not row["licence"].startswith(CLEAN_LICENCES):
            raise DataError(
                f"expected a licence of {', '.join(CLEAN_LICENCES)} for training data, "
                f"'{row['path']}' has '{row['licence']}'"
            )
    return tuple(
        DataSource(name=row["path"], kind=row["kind"], licence=row["licence"], source=row["source"])
        for row in rows
    )


def _read_stack(directory: Path) -> list[PhotographedTriple]:
    """Every (under, correct, over) of a stack whose middle passes as correctly exposed."""
    paths = sorted(directory.glob("*.jpg"))
    read = [cv2.imread(str(path), cv2.IMREAD_COLOR) for path in paths]
    if not read or any(image is None for image in read):
        raise DataError(f"expected readable exposures in the stack '{directory.name}'")
    images = tuple(
        np.ascontiguousarray(image[..., ::-1]).astype(np.uint8, copy=False)
        for image in read
        if image is not None
    )
    lightness = [float(rgb_to_lightness(image).mean()) for image in images]
    order = sorted(range(len(images)), key=lightness.__getitem__)
    low, high = MID_TONE_LIGHTNESS
    return [
        PhotographedTriple(images, under, correct, over)
        for middle, correct in enumerate(order)
        if low <= lightness[correct] <= high
        for under in order[:middle]
        for over in order[middle + 1 :]
    ]
