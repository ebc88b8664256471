"""Fuses whole pictures by a network of another publication, in windows; a* and b* are a mean."""

from collections.abc import Iterator

import torch
from torch import Tensor

from model.exposure import ExposureStack, Pixels
from model.lightness.torch_chroma import fuse_chroma
from model.torch_colour import (
    lab_to_linear,
    linear_to_lab,
    linear_to_srgb,
    pixels_to_linear,
    to_pixels,
)
from trainer.peers.peer import PeerNetwork


@torch.inference_mode()
def fuse_picture(network: PeerNetwork, stack: ExposureStack) -> Pixels:
    """Fuse the darkest and the brightest exposure of a stack as the paper fuses a pair.

    Args:
        network: In evaluation mode, on any device.
        stack: The exposures, which lie on each other.

    Returns:
        The picture. Shape (H, W, 3), of the exposures' type.
    """
    device = next(network.parameters()).device
    ends = [
        pixels_to_linear(torch.from_numpy(one).to(device).permute(2, 0, 1)[None])
        for one in (stack.darkest, stack.brightest)
    ]
    under, over = (linear_to_lab(planes) for planes in ends)
    lightness = fuse_planes(network, under[:, :1], over[:, :1])[:, 0]
    chroma = fuse_chroma(
        torch.stack((under[:, 1:], over[:, 1:]), dim=1),
        rule="mean",
        linear=torch.stack(ends, dim=1),
        lightness=lightness,
    )
    picture = linear_to_srgb(lab_to_linear(lightness, chroma[:, 0], chroma[:, 1]))
    return to_pixels(picture[0], stack.darkest)


def fuse_planes(network: PeerNetwork, under_l: Tensor, over_l: Tensor) -> Tensor:
    """Fuse lightness planes of any size in windows that overlap, with soft seams.

    Args:
        network: In evaluation mode.
        under_l: L* of the under exposure. Shape (1, 1, H, W).
        over_l: L* of the over exposure, same shape.

    Returns:
        Fused L*. Shape (1, 1, H, W).
    """
    height, width = under_l.shape[-2:]
    total, weights = torch.zeros_like(under_l), torch.zeros_like(under_l)
    for rows, row_weights in _cut(network, height):
        for columns, column_weights in _cut(network, width):
            fused = network(under_l[..., rows, columns], over_l[..., rows, columns])
            weight = (row_weights[:, None] * column_weights).to(fused)
            total[..., rows, columns] += weight * fused
            weights[..., rows, columns] += weight
    return total / weights


def _cut(network: PeerNetwork, length: int) -> Iterator[tuple[slice, Tensor]]:
    """Windows along one side, with the weight of each of their pixels.

    The margin of a window counts nothing where another window sees the same pixels better.
    """
    side = network.window_px
    last = max(0, -(-(length - side) // network.grid_px) * network.grid_px)
    for start in (*range(0, last, side - network.overlap_px), last):
        stop = min(start + side, length)
        from_start = torch.arange(stop - start) + 0.5
        weights = torch.ones_like(from_start)
        if start > 0:
            weights *= _rise(from_start, network)
        if stop < length:
            weights *= _rise(from_start.flip(0), network)
        yield slice(start, stop), weights


def _rise(distance_px: Tensor, network: PeerNetwork) -> Tensor:
    """From 0 in a window's margin to 1 where its neighbour's begins."""
    margin_px = network.margin_px
    return ((distance_px - margin_px) / (network.overlap_px - 2 * margin_px)).clamp(0, 1)
