"""Builds the network of any config that can be trained."""

from model.manifest import AnyNetworkConfig
from model.release.torch_networks import AnyNetwork, build_network
from trainer.peers.definition import PeerConfig, TransMefConfig, U2FusionConfig
from trainer.peers.peer import PeerNetwork
from trainer.peers.transmef import TransMefNetwork
from trainer.peers.u2fusion import U2FusionNetwork

TrainedNetwork = AnyNetwork | PeerNetwork
"""A network that can be trained."""


def build_peer(config: PeerConfig) -> PeerNetwork:
    """Build a network of another publication, its parameters as initialised."""
    match config:
        case U2FusionConfig():
            return U2FusionNetwork(config)
        case TransMefConfig():
            return TransMefNetwork(config)


def build_trained(config: AnyNetworkConfig | PeerConfig) -> TrainedNetwork:
    """Build the network of any config that can be trained.

    Example:
        >>> type(build_trained(U2FusionConfig(width=2))).__name__
        'U2FusionNetwork'
    """
    if isinstance(config, PeerConfig):
        return build_peer(config)
    return build_network(config)
