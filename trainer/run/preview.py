"""Training triples and what the network makes of them, as one picture."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.lightness.definition import LIGHTNESS_MAX
from trainer.peers.networks import TrainedNetwork


@torch.no_grad()
def draw_triples(network: TrainedNetwork, triples: Tensor) -> NDArray[np.uint8]:
    """Draw under | correct | over | fused, a row for each triple.

    Args:
        network: Network in training, in float32.
        triples: L*, 0..100, or sRGB-coded RGB, 0..1, on the network's device.
            Shape (N, 3, C, S, S).

    Returns:
        Grey picture, shape (N * S, 4 * S), uint8; of RGB in colour, shape (N * S, 4 * S, 3).
    """
    fused = network(triples[:, 0], triples[:, 2])
    planes = torch.cat([triples, fused[:, None]], dim=1)
    white = LIGHTNESS_MAX if planes.shape[2] == 1 else 1.0
    pixels = (planes.clamp(0, white) * (255 / white)).round().to(torch.uint8)
    rows = [np.hstack(list(row)) for row in pixels.permute(0, 1, 3, 4, 2).cpu().numpy()]
    picture = np.vstack(rows)
    return picture[..., 0] if picture.shape[2] == 1 else picture
