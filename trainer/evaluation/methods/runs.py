"""Makes a finished training of another publication's network a method of the evaluation."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import load_file

from model.exposure import Pixels
from model.manifest import PARAMETERS_NAME
from trainer.config import load_config
from trainer.errors import RunError
from trainer.evaluation.methods.weights import hash_model_code
from trainer.evaluation.scenes import EvaluationScene, Sources
from trainer.peers.definition import PeerConfig
from trainer.peers.networks import build_peer
from trainer.peers.peer import PeerNetwork
from trainer.peers.pictures import fuse_picture
from trainer.run_files import CONFIG_NAME, is_complete

OPEN_NETWORKS = 4


@dataclass(frozen=True, slots=True)
class RunMethod:
    """The network of a run folder, on the exposures as they lie.

    Attributes:
        run: Folder of a complete run.
        label: See `Method.label`; the folder's name when empty.

    Raises:
        RunError: The run is not complete, or its network is one that is served: that is exported.
    """

    run: Path
    label: str = ""

    def __post_init__(self) -> None:
        config = load_config(self.run / CONFIG_NAME)
        if not isinstance(config.network, PeerConfig):
            raise RunError(
                f"expected a run of a network that is not served, '{self.run.name}' trained "
                f"'{config.network.architecture}': export it"
            )
        if not is_complete(self.run):
            raise RunError(f"expected a complete run, '{self.run.name}' is not")
        if not self.label:
            object.__setattr__(self, "label", self.run.resolve().name)

    def applies_to(self, scene: EvaluationScene) -> bool:
        """See `Method.applies_to`."""
        return True

    def fingerprint(self, scene: EvaluationScene) -> str:
        """See `Method.fingerprint`."""
        content = hashlib.sha256((self.run / PARAMETERS_NAME).read_bytes()).hexdigest()
        network = load_config(self.run / CONFIG_NAME).network.model_dump_json()
        return f"{network} {content} {hash_model_code()} torch {torch.__version__}"

    def fuse(self, sources: Sources) -> Pixels:
        """See `Method.fuse`."""
        return fuse_picture(_open_network(self.run.resolve()), sources.exposures)


@lru_cache(maxsize=OPEN_NETWORKS)
def _open_network(run: Path) -> PeerNetwork:
    config = load_config(run / CONFIG_NAME).network
    assert isinstance(config, PeerConfig)
    network = build_peer(config)
    network.load_state_dict(load_file(run / PARAMETERS_NAME))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval().requires_grad_(False)
