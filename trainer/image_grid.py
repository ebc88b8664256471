"""Training triples and what the network makes of them, as one picture."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.network import LIGHTNESS_MAX, FusionNetwork


@torch.no_grad()
def draw_triples(network: FusionNetwork, triples: Tensor) -> NDArray[np.uint8]:
    """Draw under | correct | over | fused, a row for each triple.

    Args:
        network: Network in training, in float32.
        triples: L*, 0..100, on the network's device. Shape (N, 3, 1, S, S).

    Returns:
        Grey picture. Shape (N * S, 4 * S), uint8.
    """
    fused = network(triples[:, 0], triples[:, 2])
    planes = torch.cat([triples[:, :, 0], fused], dim=1)
    pixels = (planes.clamp(0, LIGHTNESS_MAX) * (255 / LIGHTNESS_MAX)).round().to(torch.uint8)
    rows = [np.hstack(list(row)) for row in pixels.cpu().numpy()]
    return np.vstack(rows)
