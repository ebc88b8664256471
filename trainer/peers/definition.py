"""The configs of the networks of other publications; needs no torch."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from model.manifest import AnyNetworkConfig, NetworkConfig, PyramidBlendConfig


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class U2FusionConfig(_Record):
    """Shape of a `u2fusion` network.

    Attributes:
        architecture: Name of the architecture.
        width: Feature maps of the first layer and of each dense layer.
    """

    architecture: Literal["u2fusion"] = "u2fusion"
    width: int = Field(default=44, ge=1)


class TransMefConfig(_Record):
    """Shape of a `transmef` network.

    Attributes:
        architecture: Name of the architecture.
        width: Feature maps of the first convolutions; the next ones have two and three times as
            many.
        patch_px: Side of the patches that the transformer's tokens are.
        depth: Blocks of the transformer.
        token_width: Numbers in a token.
        heads: Heads of each attention.
        head_width: Numbers in a head.
        hidden_width: Units between the two layers behind each attention.
    """

    architecture: Literal["transmef"] = "transmef"
    width: int = Field(default=16, ge=1)
    patch_px: int = Field(default=16, ge=2)
    depth: int = Field(default=12, ge=1)
    token_width: int = Field(default=256, ge=1)
    heads: int = Field(default=16, ge=1)
    head_width: int = Field(default=64, ge=1)
    hidden_width: int = Field(default=1024, ge=1)


PeerConfig = U2FusionConfig | TransMefConfig

PEERS = ("u2fusion", "transmef")
"""Architectures that are trained to be compared with."""


def _architecture_of(value: object) -> object:
    """What tells the configs apart; where nothing is said, it is the paper's network."""
    if isinstance(value, dict):
        return value.get("architecture", "hyperp-mb")
    return getattr(value, "architecture", None)


TrainedConfig = Annotated[
    Annotated[NetworkConfig, Tag("hyperp-mb")]
    | Annotated[PyramidBlendConfig, Tag("pyramid-blend")]
    | Annotated[U2FusionConfig, Tag("u2fusion")]
    | Annotated[TransMefConfig, Tag("transmef")],
    Discriminator(_architecture_of),
]
"""The config of any network that can be trained, of those that are served and of others."""


def is_peer(config: AnyNetworkConfig | PeerConfig) -> bool:
    """The network is trained to be compared with, and not served.

    Example:
        >>> is_peer(U2FusionConfig()), is_peer(NetworkConfig())
        (True, False)
    """
    return config.architecture in PEERS
