"""The training loop: config, data, network, optimiser, steps, checkpoints, record."""

import csv
import json
import math
import platform
import subprocess
import time
from dataclasses import fields
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from model.manifest import PARAMETERS_NAME
from model.network import FusionNetwork
from model.weights import load_weights, save_parameters
from trainer.config import TrainConfig, dump_config
from trainer.data.triples import TripleDataset
from trainer.errors import ConfigError, RunError
from trainer.initial import start_as_average
from trainer.losses import Losses, compute_losses

CONFIG_NAME = "config.toml"
RECORD_NAME = "record.json"
CURVE_NAME = "losses.csv"
CHECKPOINT_NAME = "checkpoint.pt"
REPOSITORY = Path(__file__).resolve().parent.parent
LOSS_NAMES = tuple(field.name for field in fields(Losses))


def train(config: TrainConfig, data_root: Path, run: Path, *, stop_after: int | None = None) -> int:
    """Train a network; a run folder that holds a checkpoint is resumed.

    The triple of a step depends on the seed and the step alone, so 2N steps give bit for bit the
    same parameters on the CPU as N steps, a resume, and N more.

    Args:
        config: The run's config.
        data_root: Folder of the training data (`hdri/`, `stacks/`, `manifest.csv`).
        run: Run folder: config, record, loss curve, TensorBoard events, checkpoint, parameters.
        stop_after: Take at most this many steps now, checkpoint and return.

    Returns:
        The number of steps that the run has taken in all.

    Raises:
        RunError: The run folder belongs to another config.
        ConfigError: The weights to start from have another network config.
        WeightsError: The weights to start from do not pass their checks.
        DataError: The training data is missing or not licence-clean.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(config.seed)
    network = start_network(config)
    network.to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.Adam(network.parameters(), lr=config.optim.learning_rate)
    start, sums = _open_run(config, run, network, optimiser, device)
    dataset = TripleDataset(
        data_root,
        config.data,
        seed=config.seed,
        length=config.optim.steps * config.optim.batch,
    )
    stop = config.optim.steps if stop_after is None else min(config.optim.steps, start + stop_after)
    loader = DataLoader(
        dataset,
        batch_size=config.optim.batch,
        sampler=range(start * config.optim.batch, stop * config.optim.batch),
        num_workers=config.data.workers,
        pin_memory=device.type == "cuda",
    )
    is_reduced = config.optim.precision == "bfloat16"
    writer = SummaryWriter(str(run))
    commit = current_commit()  # of the code that runs, whatever is committed meanwhile
    waited_s, began_s = 0.0, time.perf_counter()
    triples = iter(loader)
    progress = tqdm(range(start, stop), initial=start, total=config.optim.steps, mininterval=5)
    for step in progress:
        asked_s = time.perf_counter()
        triple = next(triples).to(device, non_blocking=True)
        waited_s += time.perf_counter() - asked_s
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(config, step)
        with torch.autocast(device.type, torch.bfloat16, enabled=is_reduced):
            output = network(triple[:, 0], triple[:, 2])
        losses = compute_losses(output, triple, config.loss, step=step)
        optimiser.zero_grad(set_to_none=True)
        losses.total.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        done = step + 1
        for name in LOSS_NAMES:
            sums[name] += float(getattr(losses, name).detach())
        if done % config.run.log_every == 0:
            means = {name: value / config.run.log_every for name, value in sums.items()}
            sums = dict.fromkeys(LOSS_NAMES, 0.0)
            _log(run, writer, done, means)
            progress.set_postfix(loss=f"{means['total']:.1f}")
        if done % config.run.checkpoint_every == 0 or done == stop:
            _save_checkpoint(run, done, sums, network, optimiser)
            save_parameters(network, run / PARAMETERS_NAME)
            session = _describe_session(
                commit, device, start, done, time.perf_counter() - began_s, waited_s
            )
            _write_record(run, config, dataset, session)
    writer.close()
    return stop


def start_network(config: TrainConfig) -> FusionNetwork:
    """The network before its first step, on the CPU; the seed must have been set.

    Raises:
        ConfigError: The weights to start from have another network config.
        WeightsError: The weights to start from do not pass their checks.
    """
    network = FusionNetwork(config.network)
    if config.optim.start == "average":
        start_as_average(network)
    elif config.optim.start == "weights":
        weights = load_weights(Path(config.optim.start_weights))
        if weights.manifest.network != config.network:
            raise ConfigError(
                f"expected the network config of '{weights.manifest.label}' for a run that starts "
                f"from it, {weights.manifest.network!r}, got {config.network!r}"
            )
        network.load_state_dict(weights.network.state_dict())
    return network


def learning_rate(config: TrainConfig, step: int) -> float:
    """Learning rate of a step, counted from 0."""
    rate = config.optim.learning_rate
    if config.optim.schedule == "constant":
        return rate
    return rate * 0.5 * (1 + math.cos(math.pi * step / config.optim.steps))


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


def _open_run(
    config: TrainConfig,
    run: Path,
    network: FusionNetwork,
    optimiser: torch.optim.Adam,
    device: torch.device,
) -> tuple[int, dict[str, float]]:
    """Start a run folder or load its checkpoint; the steps taken and the open loss sums."""
    text = dump_config(config)
    if not (run / CONFIG_NAME).exists():
        run.mkdir(parents=True, exist_ok=True)
        (run / CONFIG_NAME).write_text(text, encoding="utf-8")
        record = {"commit": current_commit(), "seed": config.seed, "sessions": []}
        (run / RECORD_NAME).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    elif (run / CONFIG_NAME).read_text(encoding="utf-8") != text:
        raise RunError(f"the run folder '{run.name}' belongs to another config; choose a new one")
    if not (run / CHECKPOINT_NAME).exists():
        return 0, dict.fromkeys(LOSS_NAMES, 0.0)
    state = torch.load(run / CHECKPOINT_NAME, map_location=device, weights_only=True)
    network.load_state_dict(state["network"])
    optimiser.load_state_dict(state["optimiser"])
    step = int(state["step"])
    _cut_curve(run, step)
    return step, dict(state["sums"])


def _save_checkpoint(
    run: Path,
    step: int,
    sums: dict[str, float],
    network: FusionNetwork,
    optimiser: torch.optim.Adam,
) -> None:
    """Write the resumable state; a kill in the middle leaves the one before it whole."""
    state = {
        "step": step,
        "sums": sums,
        "network": network.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    partial = run / (CHECKPOINT_NAME + ".partial")
    torch.save(state, partial)
    partial.replace(run / CHECKPOINT_NAME)


def _log(run: Path, writer: SummaryWriter, step: int, means: dict[str, float]) -> None:
    for name, value in means.items():
        writer.add_scalar(f"loss/{name}", value, step)
    path = run / CURVE_NAME
    is_new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        if is_new:
            table.writerow(["step", *means])
        table.writerow([step, *(f"{value:.6g}" for value in means.values())])


def _cut_curve(run: Path, step: int) -> None:
    """Drop the rows that a killed run logged after its last checkpoint."""
    path = run / CURVE_NAME
    if not path.exists():
        return
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    kept = [row for row in rows if int(row.split(",", 1)[0]) <= step]
    path.write_text("\n".join([header, *kept]) + "\n", encoding="utf-8")


def _describe_session(
    commit: str, device: torch.device, start: int, done: int, elapsed_s: float, waited_s: float
) -> dict[str, str | int | float]:
    return {
        "commit": commit,
        "device": describe_device(device),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "from_step": start,
        "until_step": done,
        "elapsed_s": round(elapsed_s, 1),
        "waited_for_data_s": round(waited_s, 1),
    }


def _write_record(
    run: Path,
    config: TrainConfig,
    dataset: TripleDataset,
    session: dict[str, str | int | float],
) -> None:
    """Bring the record up to a checkpoint; the steps that a resume repeats count once."""
    record = json.loads((run / RECORD_NAME).read_text(encoding="utf-8"))
    earlier = [one for one in record["sessions"] if one["from_step"] < session["from_step"]]
    record["sessions"] = [*earlier, session]
    record["steps"] = session["until_step"]
    record["is_complete"] = session["until_step"] == config.optim.steps
    record["data"] = [source.model_dump() for source in dataset.sources]
    (run / RECORD_NAME).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
