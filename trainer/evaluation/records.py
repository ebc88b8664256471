"""What is known of each pair between runs: a file per pair, keyed on everything that decides it."""

import hashlib
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model.network import LIGHTNESS_MAX
from model.weights import golden_pair
from trainer.evaluation.pictures import write_whole
from trainer.metrics import METRICS

GOLDEN_SEED = 7
GOLDEN_SHAPE = (179, 183)
"""Odd, so that borders and halvings count; the smallest side of five scales of MS-SSIM is 176."""
GOLDEN_DIGITS = 9
"""A metric that is merely rewritten keeps these digits; another definition does not."""


class Score(BaseModel):
    """One value, and which definition of the metric gave it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    metric: str
    value: float


class MethodRecord(BaseModel):
    """What is known of one method's picture of one pair.

    Attributes:
        picture: Fingerprint of everything that decided the picture.
        chroma: Its mean CIELAB chroma.
        scores: Value by metric.
    """

    model_config = ConfigDict(extra="forbid")
    picture: str
    chroma: float | None = None
    scores: dict[str, Score] = Field(default_factory=dict)


class PairRecord(BaseModel):
    """What is known of one pair.

    Attributes:
        methods: By label.
        sheet: Fingerprint of the pictures on its contact sheet.
    """

    model_config = ConfigDict(extra="forbid")
    methods: dict[str, MethodRecord] = Field(default_factory=dict)
    sheet: str | None = None


def read_record(path: Path) -> PairRecord:
    """Read a pair's record; an absent or foreign one knows nothing."""
    try:
        return PairRecord.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return PairRecord()


def write_record(path: Path, record: PairRecord) -> None:
    """Write a pair's record; it appears whole or not at all."""
    write_whole(path, record.model_dump_json(indent=1).encode())


def hash_parts(*parts: str) -> str:
    """One fingerprint of several facts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part.encode()).digest())
    return digest.hexdigest()


@cache
def fingerprint_metric(name: str) -> str:
    """Tell definitions of a metric apart by what they say of pictures that code can remake."""
    return f"{METRICS[name].compute(*_golden_pictures()):.{GOLDEN_DIGITS}g}"


@cache
def _golden_pictures() -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Under, over and a fusion of them, grey, with clipped and with flat areas."""
    height, width = GOLDEN_SHAPE
    under, over = (
        np.rint(plane[0, 0, :height, :width].numpy() / LIGHTNESS_MAX * 255).astype(np.uint8)
        for plane in golden_pair(GOLDEN_SEED, max(GOLDEN_SHAPE))
    )
    return under, over, np.maximum(under, over // 3 * 2)
