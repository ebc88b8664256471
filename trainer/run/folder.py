"""The folder of a run: config, record, curves, TensorBoard events, checkpoint, parameters."""

import csv
import hashlib
import io
import json
import platform
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter

from model.manifest import PARAMETERS_NAME, DataSource
from model.release.torch_networks import save_parameters
from trainer.config import TrainConfig, dump_config, load_config
from trainer.errors import RunError
from trainer.files import replacing, write_whole
from trainer.losses.weighted_sum import LOSS_NAMES
from trainer.run.checkpoint import TrainState, load_checkpoint, save_checkpoint
from trainer.run.distributed import World
from trainer.run.prefetch import TriplePrefetcher
from trainer.run.validation import Validation
from trainer.run_files import (
    BEST_NAME,
    CHECKPOINT_NAME,
    CONFIG_NAME,
    CURVE_NAME,
    RECORD_NAME,
    VALIDATION_NAME,
)

SCORE_COLUMN = "objective"
"""What the files of all runs call the selection score of a validation."""

REPOSITORY = Path(__file__).resolve().parents[2]

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
        sources: What the run is trained on, and what the weights were that it starts from.
        validated_on: Names of the scenes of its validation.

    Raises:
        RunError: The folder belongs to another config or to other data, or its record is damaged.
    """

    def __init__(
        self,
        path: Path,
        config: TrainConfig,
        world: World,
        *,
        sources: tuple[DataSource, ...],
        validated_on: Iterable[str] = (),
    ) -> None:
        self._path = path
        self._config = config
        self._world = world
        self._sources = sources
        self._data_sha256 = hash_data(sources, validated_on)
        self._commit = current_commit()  # of the code that runs, whatever is committed meanwhile
        self._from_step = 0
        if world.is_main:
            has_config = (path / CONFIG_NAME).exists()
            # The record first: a folder with a config is that of a run.
            if not has_config or not (path / RECORD_NAME).exists():
                self._write_record(self._begin_record())
            if not has_config:
                write_whole(path / CONFIG_NAME, dump_config(config))
        world.wait()
        # Parsed, not as text: keys that the config has gained since are at their defaults.
        if load_config(path / CONFIG_NAME) != config:
            raise RunError(f"the run folder '{path.name}' belongs to another config")
        # A record from before has no digest of its data.
        if self._read_record().get("data_sha256", self._data_sha256) != self._data_sha256:
            raise RunError(
                f"the run folder '{path.name}' belongs to other data: its sources, their licences "
                "or the scenes of its validation have changed"
            )
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
        self._from_step = state.step
        if self._world.is_main:
            _cut_table(self._path / CURVE_NAME, state.step, LOSS_NAMES)
            _cut_table(self._path / VALIDATION_NAME, state.step)
            self._writer = SummaryWriter(str(self._path), purge_step=state.step + 1)

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
            triples: Training triples and what the network makes of them. Shape (H, W), uint8; in
                colour (H, W, 3).
        """
        if self._writer is None:
            return
        for name, value in validation.scores.items():
            self._writer.add_scalar(f"validation/{name}", value, step)
        for name, picture in validation.pictures.items():
            self._writer.add_image(f"validation/{name}", picture, step, dataformats="HWC")
        layout = "HW" if triples.ndim == 2 else "HWC"
        self._writer.add_image("training/triples", triples, step, dataformats=layout)
        self._writer.add_scalar(f"validation/{SCORE_COLUMN}", validation.selection_score, step)
        row = validation.scores | {SCORE_COLUMN: validation.selection_score}
        _append_row(self._path / VALIDATION_NAME, step, row)

    def keep_best(self, state: TrainState) -> None:
        """Keep the parameters as the best so far."""
        if self._world.is_main:
            _save_whole(state, self._path / BEST_NAME)

    def save(self, state: TrainState, prefetcher: TriplePrefetcher) -> None:
        """Write the parameters, the record up to this step, and the checkpoint.

        The checkpoint comes last: a run that was killed in between repeats these steps and
        writes the others again.
        """
        if not self._world.is_main:
            return
        record = self._read_record()
        # The steps that a resume repeats count once.
        earlier = [one for one in record["sessions"] if one["from_step"] < self._from_step]
        record["sessions"] = [*earlier, self._describe_session(state.step, prefetcher)]
        self._write_state(state, record)
        save_checkpoint(state, self._path / CHECKPOINT_NAME)

    def repair(self, state: TrainState) -> None:
        """Complete a run that is over by its checkpoint and not by its record.

        Earlier versions wrote the checkpoint first, and could be killed right after it.
        """
        if self._world.is_main and self._is_over(state):
            record = self._read_record()
            if not record.get("is_complete"):
                self._write_state(state, record)

    def _write_state(self, state: TrainState, record: dict[str, Any]) -> None:
        _save_whole(state, self._path / PARAMETERS_NAME)
        record["steps"] = state.step
        record["stopped_early"] = state.is_stopped_early
        record["is_complete"] = self._is_over(state)
        if "data_sha256" not in record:  # from before; what it names already stays named
            named = [DataSource.model_validate(one) for one in record.get("data", [])]
            record["data"] = _dump_sources(dict.fromkeys([*named, *self._sources]))
            record["data_sha256"] = self._data_sha256
        if state.best.step:
            record["best_step"] = state.best.step
            record["best_objective"] = state.best.score
        self._write_record(record)

    def _is_over(self, state: TrainState) -> bool:
        return state.is_stopped_early or state.step == self._config.optim.steps

    def _begin_record(self) -> dict[str, Any]:
        return {
            "commit": self._commit,
            "seed": self._config.seed,
            "data_sha256": self._data_sha256,
            "data": _dump_sources(self._sources),
            "sessions": [],
        }

    def _describe_session(
        self, step: int, prefetcher: TriplePrefetcher
    ) -> dict[str, str | int | float]:
        return {
            "commit": self._commit,
            "device": describe_device(self._world.device),
            "processes": self._world.size,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "from_step": self._from_step,
            "until_step": step,
            "started_in_s": round(prefetcher.started_in_s, 1),
            "elapsed_s": round(prefetcher.elapsed_s, 1),
            "outside_steps_s": round(prefetcher.outside_steps_s, 1),
            "waited_for_data_s": round(prefetcher.waited_s, 1),
            "waiting_share": round(prefetcher.waiting_share, 4),
        }

    def _read_record(self) -> dict[str, Any]:
        text = (self._path / RECORD_NAME).read_text(encoding="utf-8")
        try:
            record: dict[str, Any] = json.loads(text)
        except json.JSONDecodeError as cause:
            raise RunError(f"the record of the run '{self._path.name}' is damaged") from cause
        return record

    def _write_record(self, record: dict[str, Any]) -> None:
        write_whole(self._path / RECORD_NAME, json.dumps(record, indent=2) + "\n")


