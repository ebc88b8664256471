"""The training config: one TOML file, frozen models, presets for the two readings of the paper."""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Self

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, model_validator

from model.blend.definition import MAX_EXPOSURES, MIN_EXPOSURES
from model.device import Precision
from model.manifest import NetworkConfig
from trainer.errors import ConfigError
from trainer.losses.config import LossConfig
from trainer.losses.registry import TERMS
from trainer.peers.definition import PEERS, TrainedConfig, is_peer
from trainer.toml import TomlTable, check_table, read_toml

Range = tuple[float, float]

SelectionCriterion = Literal["mef-ssim", "mef-ssim+qabf", "fidelity+contrast"]
"""What decides which parameters of a run are the best, see `trainer.run.selection`."""

PAPER: TomlTable = {
    "network": {"encoders": "tied", "feature_fusion": "sum", "final_activation": "relu"},
    "loss": {
        "source_sigma_px": 10.0,
        "source_kernel_sigmas": 6.0,
        "output_sigma_px": 10.0,
        "output_kernel_sigmas": 6.0,
        "source_blur_is_8_bit": False,
        "ms_ssim": "wang",
    },
    "data": {"lightness": "cielab", "resize": "crop"},
    "optim": {"learning_rate": 1e-4, "schedule": "constant", "batch": 1, "steps": 18_400},
}
AUTHORS: TomlTable = {
    "network": {"encoders": "separate", "feature_fusion": "mean", "final_activation": "relu"},
    "loss": {
        "source_sigma_px": 10.0,
        "source_kernel_sigmas": 6.0,
        "output_sigma_px": 50.0,
        "output_kernel_sigmas": 8.0,
        "source_blur_is_8_bit": True,
        "ms_ssim": "authors",
    },
    "data": {"lightness": "luma", "resize": "anisotropic"},
    "optim": {"learning_rate": 1e-4, "schedule": "constant", "batch": 1, "steps": 18_400},
}
FULL_WELL: Range = (5_000.0, 80_000.0)
"""Electrons at clipping, from a telephone's sensor to a large one."""

PRESETS: dict[str, TomlTable] = {"paper": PAPER, "authors": AUTHORS}
"""`paper` is the text's reading, `authors` that of the authors' published programme."""

BLEND = "pyramid-blend"
"""The architecture that fuses RGB; of a preset it takes losses and optimiser, not the network."""


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(_Group):
    """What a training triple looks like.

    Attributes:
        side_px: Side of the square planes.
        gap_ev: Range of the exposure gap from the correct to the under and to the over exposure.
        correct_lightness: Range of the correct exposure's mean L*.
        field_of_view_deg: Range of a rendered view's field of view.
        sampling: How a view samples its panorama: bilinear, or the nearest pixel, which keeps the
            finest detail as a photograph has it that was reduced without averaging.
        stack_share: Share of the triples that come from photographed stacks.
        motion: Share of the triples in which something moved between the exposures, and the
            camera by up to a pixel (`trainer.data.motion`).
        lightness: The planes that are trained on: CIELAB L*, or 8-bit ITU-R 601 luma as 0..100;
            sRGB-coded RGB as 0..1 for an architecture that fuses colour.
        exposures: Fewest and most exposures of a sample. Half of the steps have the fewest.
        full_well: Range of the sensor's electrons at clipping: with few of them the dark is noisy.
        coloured_light: Share of the rendered samples under strongly coloured light, in which single
            channels clip.
        lamps: Share of the rendered samples with lamps and bright panes (`trainer.data.lamps`).
        useless: Share of the rendered samples of three or more exposures in which one is black,
            white or a copy of another.
        replaced: Share of the rendered samples in which a region of one exposure is made of
            another, as the removal of ghosts leaves it (`trainer.data.replacement`).
        truth: Render the scene's radiance through a tone curve, too (`trainer.data.tone_curve`).
        without: Items of the manifest that are left out of training.
        resize: Photographed stacks: a random square crop, or the whole picture squeezed.
        licences: Beginnings of the licences that training data may have; the default is what
            weights for everyone may be made of, photographs of one's own ask for their own word.
        workers: Processes that prepare triples ahead of the training step.
    """

    side_px: int = Field(default=256, ge=176)
    gap_ev: Range = (1.0, 4.0)
    correct_lightness: Range = (42.0, 58.0)
    field_of_view_deg: Range = (80.0, 115.0)
    sampling: Literal["linear", "nearest"] = "nearest"
    stack_share: float = Field(default=0.15, ge=0, le=1)
    motion: float = Field(default=0.0, ge=0, le=1)
    lightness: Literal["cielab", "luma", "rgb"] = "cielab"
    exposures: tuple[int, int] = (2, 2)
    full_well: Range = FULL_WELL
    coloured_light: float = Field(default=0.0, ge=0, le=1)
    lamps: float = Field(default=0.0, ge=0, le=1)
    useless: float = Field(default=0.0, ge=0, le=1)
    replaced: float = Field(default=0.0, ge=0, le=1)
    truth: bool = False
    without: tuple[str, ...] = ()
    resize: Literal["crop", "anisotropic"] = "crop"
    licences: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=("CC0", "MIT", "Apache-2.0"), min_length=1
    )
    workers: int = Field(default=1, ge=0)

    @model_validator(mode="after")
    def _check_ranges(self) -> Self:
        least, full = self.full_well
        if not 0 < least <= full:
            raise ValueError(
                f"expected 0 < least <= most electrons in full_well, got {[least, full]}"
            )
        nearest, farthest = self.gap_ev
        if not 0 <= nearest <= farthest:
            raise ValueError(f"expected 0 <= least <= most EV in gap_ev, got {[nearest, farthest]}")
        fewest, most = self.exposures
        if not MIN_EXPOSURES <= fewest <= most <= MAX_EXPOSURES:
            raise ValueError(f"expected 2 <= fewest <= most <= 9 exposures, got {self.exposures}")
        return self


