"""The resumable state of a run, and its file."""

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import torch
from torch import Tensor

from model.release.architectures import AnyNetwork
from trainer.files import replacing
from trainer.losses.total import Losses
from trainer.run.validation import Best

LOSS_NAMES = tuple(field.name for field in fields(Losses))


@dataclass(slots=True, eq=False)
class TrainState:
    """What a run is made of between two steps.

    Attributes:
        network: The network, float32.
        optimiser: Its optimiser.
        scaler: Scale of the loss; does nothing but with float16.
        sums: Each loss added up since the last line of the curve. Shape (losses,), float64.
        step: Steps taken.
        best: Best validation so far.
        is_stopped_early: Validation has brought nothing for too long; the run is over.
    """

    network: AnyNetwork
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    sums: Tensor
    step: int = 0
    best: Best = field(default_factory=Best)
    is_stopped_early: bool = False


def save_checkpoint(state: TrainState, path: Path) -> None:
    """Write the state; a kill in the middle leaves the one before it whole."""
    document = {
        "step": state.step,
        "sums": dict(zip(LOSS_NAMES, state.sums.tolist(), strict=True)),
        "network": state.network.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "scaler": state.scaler.state_dict(),
        "best": asdict(state.best),
        "is_stopped_early": state.is_stopped_early,
    }
    with replacing(path) as partial:
        torch.save(document, partial)


def load_checkpoint(state: TrainState, path: Path) -> None:
    """Fill the state from its file."""
    document = torch.load(path, map_location=state.sums.device, weights_only=True)
    state.network.load_state_dict(document["network"])
    state.optimiser.load_state_dict(document["optimiser"])
    state.scaler.load_state_dict(document["scaler"])
    sums = [document["sums"][name] for name in LOSS_NAMES]
    state.sums = torch.tensor(sums, dtype=torch.float64, device=state.sums.device)
    state.step = int(document["step"])
    state.best = Best(**document["best"])
    state.is_stopped_early = bool(document["is_stopped_early"])
