"""Train and export every arm once, and score the arms of each study beside each other."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from model.errors import FusionError
from model.manifest import MANIFEST_NAME
from trainer.ablation.studies import PlannedArm
from trainer.config import TrainConfig
from trainer.evaluation import RunMethod, Summary, WeightsMethod, evaluate
from trainer.peers.definition import is_peer
from trainer.pool import count_cores, run_jobs
from trainer.release.export import export
from trainer.run.train import train
from trainer.run_files import is_complete

VERSION = "0.0.0"
"""Every arm's version: none of them is a release."""


@dataclass(frozen=True, slots=True)
class Training:
    """One training, which several arms may share.

    Attributes:
        config: Its config.
        data_root: Training data.
        out: Folder of the ablation.
    """

    config: TrainConfig
    data_root: Path
    out: Path

    @property
    def run(self) -> Path:
        """Its run folder."""
        return self.out / "runs" / self.config.name

    @property
    def weights(self) -> Path:
        """What it is exported to."""
        return find_weights(self.out, self.config)

    @property
    def is_done(self) -> bool:
        """Trained, and exported where the network is one that is served."""
        return is_done(self.out, self.config)

    @property
    def log(self) -> Path:
        """What it says on the way."""
        return self.out / "logs" / f"{self.config.name}.log"


def train_arms(
    arms: Iterable[PlannedArm], data_root: Path, out: Path, *, workers: int
) -> dict[str, str]:
    """Train and export what the arms ask for, as far as that is not done.

    A training that was interrupted goes on; one that fails leaves the others alone.

    Args:
        arms: The arms.
        data_root: Training data.
        out: Folder of the ablation.
        workers: Processes at a time, among which the cores are shared evenly; 0: none but this one.

    Returns:
        What went wrong, by the name of the training.
    """
    configs = {one.config.name: one.config for one in arms}
    trainings = [Training(config, data_root, out) for config in configs.values()]
    threads = max(1, count_cores() // max(1, workers))
    done = run_jobs(train_one, trainings, workers, threads=threads)
    failures: dict[str, str] = {}
    for training, failure in tqdm(done, total=len(trainings), unit="training", desc="ablation"):
        if failure is None:
            failures[training.config.name] = "its process died"
        elif failure:
            failures[training.config.name] = failure
    return failures


def train_one(training: Training) -> str:
    """Train and export in this process; everything that is said goes to the log.

    Returns:
        What went wrong; empty when nothing did.
    """
    if training.is_done:
        return ""
    training.log.parent.mkdir(parents=True, exist_ok=True)
    with training.log.open("a") as log, redirect_stdout(log), redirect_stderr(log):
        try:
            train(training.config, training.data_root, training.run)
            if not is_peer(training.config.network):
                export(training.run, training.weights)
        except FusionError as error:
            return f"{error.code}: {error.message}"
    return ""


def score_study(
    arms: Sequence[PlannedArm],
    scenes: Mapping[str, Path],
    out: Path,
    *,
    metrics: Sequence[str] | None,
    max_side_px: int | None = None,
    workers: int,
) -> Summary | None:
    """Evaluate the arms of one study that are trained; None where there are none, or no scenes.

    All studies on the same scenes share a folder, so that an arm of several is scored once.

    Args:
        arms: Of the study.
        scenes: Folders of scenes by name.
        out: Folder of the ablation.
        metrics: Names of the metrics, all of them by default.
        max_side_px: Reduce the scenes first; None leaves that to the study.
        workers: Processes.
    """
    study = arms[0].study
    side_px = max_side_px or study.max_side_px
    methods = [_make_method(one, out) for one in arms if is_done(out, one.config)]
    if not methods or study.scenes not in scenes:
        return None
    side = "" if side_px is None else f"-{side_px}"
    return evaluate(
        scenes[study.scenes],
        out / "scores" / f"{study.scenes}{side}",
        weights=list({method.label: method for method in methods}.values()),
        metrics=metrics,
        exposures="ends",  # arms are trained on pairs
        max_side_px=side_px,
        workers=max(1, workers),
        report=False,
    )


def _make_method(one: PlannedArm, out: Path) -> WeightsMethod | RunMethod:
    if is_peer(one.config.network):
        return RunMethod(out / "runs" / one.config.name, one.label)
    return WeightsMethod(
        find_weights(out, one.config),
        label=one.label,
        align=one.arm.evaluation.align,
        chroma=one.arm.evaluation.chroma,
        reference=one.arm.evaluation.reference,
    )


def is_done(out: Path, config: TrainConfig) -> bool:
    """A training is over, and exported where its network is one that is served."""
    if is_peer(config.network):
        return is_complete(out / "runs" / config.name)
    return (find_weights(out, config) / MANIFEST_NAME).is_file()


def find_weights(out: Path, config: TrainConfig) -> Path:
    """Where the weights of a training are, or will be, in the folder of an ablation."""
    return out / "weights" / f"{config.name}-{VERSION}"