class OptimConfig(_Group):
    """The optimiser, Adam.

    Attributes:
        start: Initial parameters: random, those of `start_as_average`, those of a released version,
            which is then fine-tuned, or what another `pyramid-blend` knows of luma, see
            `start_as_luma_of` (both in `trainer.run.initial_parameters`).
        start_weights: The folder of that version, relative to the working directory; empty with
            any other start.
        zeroed: Parameters, by the beginnings of their names, that are zero and stay so: what an
            ablation leaves out.
        precision: Precision of the feature maps; parameters, last layer and losses are float32.
            With float16 the loss is scaled so that small gradients survive.
        learning_rate: Step size.
        schedule: Constant, or a cosine from the learning rate to zero over the run.
        restarts: Steps at which the cosine has come to zero and begins again, in ascending order.
        clip_norm: Length to which a longer gradient of all parameters is cut; 0 for never.
        batch: Triples in a step, of all processes together.
        steps: Steps of the run.
    """

    start: Literal["random", "average", "weights", "luma"] = "random"
    start_weights: str = ""
    zeroed: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    precision: Precision = "float32"
    learning_rate: float = Field(default=1e-4, gt=0)
    schedule: Literal["constant", "cosine"] = "constant"
    restarts: tuple[int, ...] = ()
    clip_norm: float = Field(default=0.0, ge=0)
    batch: int = Field(default=1, ge=1)
    steps: int = Field(default=18_400, ge=1)

    @model_validator(mode="after")
    def _check_start(self) -> Self:
        if (self.start in ("weights", "luma")) != bool(self.start_weights):
            raise ValueError(
                "expected start_weights with start = 'weights' or 'luma' and only with them, "
                f"got start = '{self.start}', start_weights = '{self.start_weights}'"
            )
        return self


class RunConfig(_Group):
    """How often a run speaks and saves, in steps."""

    log_every: int = Field(default=50, ge=1)
    checkpoint_every: int = Field(default=500, ge=1)


class ValidationConfig(_Group):
    """Held-out scenes, the stacks that the data's manifest keeps for `validate`.

    Attributes:
        every: Steps between two validations, the last step has one too; 0 for never.
        pairs: Scenes at most, spread evenly over the manifest.
        max_side_px: Longer sides are reduced to it.
        metric: What decides which parameters are the best: MEF-SSIM, its mean with Qabf, or the
            mean lead over Mertens's fusion (`trainer.run.selection.lead_over_mertens`).
        patience: Validations without an improvement that end the run; 0 for never.
    """

    every: int = Field(default=0, ge=0)
    pairs: int = Field(default=16, ge=1)
    max_side_px: int = Field(default=480, ge=128)
    metric: SelectionCriterion = "mef-ssim"
    patience: int = Field(default=0, ge=0)


