"""The folder of a run: config, record, curves, TensorBoard events, checkpoint, parameters."""

import csv
import json
import platform
import subprocess
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter

from model.manifest import PARAMETERS_NAME, DataSource
from model.weights import save_parameters
from trainer.checkpoint import LOSS_NAMES, TrainState, load_checkpoint, save_checkpoint
from trainer.config import TrainConfig, dump_config, load_config
from trainer.distributed import World
from trainer.errors import RunError
from trainer.feed import TripleFeed
from trainer.validation import Validation

CONFIG_NAME = "config.toml"
RECORD_NAME = "record.json"
CURVE_NAME = "losses.csv"
VALIDATION_NAME = "validation.csv"
CHECKPOINT_NAME = "checkpoint.pt"
BEST_NAME = "best.safetensors"
REPOSITORY = Path(__file__).resolve().parent.parent

TENSORBOARD_NAMES = {name: f"loss/{name}" for name in LOSS_NAMES} | {
    "under_weight": "weights/lambda1",
    "over_weight": "weights/lambda2",
}


class RunFolder:
    """A run on the disk; every process reads it, the main one alone writes.

    Args:
        path: The folder; made when it is not there.
        config: Config of the run.
        world: The processes of the run.

    Raises:
        RunError: The folder belongs to another config.
    """

    def __init__(self, path: Path, config: TrainConfig, world: World) -> None:
        self._path = path
        self._config = config
        self._world = world
        self._commit = current_commit()  # of the code that runs, whatever is committed meanwhile
        self._from_step = 0
        if world.is_main and not (path / CONFIG_NAME).exists():
            path.mkdir(parents=True, exist_ok=True)
            (path / CONFIG_NAME).write_text(dump_config(config), encoding="utf-8")
            self._write_record({"commit": self._commit, "seed": config.seed, "sessions": []})
        world.wait()
        # Parsed, not as text: keys that the config has gained since are at their defaults.
        if load_config(path / CONFIG_NAME) != config:
            raise RunError(f"the run folder '{path.name}' belongs to another config")
        self._writer: SummaryWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def restore(self, state: TrainState) -> None:
        """Load the checkpoint, if there is one, and forget what was logged after it.

        Only then is the folder open for what the session logs.
        """
        if (self._path / CHECKPOINT_NAME).exists():
            load_checkpoint(state, self._path / CHECKPOINT_NAME)
            if self._world.is_main:
                for name in (CURVE_NAME, VALIDATION_NAME):
                    _cut_table(self._path / name, state.step)
        self._from_step = state.step
        if self._world.is_main:
            purged = state.step + 1 if state.step else None
            self._writer = SummaryWriter(str(self._path), purge_step=purged)

    def log_losses(self, step: int, means: dict[str, float], learning_rate: float) -> None:
        """Add a line to the loss curve."""
        if self._writer is None:
            return
        for name, value in means.items():
            self._writer.add_scalar(TENSORBOARD_NAMES[name], value, step)
        self._writer.add_scalar("learning_rate", learning_rate, step)
        _append_row(self._path / CURVE_NAME, step, means)

    def log_validation(self, step: int, validation: Validation, triples: NDArray[np.uint8]) -> None:
        """Add a line to the validation's table, and pictures for TensorBoard.

        Args:
            step: Steps taken.
            validation: Its outcome.
            triples: Training triples and what the network makes of them. Shape (H, W), uint8.
        """
        if self._writer is None:
            return
        for name, value in validation.scores.items():
            self._writer.add_scalar(f"validation/{name}", value, step)
        for name, picture in validation.pictures.items():
            self._writer.add_image(f"validation/{name}", picture, step, dataformats="HWC")
        self._writer.add_image("training/triples", triples, step, dataformats="HW")
        _append_row(self._path / VALIDATION_NAME, step, validation.scores)

    def keep_best(self, state: TrainState) -> None:
        """Keep the parameters as the best so far."""
        if self._world.is_main:
            _save_whole(state, self._path / BEST_NAME)

    def save(self, state: TrainState, sources: tuple[DataSource, ...], feed: TripleFeed) -> None:
        """Write the checkpoint, the parameters, and the record up to this step."""
        if not self._world.is_main:
            return
        save_checkpoint(state, self._path / CHECKPOINT_NAME)
        _save_whole(state, self._path / PARAMETERS_NAME)
        record = json.loads((self._path / RECORD_NAME).read_text(encoding="utf-8"))
        # The steps that a resume repeats count once.
        earlier = [one for one in record["sessions"] if one["from_step"] < self._from_step]
        record["sessions"] = [*earlier, self._describe_session(state.step, feed)]
        record["steps"] = state.step
        record["stopped_early"] = state.is_stopped_early
        record["is_complete"] = state.is_stopped_early or state.step == self._config.optim.steps
        record["data"] = [source.model_dump() for source in sources]
        if state.best.step:
            record["best_step"] = state.best.step
            record["best_objective"] = state.best.objective
        self._write_record(record)

    def _describe_session(self, step: int, feed: TripleFeed) -> dict[str, str | int | float]:
        return {
            "commit": self._commit,
            "device": describe_device(self._world.device),
            "processes": self._world.size,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "from_step": self._from_step,
            "until_step": step,
            "started_in_s": round(feed.started_in_s, 1),
            "elapsed_s": round(feed.elapsed_s, 1),
            "waited_for_data_s": round(feed.waited_s, 1),
            "waiting_share": round(feed.waiting_share, 4),
        }

    def _write_record(self, record: dict[str, object]) -> None:
        text = json.dumps(record, indent=2) + "\n"
        (self._path / RECORD_NAME).write_text(text, encoding="utf-8")


def current_commit() -> str:
    """Commit of the checkout, marked when the tree differs from it; `unknown` outside of one."""
    command = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty", "--abbrev=40"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "unknown"


def describe_device(device: torch.device) -> str:
    """The hardware of a run, in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    names = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    return f"CPU {names[0] if names else platform.processor()}, {torch.get_num_threads()} threads"


def _save_whole(state: TrainState, path: Path) -> None:
    """Write the parameters; a kill in the middle leaves the file before it whole."""
    partial = path.with_name(path.name + ".partial")
    save_parameters(state.network, partial)
    partial.replace(path)


def _append_row(path: Path, step: int, values: dict[str, float]) -> None:
    is_new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        if is_new:
            table.writerow(["step", *values])
        table.writerow([step, *(f"{value:.6g}" for value in values.values())])


def _cut_table(path: Path, step: int) -> None:
    """Drop the rows that a killed run logged after its last checkpoint."""
    if not path.exists():
        return
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    kept = [row for row in rows if int(row.split(",", 1)[0]) <= step]
    path.write_text("\n".join([header, *kept]) + "\n", encoding="utf-8")
