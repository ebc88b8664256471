"""Loss term `hue`: chroma that no mix of the exposures has, as the guard measures it."""

from torch import Tensor

from trainer.losses.planes import Planes
from trainer.losses.term import LossTerm, Options
from trainer.metrics.guards.hue import foreign_hue


def _compute(planes: Planes, options: Options) -> Tensor:
    colours = planes.colours
    return foreign_hue(colours.fused, (colours.under, colours.over))


TERM = LossTerm(
    key="hue",
    name="foreign_hue",
    words="foreign hue",
    explanation=(
        "Foreign hue: how far the chroma of 4 x 4 pixels lies from any mix of the exposures'."
    ),
    position=120,
    compute=_compute,
    needs_rgb=True,
)
