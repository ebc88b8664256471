"""The training loop: config, data, network, optimiser, steps, validation, checkpoints."""

import math
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch.nn.utils import clip_grad_norm_
from tqdm import tqdm

from model.blend.torch_network import BlendNetwork
from model.lightness.torch_engine import PRECISIONS
from model.lightness.torch_network import FusionNetwork
from model.manifest import PARAMETERS_NAME, DataSource, read_manifest, verify_file
from model.release.torch_networks import build_loaded
from model.release.weights import load_weights
from trainer.config import TrainConfig
from trainer.data.sample import split_sample
from trainer.data.triples import TripleDataset, check_licences
from trainer.errors import ConfigError
from trainer.losses.weighted_sum import LOSS_NAMES, compute_losses
from trainer.peers.networks import TrainedNetwork, build_trained
from trainer.run.checkpoint import TrainState
from trainer.run.distributed import World, join_world
from trainer.run.folder import RunFolder
from trainer.run.initial_parameters import (
    start_as_average,
    start_as_luma_of,
    zero_parameters,
)
from trainer.run.interruption import StopRequest
from trainer.run.prefetch import TriplePrefetcher
from trainer.run.preview import draw_triples
from trainer.run.validation import is_due, read_scenes, validate
from trainer.run_files import CONFIG_NAME, CURVE_NAME, RECORD_NAME

__all__ = ["CONFIG_NAME", "CURVE_NAME", "RECORD_NAME", "learning_rate", "start_network", "train"]

TRIPLES_DRAWN = 3


def train(config: TrainConfig, data_root: Path, run: Path, *, stop_after: int | None = None) -> int:
    """Train a network; a run folder that holds a checkpoint is resumed.

    The triple of a step depends on the seed and the step alone, so 2N steps give bit for bit the
    same parameters on the CPU as N steps, a resume, and N more. Under torchrun every process
    takes its share of each step's triples; gradients and logged losses are means over all. After
    SIGTERM or SIGINT in any process the running step is the last one.

    Args:
        config: The run's config.
        data_root: Folder of the training data (`manifest.csv` and what it names).
        run: Run folder, see `trainer.run.folder`.
        stop_after: Take at most this many steps now, checkpoint and return.

    Returns:
        The number of steps that the run has taken in all.

    Raises:
        RunError: The run folder belongs to another config or to other data, or is damaged.
        ConfigError: The weights to start from have another network config, or the batch cannot be
            shared out evenly.
        WeightsError: The weights to start from do not pass their checks.
        DataError: The training data is missing or not licence-clean, or that of the weights to
            start from is not.
    """
    # Before the run folder is made: data that is refused leaves none behind.
    dataset = TripleDataset(
        data_root,
        config.data,
        seed=config.seed,
        length=config.optim.steps * config.optim.batch,
        batch=config.optim.batch,
    )
    # What the weights have seen before counts too, for the licences and for holding out.
    sources = tuple(dict.fromkeys([*inherited_sources(config), *dataset.sources]))
    check_licences(sources, config.data.licences)
    trained_on = [source.name for source in sources]
    scenes = read_scenes(data_root, config.validation, trained_on=trained_on)
    with (
        StopRequest() as request,
        join_world() as world,
        RunFolder(
            run, config, world, sources=sources, validated_on=[scene.name for scene in scenes]
        ) as folder,
    ):
        state = start_state(config, world)
        folder.restore(state)
        stop = config.optim.steps if stop_after is None else state.step + stop_after
        steps = range(state.step, min(stop, config.optim.steps))
        if state.is_stopped_early or not steps:
            folder.repair(state)
            return state.step
        prefetcher = TriplePrefetcher(dataset, config, world, steps)
        replica = world.replicate(state.network)
        precision = PRECISIONS[config.optim.precision]
        progress = tqdm(
            steps,
            initial=state.step,
            total=config.optim.steps,
            mininterval=5,
            disable=not world.is_main,
        )
        for step in progress:
            sample = split_sample(prefetcher.next(), has_truth=config.data.truth)
            rate = learning_rate(config, step)
            for group in state.optimiser.param_groups:
                group["lr"] = rate
            is_reduced = precision != torch.float32
            with torch.autocast(world.device.type, precision, enabled=is_reduced):
                output = replica(*sample.exposures)
            losses = compute_losses(
                output,
                sample.triple,
                config.loss,
                step=step,
                pairs=sample.choose_pairs(config.seed, step),
                truth=sample.truth,
            )
            state.optimiser.zero_grad(set_to_none=True)
            state.scaler.scale(losses["total"]).backward()  # type: ignore[no-untyped-call]
            if config.optim.clip_norm:
                state.scaler.unscale_(state.optimiser)
                clip_grad_norm_(state.network.parameters(), config.optim.clip_norm)
            state.scaler.step(state.optimiser)
            state.scaler.update()
            state.step = step + 1
            # Added up on the device: reading a loss would stall its stream in every step.
            state.sums += torch.stack([losses[name].detach() for name in LOSS_NAMES])
            is_last = world.any(request.is_set) or state.step == steps.stop
            is_validated = is_due(config.validation, state.step, config.optim.steps)
            if state.step % config.run.log_every == 0:
                means = (world.mean(state.sums) / config.run.log_every).tolist()
                folder.log_losses(state.step, dict(zip(LOSS_NAMES, means, strict=True)), rate)
                state.sums.zero_()
                progress.set_postfix(loss=f"{means[LOSS_NAMES.index('total')]:.1f}")
            if is_validated:
                with prefetcher.outside_steps():
                    validation = validate(state.network, scenes, config.validation, world)
                    drawn = torch.stack([dataset[index][:3] for index in range(TRIPLES_DRAWN)])
                    grid = draw_triples(state.network, drawn.to(world.device))
                    folder.log_validation(state.step, validation, grid)
                    state.best = state.best.after(validation.selection_score, state.step)
                    if state.best.step == state.step:
                        folder.keep_best(state)
                patience = config.validation.patience
                is_hopeless = state.best.is_hopeless(patience)
                state.is_stopped_early = is_hopeless and state.step < config.optim.steps
                is_last = is_last or state.is_stopped_early
            if is_last or is_validated or state.step % config.run.checkpoint_every == 0:
                state.sums = world.mean(state.sums)
                with prefetcher.outside_steps():
                    folder.save(state, prefetcher)
            if is_last:
                break
        progress.close()
        del replica  # it holds the process group, which is to end before the interpreter does
        if world.is_main:
            sys.stdout.write(_sum_up(state, prefetcher, request))
        return state.step


