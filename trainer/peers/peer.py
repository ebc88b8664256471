"""What a network of another publication has to offer here."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from trainer.peers.definition import PeerConfig


class PeerNetwork(nn.Module, ABC):
    """A network that fuses the lightness of two exposures.

    Attributes:
        config: Its shape.
        grid_px: Side of the patches that the network sees, 1 for none.
        window_px: Side of the windows in which whole pictures are fused; they begin at whole
            patches.
        overlap_px: What a window shares with its neighbour, where the one fades into the other.
        margin_px: What a window sees less well at each side, and leaves to its neighbours; less
            than half the overlap.
    """

    config: PeerConfig
    grid_px: int
    window_px: int
    overlap_px: int
    margin_px: int

    @abstractmethod
    def forward(self, under_l: Tensor, over_l: Tensor) -> Tensor:
        """Fuse two lightness planes.

        Args:
            under_l: L* of the under exposure, 0..100. Shape (N, 1, H, W).
            over_l: L* of the over exposure, same shape, dtype and device.

        Returns:
            Fused L*, about 0..100, not clamped. Shape (N, 1, H, W).
        """


def count_parameters(network: nn.Module) -> int:
    """How many numbers a network learns."""
    return sum(parameter.numel() for parameter in network.parameters())
