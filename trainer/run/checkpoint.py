"""The resumable state of a run, and its file."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from trainer.files import replacing
from trainer.losses.weighted_sum import LOSS_NAMES
from trainer.peers.networks import TrainedNetwork
from trainer.run.validation import Best


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

    network: TrainedNetwork
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
    """Fill the state from its file.

    A checkpoint from before there was a loss term resumes as one in which the term had no weight,
    which the curve shows as 0.
    """
    document = torch.load(path, map_location=state.sums.device, weights_only=True)
    state.network.load_state_dict(document["network"])
    state.optimiser.load_state_dict(document["optimiser"])
    state.scaler.load_state_dict(document["scaler"])
    sums = [document["sums"].get(name, 0.0) for name in LOSS_NAMES]
    state.sums = torch.tensor(sums, dtype=torch.float64, device=state.sums.device)
    state.step = int(document["step"])
    best = document["best"]
    # Earlier checkpoints call the score by another name.
    score = best["score"] if "score" in best else best["objective"]
    state.best = Best(score, best["step"], best["failures"])
    state.is_stopped_early = bool(document["is_stopped_early"])
