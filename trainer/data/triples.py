"""Triples of lightness or of colour for training, deterministic under a seed.

The triple of a step depends on the seed and the step alone, never on what was drawn before, so
that a resumed run sees what an uninterrupted one would have seen.
"""

import csv
import json
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from model.manifest import DataSource
from trainer.config import DataConfig
from trainer.data.camera import (
    expose,
    find_correct_gain,
    rgb_to_lightness,
    rgb_to_luma,
    sample_camera,
)
from trainer.data.motion import move_between
from trainer.data.panorama import read_panorama, render_view, sample_view
from trainer.data.stacks import PhotographedStack, Triple, read_stack
from trainer.errors import DataError

KEPT_BYTES = 4 * 2**30
"""Decoded photographs held in memory; the stacks beyond it are read again at each draw."""

FULL_SCALE = 255.0


class TripleDataset(Dataset[Tensor]):
    """Under, correct and over exposure of one scene, for each step of a run.

    Args:
        root: Folder with `manifest.csv` and what it names: panoramas, stacks, or both. Without
            panoramas every triple is a photographed one, whatever `stack_share` says.
        config: What to draw.
        seed: Seed of the run.
        length: Steps of the run times its batch size.

    Raises:
        DataError: There is nothing to draw from, a file is broken, a stack is smaller than a crop,
            or a licence is not among those that the config accepts.
    """

    def __init__(self, root: Path, config: DataConfig, *, seed: int, length: int) -> None:
        self._config = config
        self._seed = seed
        self._length = length
        self.sources = _read_sources(root, config.licences)
        self._panoramas = [
            read_panorama(root / source.name) for source in self.sources if source.kind == "hdri"
        ]
        directories = [root / source.name for source in self.sources if source.kind == "stack"]
        self._photographed = _read_triples(directories, config)
        if not self._panoramas and not self._photographed:
            raise DataError(
                "expected an HDR panorama, or a stack with a correct exposure and one on either "
                "side of it, in the training data; found none"
            )

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Tensor:
        """The triple of one step.

        Returns:
            L*, 0..100, in the order under, correct, over, shape (3, 1, S, S), float32; or
            sRGB-coded RGB, 0..1, shape (3, 3, S, S), float32.
        """
        rng = np.random.default_rng((self._seed, index))
        if not self._panoramas or (self._photographed and rng.random() < self._config.stack_share):
            pictures = self._photograph(rng)
        else:
            pictures = self._render(rng)
        if rng.random() < 0.5:
            pictures = [picture[:, ::-1] for picture in pictures]
        if self._config.motion and rng.random() < self._config.motion:
            pictures = move_between(pictures, rng)
        if self._config.lightness == "rgb":
            colours = np.stack(pictures).transpose(0, 3, 1, 2)
            return torch.from_numpy(np.ascontiguousarray(colours)).float() / FULL_SCALE
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
        stack, triple = self._photographed[int(rng.integers(len(self._photographed)))]
        height, width = stack.height, stack.width
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
                stack.read(index)[rows, columns], size, interpolation=cv2.INTER_LINEAR
            ).astype(np.uint8, copy=False)
            for index in triple
        ]


def check_licences(sources: Iterable[DataSource], licences: tuple[str, ...]) -> None:
    """See that the config accepts every licence.

    Args:
        sources: What is trained on, or was by the weights that the run starts from.
        licences: Beginnings of the licences that are accepted.

    Raises:
        DataError: One is not among them.
    """
    for source in sources:
        if not source.licence.startswith(licences):
            consent = json.dumps([*licences, source.licence], ensure_ascii=False)
            raise DataError(
                f"expected a licence of {', '.join(licences)} for training data, "
                f"'{source.name}' has '{source.licence}'; to train on it all the same: "
                f"--set 'data.licences={consent}'"
            )


def _read_sources(root: Path, licences: tuple[str, ...]) -> tuple[DataSource, ...]:
    """Every item that the manifest releases for training, with its licence."""
    try:
        text = (root / "manifest.csv").read_text(encoding="utf-8")
    except OSError as cause:
        raise DataError("expected manifest.csv in the data folder, found none") from cause
    sources = tuple(
        DataSource(name=row["path"], kind=row["kind"], licence=row["licence"], source=row["source"])
        for row in csv.DictReader(text.splitlines())
        if row["use"] == "train"
    )
    check_licences(sources, licences)
    return sources


def _read_triples(
    directories: Iterable[Path], config: DataConfig
) -> list[tuple[PhotographedStack, Triple]]:
    """Every triple of the stacks, whose pixels are kept as far as `KEPT_BYTES` reach."""
    triples: list[tuple[PhotographedStack, Triple]] = []
    kept_bytes = 0
    for directory in tqdm(directories, desc="reading stacks", unit="stack", delay=2):
        stack = read_stack(directory, keep=kept_bytes < KEPT_BYTES)
        kept_bytes += sum(image.nbytes for image in stack.images)
        if config.resize == "crop" and min(stack.height, stack.width) < config.side_px:
            raise DataError(
                f"expected stacks of at least {config.side_px} pixels a side (data.side_px), "
                f"'{directory.name}' has {stack.width}x{stack.height}"
            )
        triples += [(stack, triple) for triple in stack.triples]
    return triples
