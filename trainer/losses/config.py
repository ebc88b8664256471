"""The group `[loss]` of a training config: the paper's three tasks, and the keys of every term."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from trainer.losses.registry import TERMS
from trainer.losses.term import LossTerm, Options, TermOption


class TaskConfig(BaseModel):
    """MaskBuilder, ParamTuner and the paper's three tasks.

    Attributes:
        tasks: Weight of the paper's three tasks together; 0 does without them.
        use_masks: Train the under and over tasks (MaskBuilder); else the co-target alone.
        use_tuner: Weight them by ParamTuner; else both by `beta / 2`.
        source_sigma_px: Sigma of the mask that multiplies the source exposure.
        source_kernel_sigmas: Side of that mask's kernel in sigmas, less the one pixel more.
        output_sigma_px: Sigma of the mask that multiplies the output.
        output_kernel_sigmas: The same for the output's mask.
        source_blur_is_8_bit: Round the blurred source to grey levels before normalising.
        square_error: The mean square error that the text names, or the L2 norm that Eq. 8 writes.
        alpha: Weight of 1 - MS-SSIM against the square error on the scale 0..255.
        beta: Sum of the two dynamic weights.
        tau: Reciprocal of the contrast below which an exposure counts as low in contrast.
        ms_ssim: Wang's definition, or the variant in the authors' programme.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    tasks: float = Field(default=1.0, ge=0)
    use_masks: bool = True
    use_tuner: bool = True
    source_sigma_px: float = Field(default=10.0, gt=0)
    source_kernel_sigmas: float = Field(default=6.0, gt=0)
    output_sigma_px: float = Field(default=10.0, gt=0)
    output_kernel_sigmas: float = Field(default=6.0, gt=0)
    source_blur_is_8_bit: bool = False
    square_error: Literal["mean", "norm"] = "mean"
    alpha: float = Field(default=1000.0, ge=0)
    beta: float = Field(default=2.0, ge=0)
    tau: float = Field(default=3.0, gt=0)
    ms_ssim: Literal["wang", "authors"] = "wang"

    def weigh(self, term: LossTerm, step: int = 0) -> float:
        """Weight of a term in a step, counted from 0; 0 before the term's first step."""
        if term.may_start_late and step < getattr(self, term.start_key):
            return 0.0
        return float(getattr(self, term.key))

    def read_options(self, term: LossTerm) -> Options:
        """Values of a term's options."""
        return {option.key: getattr(self, option.key) for option in term.all_options()}

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        if not any([self.tasks, *(self.weigh(term) for term in TERMS)]):
            raise ValueError("expected a weight above 0 that counts from the first step on")
        return self


def _declare_fields() -> dict[str, Any]:
    """A field for the weight of each term and for each of its options, as pydantic takes them."""
    fields: dict[str, Any] = {}
    for term in TERMS:
        fields[term.key] = (Annotated[float, Field(ge=0)], 0.0)
        for option in term.all_options():
            fields[option.key] = (_declare_type(option), option.default)
    return fields


def _declare_type(option: TermOption) -> object:
    bounds = Field(gt=option.above, ge=option.at_least, le=option.at_most)
    return Annotated[type(option.default), bounds]


if TYPE_CHECKING:
    LossConfig = TaskConfig
else:
    # The keys of the terms are fields like the others: checked, dumped and refused by name.
    LossConfig = create_model(
        "LossConfig", __base__=TaskConfig, __module__=__name__, **_declare_fields()
    )