class TrainConfig(_Group):
    """One training run.

    Attributes:
        name: Name of the weights that the run is for.
        reading: Preset whose values stand wherever the file says nothing.
        seed: Seed of the parameters and the data.
        network: Config of the network.
        data: Training triples.
        loss: Losses.
        optim: Optimiser.
        run: Logging and checkpoints.
        validation: Held-out scenes, the best parameters, and an early end.
    """

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    reading: Literal["paper", "authors"] = "paper"
    seed: int = Field(default=1620, ge=0)
    network: TrainedConfig = NetworkConfig()
    data: DataConfig = DataConfig()
    loss: LossConfig = LossConfig()
    optim: OptimConfig = OptimConfig()
    run: RunConfig = RunConfig()
    validation: ValidationConfig = ValidationConfig()

    @property
    def is_blend(self) -> bool:
        """The network blends RGB, and is run in passes."""
        return self.network.architecture == BLEND

    @model_validator(mode="after")
    def _check_architecture(self) -> Self:
        is_blend = self.is_blend
        if is_blend != (self.data.lightness == "rgb"):
            raise ValueError(
                f"expected data.lightness = 'rgb' with network.architecture = '{BLEND}' and only "
                f"with it, got '{self.data.lightness}' with '{self.network.architecture}'"
            )
        on_colour = [term.key for term in TERMS if term.needs_rgb]
        if not is_blend and any(getattr(self.loss, key) for key in on_colour):
            keys = " and ".join(f"loss.{key}" for key in on_colour)
            raise ValueError(f"expected {keys} only with network.architecture = '{BLEND}'")
        if self.optim.start == "average" and self.network.architecture != "hyperp-mb":
            raise ValueError(
                f"expected another optim.start than 'average' with '{self.network.architecture}'"
            )
        if is_peer(self.network) and self.optim.start != "random":
            raise ValueError(
                f"expected optim.start = 'random' with '{self.network.architecture}', "
                f"got '{self.optim.start}'"
            )
        if not is_blend and self.optim.start == "luma":
            raise ValueError(f"expected optim.start = 'luma' only with '{BLEND}'")
        if not is_blend and (self.data.exposures != (2, 2) or self.data.truth):
            raise ValueError(
                f"expected data.exposures = [2, 2] and no data.truth without '{BLEND}', "
                f"got {list(self.data.exposures)} and {self.data.truth}"
            )
        wants_truth = any(self.loss.weigh(term) for term in TERMS if term.key == "truth")
        if wants_truth and not self.data.truth:
            raise ValueError("expected data.truth = true with a weight on loss.truth")
        if is_blend and self.optim.precision != "float32":
            raise ValueError(
                f"expected optim.precision = 'float32' with '{self.network.architecture}', "
                f"got '{self.optim.precision}'"
            )
        return self


def load_config(path: Path, overrides: Iterable[str] = ()) -> TrainConfig:
    """Read a training config.

    Args:
        path: TOML file.
        overrides: `group.key=value` each, the value as TOML (a bare word is a string).

    Returns:
        The config, its preset filled in.

    Raises:
        ConfigError: No such file, no TOML, an unknown key, or a value out of range.
    """
    document = read_toml(path, what="a config file")
    for override in overrides:
        document = _merge(document, _parse_override(override))
    document = _merge(_preset_of(document), document)
    return check_table(TrainConfig, document, name=path.name)


def dump_config(config: TrainConfig) -> str:
    """The resolved config as TOML text; `load_config` reads it back to an equal config."""
    return tomli_w.dumps(config.model_dump(mode="json"))


def _preset_of(document: TomlTable) -> TomlTable:
    """What stands wherever a document says nothing; empty where its reading is unknown."""
    reading, network = document.get("reading", "paper"), document.get("network", {})
    preset = PRESETS.get(reading, {}) if isinstance(reading, str) else {}
    architecture = network.get("architecture") if isinstance(network, dict) else None
    if architecture == BLEND or architecture in PEERS:
        preset = {name: group for name, group in preset.items() if name != "network"}
    return _merge(preset, {"data": {"lightness": "rgb"}}) if architecture == BLEND else preset


def _parse_override(override: str) -> TomlTable:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"expected an override as group.key=value, got '{override}'")
    try:
        return tomllib.loads(f"{key} = {text}")
    except tomllib.TOMLDecodeError:
        pass
    try:
        return tomllib.loads(f"{key} = {_quote(text)}")
    except tomllib.TOMLDecodeError as cause:
        raise ConfigError(f"expected an override as group.key=value, got '{override}'") from cause


def _merge(base: TomlTable, over: TomlTable) -> TomlTable:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            merged[key] = _merge(below, value)
        else:
            merged[key] = value
    return merged


def _quote(text: str) -> str:
    """A bare word of the command line as a TOML string."""
    return tomli_w.dumps({"word": text}).removeprefix("word = ").rstrip("\n")
