"""Exposures of lightness or of colour for training, deterministic under a seed.

The samples of a step depend on the seed and the step alone, never on what was drawn before, so
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
    colour_light,
    expose,
    find_correct_gain,
    rgb_to_lightness,
    rgb_to_luma,
    sample_camera,
)
from trainer.data.lamps import add_lamps
from trainer.data.motion import move_between
from trainer.data.panorama import read_panorama, render_view, sample_view
from trainer.data.replacement import replace_region
from trainer.data.stacks import PhotographedStack, Triple, read_stack
from trainer.data.tone_curve import apply_tone_curve
from trainer.errors import DataError

KEPT_BYTES = 4 * 2**30
"""Decoded photographs held in memory; the stacks beyond it are read again at each draw."""

FULL_SCALE = 255.0
COUNT_STREAM = 1
"""Stream of random numbers that belongs to a step, apart from those of its samples."""

SPACING = 0.3
"""By so much of their distance exposures lie off an even spacing."""

Picture = NDArray[np.uint8]


def count_exposures(config: DataConfig, seed: int, step: int) -> int:
    """How many exposures the samples of a step have: half of the steps have the fewest."""
    fewest, most = config.exposures
    rng = np.random.default_rng((seed, step, COUNT_STREAM))
    if fewest == most or rng.random() < 0.5:
        return fewest
    return int(rng.integers(fewest + 1, most, endpoint=True))


class TripleDataset(Dataset[Tensor]):
    """Exposures of one scene, for each step of a run: the darkest, a correct one, the brightest.

    Args:
        root: Folder with `manifest.csv` and what it names: panoramas, stacks, or both. Without
            panoramas every sample is a photographed one, whatever `stack_share` says.
        config: What to draw.
        seed: Seed of the run.
        length: Steps of the run times its batch size.
        batch: Samples of a step, which have the same number of exposures.

    Raises:
        DataError: There is nothing to draw from, a file is broken, a stack is smaller than a crop,
            or a licence is not among those that the config accepts.
    """

    def __init__(
        self, root: Path, config: DataConfig, *, seed: int, length: int, batch: int = 1
    ) -> None:
        self._config = config
        self._seed = seed
        self._length = length
        self._batch = batch
        self.sources = tuple(
            source
            for source in _read_sources(root, config.licences)
            if source.name not in config.without
        )
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
        """One sample of a step.

        Returns:
            L*, 0..100, in the order darkest, correct, brightest, shape (3, 1, S, S), float32; or
            sRGB-coded RGB, 0..1, likewise. Then come the other exposures, dark to bright, and,
            where the config asks for it, the scene through a tone curve: zeros of photographs.
        """
        rng = np.random.default_rng((self._seed, index))
        count = count_exposures(self._config, self._seed, index // self._batch)
        # of photographs there are triples, not longer stacks
        has_photographs = bool(self._photographed) and count == 2
        truth: NDArray[np.float32] | None = None
        if not self._panoramas or (has_photographs and rng.random() < self._config.stack_share):
            pictures = self._photograph(rng)
        else:
            pictures, truth = self._render(rng, count)
        is_flipped = rng.random() < 0.5
        if is_flipped:
            pictures = [picture[:, ::-1] for picture in pictures]
        if self._config.motion and rng.random() < self._config.motion:
            pictures = move_between(pictures, rng)
        planes = self._to_planes(pictures)
        if not self._config.truth:
            return planes
        if truth is None:
            return torch.cat([planes, torch.zeros_like(planes[:1])])
        mirrored = truth[:, ::-1] if is_flipped else truth
        shown = torch.from_numpy(np.ascontiguousarray(mirrored.transpose(2, 0, 1)))
        return torch.cat([planes, shown.unsqueeze(0)])

    def _to_planes(self, pictures: list[Picture]) -> Tensor:
        if self._config.lightness == "rgb":
            colours = np.stack(pictures).transpose(0, 3, 1, 2)
            return torch.from_numpy(np.ascontiguousarray(colours)).float() / FULL_SCALE
        to_plane = rgb_to_lightness if self._config.lightness == "cielab" else rgb_to_luma
        return torch.from_numpy(np.stack([to_plane(picture) for picture in pictures]))[:, None]

    def _render(
        self, rng: np.random.Generator, count: int
    ) -> tuple[list[Picture], NDArray[np.float32] | None]:
        config = self._config
        panorama = self._panoramas[int(rng.integers(len(self._panoramas)))]
        view = sample_view(rng, config.field_of_view_deg)
        radiance = render_view(panorama, view, config.side_px, sampling=config.sampling)
        camera = sample_camera(rng, config.full_well)
        # What a config does not ask for draws no number: runs of old configs stay what they were.
        if config.coloured_light and rng.random() < config.coloured_light:
            camera = colour_light(camera, rng)
        if config.lamps and rng.random() < config.lamps:
            radiance = add_lamps(radiance, rng)
        target = float(rng.uniform(*config.correct_lightness))
        correct = find_correct_gain(radiance, target, camera)
        darker_ev, brighter_ev = rng.uniform(*config.gap_ev, size=2)
        stops = [-darker_ev, 0.0, brighter_ev, *_space(-darker_ev, brighter_ev, count, rng)]
        pictures = [expose(radiance, float(correct * 2.0**ev), camera, rng) for ev in stops]
        if config.replaced and rng.random() < config.replaced:
            darkest, brightest, *others = replace_region([pictures[0], *pictures[2:]], rng)
            pictures = [darkest, pictures[1], brightest, *others]
        if count > 2 and config.useless and rng.random() < config.useless:
            pictures[int(rng.integers(3, len(pictures)))] = _make_useless(pictures, rng)
        truth = apply_tone_curve(radiance, target, camera) if config.truth else None
        return pictures, truth

    def _photograph(self, rng: np.random.Generator) -> list[Picture]:
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


def _space(first_ev: float, last_ev: float, count: int, rng: np.random.Generator) -> list[float]:
    """Exposure values between two, so that they are `count` with them; none for two."""
    if count == 2:
        return []
    step_ev = (last_ev - first_ev) / (count - 1)
    places = np.arange(1, count - 1) + rng.uniform(-SPACING, SPACING, count - 2)
    return [float(first_ev + place * step_ev) for place in places]


def _make_useless(pictures: list[Picture], rng: np.random.Generator) -> Picture:
    """A black frame, a white one, or a copy of another exposure."""
    kind = int(rng.integers(3))
    if kind == 2:
        return pictures[0 if rng.random() < 0.5 else 2]
    return np.full_like(pictures[0], 0 if kind == 0 else 255)


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
