"""Builds the network that a config describes, of either architecture."""

from typing import overload

from model.blend.network import BlendNetwork
from model.lightness.network import FusionNetwork
from model.manifest import AnyNetworkConfig, NetworkConfig, PyramidBlendConfig

AnyNetwork = FusionNetwork | BlendNetwork
"""A network of either architecture."""


@overload
def build_network(config: NetworkConfig) -> FusionNetwork: ...
@overload
def build_network(config: PyramidBlendConfig) -> BlendNetwork: ...
def build_network(config: AnyNetworkConfig) -> AnyNetwork:
    """Build a network from its config, its parameters as initialised.

    Example:
        >>> type(build_network(PyramidBlendConfig())).__name__
        'BlendNetwork'
    """
    if isinstance(config, PyramidBlendConfig):
        return BlendNetwork(config)
    return FusionNetwork(config)
