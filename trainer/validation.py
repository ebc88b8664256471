"""Held-out scenes, fused at full size as the product fuses them, and which parameters are best."""

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from model.colour import ChromaRule
from model.exposure import ExposurePair
from model.network import FusionNetwork
from model.pipeline import FusionPipeline
from model.runtime import TorchRuntime
from trainer.config import ValidationConfig
from trainer.data.pixels import limit_side
from trainer.data.stacks import list_exposures, read_exposure
from trainer.distributed import World
from trainer.errors import DataError
from trainer.metrics import rgb_to_grey, score_fusion

VALIDATION_METRICS = ("MEF-SSIM", "Qabf", "AG")
PICTURES_KEPT = 3
CHROMA: ChromaRule = "mean"
"""The export's default; the metrics look at grey, which hardly depends on it."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One held-out scene: the darkest and the brightest exposure of its stack.

    Attributes:
        name: Path of the stack in the data folder.
        pair: The two exposures, uint8.
        greys: Grey of both, as the metrics compare them.
    """

    name: str
    pair: ExposurePair
    greys: tuple[NDArray[np.uint8], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True, eq=False)
class Validation:
    """One validation.

    Attributes:
        scores: Mean of each of `VALIDATION_METRICS` over all scenes.
        objective: What decides which parameters are best; higher is better.
        pictures: Under | over | fused of this process's first scenes, by scene.
    """

    scores: dict[str, float]
    objective: float
    pictures: dict[str, NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Best:
    """The best validation so far.

    Attributes:
        objective: Its objective.
        step: Its step; 0 before the first.
        failures: Validations since then, none of them better.
    """

    objective: float = -math.inf
    step: int = 0
    failures: int = 0

    def after(self, objective: float, step: int) -> "Best":
        """The best once one more validation is counted; a NaN never is.

        Example:
            >>> Best().after(0.9, 100).after(0.8, 200)
            Best(objective=0.9, step=100, failures=1)
        """
        if objective > self.objective:
            return Best(objective, step)
        return Best(self.objective, self.step, self.failures + 1)

    def is_hopeless(self, patience: int) -> bool:
        """So many validations brought nothing that the run should end; never with patience 0."""
        return 0 < patience <= self.failures


def is_due(config: ValidationConfig, step: int, last_step: int) -> bool:
    """A validation follows this step: every `every` steps, and after the run's last."""
    return config.every > 0 and (step % config.every == 0 or step == last_step)


def read_scenes(root: Path, config: ValidationConfig, *, trained_on: Iterable[str]) -> list[Scene]:
    """Read the held-out scenes; none when there is no validation.

    Args:
        root: Data folder with `manifest.csv`.
        config: How many, and how large.
        trained_on: Paths of everything in the training set.

    Returns:
        The chosen scenes, in the manifest's order.

    Raises:
        DataError: There is no such scene, one is trained on as well, or one cannot be read.
    """
    if not config.every:
        return []
    with (root / "manifest.csv").open(newline="", encoding="utf-8") as file:
        names = [
            row["path"]
            for row in csv.DictReader(file)
            if row["use"] == "validate" and row["kind"] == "stack"
        ]
    if not names:
        raise DataError("expected stacks with use 'validate' in manifest.csv, found none")
    leaked = sorted(set(names) & set(trained_on))
    if leaked:
        raise DataError(f"expected held-out scenes, '{leaked[0]}' is in the training set as well")
    count = min(config.pairs, len(names))
    chosen = [names[index * len(names) // count] for index in range(count)]
    return [_read_scene(root, name, config.max_side_px) for name in chosen]


def validate(
    network: FusionNetwork, scenes: list[Scene], config: ValidationConfig, world: World
) -> Validation:
    """Fuse and score the held-out scenes, each in one of the processes.

    The way is the product's, window by window in float32, with a copy of the network.

    Args:
        network: Network in training; left as it is.
        scenes: The scenes, the same in every process.
        config: What decides.
        world: The processes of the run.

    Returns:
        The same scores in every process.
    """
    pipeline = FusionPipeline(TorchRuntime(network, device=world.device), chroma=CHROMA)
    scores = torch.zeros((len(scenes), len(VALIDATION_METRICS)), dtype=torch.float64)
    pictures: dict[str, NDArray[np.uint8]] = {}
    for index in range(world.rank, len(scenes), world.size):
        scene = scenes[index]
        fused = pipeline.fuse(scene.pair).astype(np.uint8, copy=False)
        values = score_fusion(*scene.greys, rgb_to_grey(fused), names=VALIDATION_METRICS)
        for column, name in enumerate(VALIDATION_METRICS):
            scores[index, column] = values[name]
        if len(pictures) < PICTURES_KEPT:
            pictures[scene.name] = np.hstack([scene.pair.under, scene.pair.over, fused])
    means = dict(zip(VALIDATION_METRICS, world.sum(scores).mean(dim=0).tolist(), strict=True))
    objective = means["MEF-SSIM"]
    if config.metric == "mef-ssim+qabf":
        objective = (means["MEF-SSIM"] + means["Qabf"]) / 2
    return Validation(means, objective, pictures)


def _read_scene(root: Path, name: str, max_side_px: int) -> Scene:
    exposures = [read_exposure(path) for path in list_exposures(root / name)]
    sizes = {image.shape[:2] for image in exposures}
    if len(exposures) < 2 or len(sizes) > 1:
        raise DataError(
            f"expected at least two exposures of one size in the stack '{name}', "
            f"got {len(exposures)} of {len(sizes)} sizes"
        )
    exposures.sort(key=lambda image: float(image.mean()))
    under, over = (limit_side(image, max_side_px) for image in (exposures[0], exposures[-1]))
    return Scene(name, ExposurePair(under, over), (rgb_to_grey(under), rgb_to_grey(over)))
