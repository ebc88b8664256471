"""Keeps what is known of each scene between runs, in a file keyed on everything that decides it."""

import hashlib
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from expofuse.files import pixels, reading
from model.lightness.definition import LIGHTNESS_MAX
from model.release.weights import golden_pair
from trainer.files import write_whole
from trainer.metrics import GUARDS, MEASURES

EVALUATION_FOLDER = Path(__file__).parent
CODE = (
    *sorted((EVALUATION_FOLDER / "methods").glob("*.py")),
    EVALUATION_FOLDER / "scenes.py",
    EVALUATION_FOLDER / "pictures.py",
    EVALUATION_FOLDER.parent / "data" / "pixels.py",
    EVALUATION_FOLDER.parent / "mertens.py",
    EVALUATION_FOLDER.parent / "metrics" / "grey.py",
    *sorted(Path(reading.__file__).parent.rglob("*.py")),
    Path(pixels.__file__),
)
"""What leads from the files of a scene to the pixels that are scored, but for `model` itself."""

GOLDEN_SEED = 7
GOLDEN_SHAPE = (179, 183)
"""Odd, so that borders and halvings count; the smallest side of five scales of MS-SSIM is 176."""
GOLDEN_DIGITS = 9
"""A metric that is merely rewritten keeps these digits; another definition does not."""


class Score(BaseModel):
    """One value, and which definition of the metric gave it; None: it does not apply."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    metric: str
    value: float | None


class MethodRecord(BaseModel):
    """What is known of one method's picture of one scene.

    Attributes:
        picture: Fingerprint of the exposures' files and of the method with its options.
        code: Hash of the code that made the picture of them, see `hash_code`.
        greys: Hash of the exposures as the metrics took them. A record from before this was kept
            has neither; its scores are taken to be of the same exposures when `picture` is equal.
        scores: Value by metric and guard.
    """

    model_config = ConfigDict(extra="forbid")
    picture: str
    code: str | None = None
    greys: str | None = None
    scores: dict[str, Score] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _read_earlier(cls, data: object) -> object:
        """A record from before chroma was a guard says nothing of how it was defined."""
        if isinstance(data, dict):
            return {key: value for key, value in data.items() if key != "chroma"}
        return data


class SceneRecord(BaseModel):
    """What is known of one scene.

    Attributes:
        methods: By label.
        sheet: Fingerprint of the pictures on its contact sheet.
    """

    model_config = ConfigDict(extra="forbid")
    methods: dict[str, MethodRecord] = Field(default_factory=dict)
    sheet: str | None = None


def read_record(path: Path) -> SceneRecord:
    """Read a scene's record; an absent or foreign one knows nothing."""
    try:
        return SceneRecord.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return SceneRecord()


def write_record(path: Path, record: SceneRecord) -> None:
    """Write a scene's record; it appears whole or not at all."""
    write_whole(path, record.model_dump_json(indent=1))


def hash_parts(*parts: str) -> str:
    """One fingerprint of several facts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part.encode()).digest())
    return digest.hexdigest()


@cache
def hash_code() -> str:
    """Hash of the sources that decide pictures: one of other code is to be made again."""
    return hash_parts(*(path.read_text(encoding="utf-8") for path in CODE))


@cache
def fingerprint_metric(name: str) -> str:
    """Tell definitions of a metric apart by what they say of pictures that code can remake."""
    measure = MEASURES[name]
    exposures, fused = _golden_pictures()
    if name in GUARDS:
        fused = _spoil(fused)
    if measure.reads == "rgb":
        *exposures, fused = _show_all_levels(*exposures, fused)
        exposures, fused = [_colour(plane) for plane in exposures], _colour(fused)[..., ::-1]
    stacks = [[exposures[0], exposures[-1]], exposures][: 1 if measure.inputs == "fused" else 2]
    values = [measure.compute(stack, fused) for stack in stacks]
    return " ".join("-" if value is None else f"{value:.{GOLDEN_DIGITS}g}" for value in values)


def _spoil(fused: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture with what guards are about: one third as its negative, triple contrast beside."""
    negative, kept = np.hsplit(fused, [GOLDEN_SHAPE[1] // 3])
    tripled = np.clip(3 * (kept - kept.mean()) + kept.mean(), 0, 255)
    return np.hstack([255 - negative, np.rint(tripled).astype(np.uint8)])


def _show_all_levels(
    under: NDArray[np.uint8], *others: NDArray[np.uint8]
) -> list[NDArray[np.uint8]]:
    """Exposures and a fusion with every level that limits of guards may lie at.

    Above, lines of the darkest exposure hold them before the white of the brightest one. Below,
    lines of the brightest do, where the darkest is black and the fusion dark or black.
    """
    under, *between, over, fused = (plane.copy() for plane in (under, *others))
    levels = np.linspace(0, 255, GOLDEN_SHAPE[1]).astype(np.uint8)
    under[:120:12] = over[120::3] = levels
    under[120::3], fused[120::3] = 0, levels % 40
    return [under, *between, over, fused]


def _colour(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture in colour: three curves, each of another place of a plane; white stays white."""
    channels = [
        255 * (np.roll(plane, 6 * channel, axis=1) / 255) ** gamma
        for channel, gamma in enumerate((0.7, 1.0, 1.4))
    ]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


@cache
def _golden_pictures() -> tuple[list[NDArray[np.uint8]], NDArray[np.uint8]]:
    """Five exposures and a fusion, grey, with clipped and flat areas.

    One of them contradicts the others in part, one is nearly another one.
    """
    height, width = GOLDEN_SHAPE
    under, over = (
        np.rint(plane[:height, :width] / LIGHTNESS_MAX * 255).astype(np.uint8)
        for plane in golden_pair(GOLDEN_SEED, max(GOLDEN_SHAPE))
    )
    middle = under // 2 + over // 2
    contrary = np.hstack([255 - middle[:, : width // 4], np.clip(middle, 60, 170)[:, width // 4 :]])
    return [under, under + 1, middle, contrary, over], np.maximum(under, over // 3 * 2)