def start_state(config: TrainConfig, world: World) -> TrainState:
    """The state before the first step, on the device of the process."""
    torch.manual_seed(config.seed)
    network = start_network(config).to(world.device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    is_scaled = config.optim.precision == "float16"
    return TrainState(
        network=network,
        optimiser=torch.optim.Adam(network.parameters(), lr=config.optim.learning_rate),
        scaler=torch.amp.GradScaler(world.device.type, enabled=is_scaled),
        sums=torch.zeros(len(LOSS_NAMES), dtype=torch.float64, device=world.device),
    )


def start_network(config: TrainConfig) -> TrainedNetwork:
    """The network before its first step, on the CPU; the seed must have been set.

    Raises:
        ConfigError: The weights to start from have another network config, or no parameter has
            one of the names in `optim.zeroed`.
        WeightsError: The weights to start from do not pass their checks.
    """
    network = build_trained(config.network)
    if config.optim.start == "average" and isinstance(network, FusionNetwork):
        start_as_average(network)
    elif config.optim.start == "luma" and isinstance(network, BlendNetwork):
        directory = Path(config.optim.start_weights)
        verify_file(read_manifest(directory), directory, PARAMETERS_NAME)
        start_as_luma_of(network, load_file(directory / PARAMETERS_NAME))
    elif config.optim.start == "weights":
        weights = load_weights(Path(config.optim.start_weights))
        if weights.manifest.network != config.network:
            raise ConfigError(
                f"expected the network config of '{weights.manifest.label}' for a run that starts "
                f"from it, {weights.manifest.network!r}, got {config.network!r}"
            )
        network.load_state_dict(build_loaded(weights).state_dict())
    for beginning in config.optim.zeroed:
        zero_parameters(network, beginning)
    return network


def inherited_sources(config: TrainConfig) -> tuple[DataSource, ...]:
    """Training data of the version that the run starts from; none with any other start."""
    if not config.optim.start_weights:
        return ()
    return read_manifest(Path(config.optim.start_weights)).training.data


def learning_rate(config: TrainConfig, step: int) -> float:
    """Learning rate of a step, counted from 0.

    Reference:
        The cosine and its restarts: Loshchilov and Hutter, "SGDR", ICLR 2017.
    """
    rate = config.optim.learning_rate
    if config.optim.schedule == "constant":
        return rate
    ends = [*config.optim.restarts, config.optim.steps]
    end = next((end for end in ends if step < end), config.optim.steps)
    begin = max([0, *(restart for restart in ends if restart < end)])
    return rate * 0.5 * (1 + math.cos(math.pi * (step - begin) / (end - begin)))


def _sum_up(state: TrainState, prefetcher: TriplePrefetcher, request: StopRequest) -> str:
    """What the command says at the end of a session."""
    lines = [
        f"step {state.step}, {prefetcher.elapsed_s:.1f} s; "
        f"{prefetcher.waiting_share:.1%} of the steps' time after the first batch spent waiting "
        "for data"
    ]
    if state.best.step:
        lines.append(f"best validation {state.best.score:.4f} at step {state.best.step}")
    if state.is_stopped_early:
        lines.append(f"stopped early: no improvement in {state.best.failures} validations")
    if request.is_set:
        lines.append(f"stopped by {request.signal_name}; the same command resumes")
    return "".join(f"{line}\n" for line in lines)