def hash_data(sources: Iterable[DataSource], validated_on: Iterable[str]) -> str:
    """A digest of what a run's data is: its sources in their order, and its validation's scenes."""
    document = {"sources": _dump_sources(sources), "validation": list(validated_on)}
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def current_commit() -> str:
    """Commit of the checkout, marked when the tree differs from it.

    `unknown` outside of one, and where git is not installed, as in the trainer's image.
    """
    command = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
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


def _dump_sources(sources: Iterable[DataSource]) -> list[dict[str, str]]:
    return [source.model_dump() for source in sources]


def _save_whole(state: TrainState, path: Path) -> None:
    """Write the parameters; a kill in the middle leaves the file before it whole."""
    with replacing(path) as partial:
        save_parameters(state.network, partial)


def _append_row(path: Path, step: int, values: dict[str, float]) -> None:
    row = io.StringIO()
    table = csv.writer(row, lineterminator="\n")
    if not path.exists():
        table.writerow(["step", *values])
    table.writerow([step, *(f"{value:.6g}" for value in values.values())])
    with path.open("a", newline="", encoding="utf-8") as file:
        file.write(row.getvalue())


def _cut_table(path: Path, step: int, columns: Sequence[str] | None = None) -> None:
    """Drop the rows that a killed run logged after its last checkpoint, and what is half a row.

    Args:
        path: The table; nothing happens where there is none.
        step: Last step whose row is kept.
        columns: Columns that the session will write beside `step`, None for those that are there.
            A column that the table does not have yet, that of a new loss term, is 0 in its rows.
    """
    if not path.exists():
        return
    whole = [line for line in path.read_text(encoding="utf-8").splitlines(True) if line[-1] == "\n"]
    rows = [row for row in csv.DictReader(whole) if int(row["step"]) <= step]
    if not rows:
        path.unlink()
        return
    text = io.StringIO()
    header = ["step", *(columns or list(rows[0])[1:])]
    writer = csv.DictWriter(text, header, restval="0", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue())
