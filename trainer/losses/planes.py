"""What a network makes of a triple, as the losses look at it: planes of 0..255."""

from dataclasses import dataclass

from torch import Tensor

from model.lightness.network import LIGHTNESS_MAX
from trainer.losses.chroma import rgb_to_luma
from trainer.losses.local_moments import DATA_RANGE

RGB_CHANNELS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Colours:
    """The fusion, clamped, and its exposures, sRGB-coded 0..255. Shape (N, 3, H, W) each."""

    fused: Tensor
    under: Tensor
    over: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """Lightness, or luma where the network fuses RGB, 0..255. Shape (N, 1, H, W) each.

    Attributes:
        fused: The fusion, not clamped.
        shown: The fusion as it is shown.
        under: Under exposure.
        correct: Correct exposure.
        over: Over exposure.
        colours: The same in RGB; None where the network fuses lightness.
    """

    fused: Tensor
    shown: Tensor
    under: Tensor
    correct: Tensor
    over: Tensor
    colours: Colours | None = None


def view(output: Tensor, triple: Tensor, *, is_clamped: bool) -> Views:
    """Bring an output and its triple to the scale of the losses.

    Args:
        output: Fused L*, 0..100, shape (N, 1, H, W); or sRGB-coded RGB, 0..1, (N, 3, H, W).
        triple: Under, correct and over exposure in the same planes. Shape (N, 3, C, H, W).
        is_clamped: Lightness is shown clamped; RGB always is.

    Returns:
        The views; gradients flow through those of the output.
    """
    if output.shape[1] == RGB_CHANNELS:
        return _view_rgb(output, triple)
    scale = DATA_RANGE / LIGHTNESS_MAX
    fused = output * scale
    under, correct, over = (plane * scale for plane in triple.unbind(dim=1))
    shown = fused.clamp(0, DATA_RANGE) if is_clamped else fused
    return Views(fused, shown, under, correct, over)


def _view_rgb(output: Tensor, triple: Tensor) -> Views:
    under, correct, over = (picture * DATA_RANGE for picture in triple.unbind(dim=1))
    fused = output * DATA_RANGE
    shown = fused.clamp(0, DATA_RANGE)
    return Views(
        fused=rgb_to_luma(fused),
        shown=rgb_to_luma(shown),
        under=rgb_to_luma(under),
        correct=rgb_to_luma(correct),
        over=rgb_to_luma(over),
        colours=Colours(shown, under, over),
    )
