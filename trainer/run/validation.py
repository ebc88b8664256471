"""Held-out scenes, fused at full size as the product fuses them, and which parameters are best."""

import csv
import math
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from model.blend.pipeline import BlendPipeline
from model.exposure import ExposureStack, Pixels
from model.lightness.definition import ChromaRule
from model.lightness.pipeline import LightnessPipeline
from model.lightness.torch_engine import TorchEngine, TorchNetwork
from model.lightness.torch_network import FusionNetwork
from model.torch_pipeline import create_blend_engine
from trainer.config import ValidationConfig
from trainer.data.pixels import limit_side
from trainer.data.stacks import list_exposures, read_exposure
from trainer.errors import DataError
from trainer.mertens import fuse_as_mertens
from trainer.metrics import rgb_to_grey, score_fusion
from trainer.metrics.quality.ms_ssim import MIN_SIDE_PX
from trainer.peers.networks import TrainedNetwork
from trainer.peers.peer import PeerNetwork
from trainer.peers.pictures import fuse_picture
from trainer.run.distributed import World
from trainer.run.selection import COMPARED_METRICS, name_metrics, score_validation

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
        mertens: Scores of Mertens's fusion; empty where nothing is compared with it.
    """

    name: str
    pair: ExposureStack
    greys: tuple[NDArray[np.uint8], NDArray[np.uint8]]
    mertens: dict[str, float]

    def score(self, fused: Pixels, names: tuple[str, ...]) -> dict[str, float]:
        """Scores of a fusion of the scene. Shape (H, W, 3), uint8."""
        grey = rgb_to_grey(fused.astype(np.uint8, copy=False))
        return score_fusion(self.greys, grey, names=names)


@dataclass(frozen=True, slots=True, eq=False)
class Validation:
    """One validation.

    Attributes:
        scores: Mean of each metric over all scenes.
        selection_score: What decides which parameters are best; higher is better.
        pictures: Under | over | fused of this process's first scenes, by scene.
    """

    scores: dict[str, float]
    selection_score: float
    pictures: dict[str, NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Best:
    """The best validation so far.

    Attributes:
        score: Its selection score.
        step: Its step; 0 before the first.
        failures: Validations since then, none of them better.
    """

    score: float = -math.inf
    step: int = 0
    failures: int = 0

    def after(self, score: float, step: int) -> "Best":
        """The best once one more validation is counted; a NaN never is.

        Example:
            >>> Best().after(0.9, 100).after(0.8, 200)
            Best(score=0.9, step=100, failures=1)
        """
        if score > self.score:
            return Best(score, step)
        return Best(self.score, self.step, self.failures + 1)

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
    return [_read_scene(root, name, config) for name in chosen]


def validate(
    network: TrainedNetwork, scenes: list[Scene], config: ValidationConfig, world: World
) -> Validation:
    """Fuse and score the held-out scenes, each in one of the processes.

    The way is the product's, in float32, with a copy of the network.

    Args:
        network: Network in training; left as it is.
        scenes: The scenes, the same in every process.
        config: What decides.
        world: The processes of the run.

    Returns:
        The same scores in every process.
    """
    fuse = _open_pipeline(network, world.device)
    names = name_metrics(config.metric)
    scores = torch.zeros((len(scenes), len(names)), dtype=torch.float64)
    pictures: dict[str, NDArray[np.uint8]] = {}
    for index in range(world.rank, len(scenes), world.size):
        scene = scenes[index]
        fused = fuse(scene.pair).astype(np.uint8, copy=False)
        values = scene.score(fused, names)
        scores[index] = torch.tensor([values[name] for name in names], dtype=torch.float64)
        if len(pictures) < PICTURES_KEPT:
            pictures[scene.name] = np.hstack([*scene.pair.exposures, fused])
    means = dict(zip(names, world.sum(scores).mean(dim=0).tolist(), strict=True))
    compared = scenes[0].mertens if scenes else {}
    mertens = {
        name: sum(scene.mertens[name] for scene in scenes) / len(scenes) for name in compared
    }
    return Validation(means, score_validation(means, config.metric, mertens=mertens), pictures)


def _open_pipeline(
    network: TrainedNetwork, device: torch.device
) -> Callable[[ExposureStack], Pixels]:
    """The product's pipeline on the network as it is now; of one that is not served its own way."""
    if isinstance(network, FusionNetwork):
        engine = TorchEngine(TorchNetwork(network, device=device))
        return LightnessPipeline(engine, chroma=CHROMA).fuse
    frozen = deepcopy(network).eval().requires_grad_(False)
    if isinstance(frozen, PeerNetwork):
        return partial(fuse_picture, frozen)
    blend = create_blend_engine(frozen, device=str(device), threads=torch.get_num_threads())
    return BlendPipeline(blend).fuse


def _read_scene(root: Path, name: str, config: ValidationConfig) -> Scene:
    exposures = [read_exposure(path) for path in list_exposures(root / name)]
    sizes = {image.shape[:2] for image in exposures}
    if len(exposures) < 2 or len(sizes) > 1:
        raise DataError(
            f"expected at least two exposures of one size in the stack '{name}', "
            f"got {len(exposures)} of {len(sizes)} sizes"
        )
    exposures.sort(key=lambda image: float(image.mean()))
    under, over = (limit_side(image, config.max_side_px) for image in (exposures[0], exposures[-1]))
    pair = ExposureStack((under, over), (0, 1))
    scene = Scene(name, pair, (rgb_to_grey(under), rgb_to_grey(over)), {})
    if config.metric != "fidelity+contrast":
        return scene
    if min(under.shape[:2]) < MIN_SIDE_PX:
        raise DataError(
            f"expected sides of at least {MIN_SIDE_PX} pixels for the metric '{config.metric}', "
            f"the scene '{name}' has {under.shape[1]}x{under.shape[0]}"
        )
    return replace(scene, mertens=scene.score(fuse_as_mertens(pair.exposures), COMPARED_METRICS))
