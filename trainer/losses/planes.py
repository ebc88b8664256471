"""The planes that the losses compare: a fusion and its exposures on the scale 0..255."""

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from model.blend.torch_colour import to_luma
from model.lightness.definition import LIGHTNESS_MAX
from trainer.losses.local_moments import DATA_RANGE, MomentPyramid

RGB_CHANNELS = 3


@dataclass(frozen=True, slots=True, eq=False)
class ColourPlanes:
    """The fusion, clamped, and its exposures, sRGB-coded 0..255. Shape (N, 3, H, W) each.

    The truth is the scene through a tone curve; None where none was rendered.
    """

    fused: Tensor
    under: Tensor
    over: Tensor
    truth: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Planes:
    """Lightness, or luma where the network fuses RGB, 0..255. Shape (N, 1, H, W) each.

    Attributes:
        fused: The fusion, not clamped.
        shown: The fusion as it is shown.
        under: Under exposure.
        correct: Correct exposure.
        over: Over exposure.
        rgb: The same in RGB; None where the network fuses lightness.
    """

    fused: Tensor
    shown: Tensor
    under: Tensor
    correct: Tensor
    over: Tensor
    rgb: ColourPlanes | None = None

    @cached_property
    def pyramid(self) -> MomentPyramid:
        """Local moments of the fusion as it is shown and of its exposures, shared by all terms."""
        return MomentPyramid(self.shown, self.under, self.over)

    @property
    def colours(self) -> ColourPlanes:
        """The planes in RGB.

        Raises:
            ValueError: The network fuses lightness.
        """
        if self.rgb is None:
            raise ValueError("expected RGB for a loss term on colour, got one plane")
        return self.rgb


def scale_planes(
    output: Tensor, triple: Tensor, *, is_clamped: bool, truth: Tensor | None = None
) -> Planes:
    """Bring an output and its triple to the scale of the losses.

    Args:
        output: Fused L*, 0..100, shape (N, 1, H, W); or sRGB-coded RGB, 0..1, (N, 3, H, W).
        triple: Under, correct and over exposure in the same planes. Shape (N, 3, C, H, W).
        is_clamped: Lightness is shown clamped; RGB always is.
        truth: The scene through a tone curve, in RGB. Shape (N, 3, H, W).

    Returns:
        The planes; gradients flow through those of the output.
    """
    if output.shape[1] == RGB_CHANNELS:
        return _scale_rgb(output, triple, truth)
    scale = DATA_RANGE / LIGHTNESS_MAX
    fused = output * scale
    under, correct, over = (plane * scale for plane in triple.unbind(dim=1))
    shown = fused.clamp(0, DATA_RANGE) if is_clamped else fused
    return Planes(fused, shown, under, correct, over)


def rgb_to_luma(rgb: Tensor) -> Tensor:
    """The grey that the metrics look at, of any scale. Shape (N, 3, H, W) to (N, 1, H, W)."""
    return to_luma(rgb).unsqueeze(1)


def _scale_rgb(output: Tensor, triple: Tensor, truth: Tensor | None) -> Planes:
    under, correct, over = (picture * DATA_RANGE for picture in triple.unbind(dim=1))
    fused = output * DATA_RANGE
    shown = fused.clamp(0, DATA_RANGE)
    return Planes(
        fused=rgb_to_luma(fused),
        shown=rgb_to_luma(shown),
        under=rgb_to_luma(under),
        correct=rgb_to_luma(correct),
        over=rgb_to_luma(over),
        rgb=ColourPlanes(shown, under, over, None if truth is None else truth * DATA_RANGE),
    )
