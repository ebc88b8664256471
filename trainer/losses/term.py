"""What a loss term is: the key of its weight, its options, its function and its words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from trainer.losses.planes import Planes

Compared = Literal["telling", "ends", "drawn", "apart"]

Options = Mapping[str, int | float]
"""Value of each option of a term, by its key in the config."""


@dataclass(frozen=True, slots=True)
class TermOption:
    """A key of `[loss]` that belongs to one term, beside its weight.

    Attributes:
        key: Name of the key.
        default: Value where a config says nothing; an option is a whole number when this is.
        above: The value must be greater, None for no such bound.
        at_least: Smallest value, None for no such bound.
        at_most: Largest value, None for no such bound.
    """

    key: str
    default: int | float
    above: float | None = None
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True, slots=True)
class LossTerm:
    """One loss term; a module of `trainer.losses.terms` declares it as `TERM`.

    Attributes:
        key: Key of its weight in the config's `[loss]`.
        name: What the curves call its value.
        words: How the model card calls it in the sum.
        explanation: Sentence for the model card; `{key of an option}` stands for its value.
        position: Place in the sum and in the curves, in ascending order. The last bits of a sum
            depend on it, so the position of a term stays what it was.
        compute: The term of planes and options, not weighted. Shape (N,).
        options: Its other keys of the config.
        may_start_late: It has the key `<key>_from_step`, the first step in which it counts.
        is_shown_clamped: With a weight on it, terms that look at the output as it is shown see it
            clamped.
        needs_rgb: It looks at colour, which only a network that fuses RGB has.
        compares: Of more than two exposures it is given those two that show most together, the
            darkest and the brightest, two that chance has drawn, or all that are a third of the
            stack apart, one pair after the other; it then is the sum over them.
    """

    key: str
    name: str
    words: str
    explanation: str
    position: int
    compute: Callable[[Planes, Options], Tensor]
    options: tuple[TermOption, ...] = ()
    may_start_late: bool = False
    is_shown_clamped: bool = False
    needs_rgb: bool = False
    compares: Compared = "telling"

    @property
    def start_key(self) -> str:
        """The key of its first step."""
        return f"{self.key}_from_step"

    def all_options(self) -> tuple[TermOption, ...]:
        """Its keys of the config beside the weight."""
        if not self.may_start_late:
            return self.options
        return (TermOption(self.start_key, 0, at_least=0), *self.options)
