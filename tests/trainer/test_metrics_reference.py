"""The metrics against the values of their published programmes, on photographs kept outside."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from trainer.metrics import METRICS, rgb_to_grey

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "metrics"
IMAGES = ("arno", "belgium", "church", "iccv04")
VARIANTS = {"MS-SSIM": "gray; mean of both", "MEF-SSIM": "gray; 3 scales overall"}

# The reference values are printed with six decimals, so half of the last one is rounding.
RELATIVE = 1e-6
ROUNDING = 0.5e-6

needs_reference = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="the reference photographs (../shared/data/metrics) are absent"
)


def read_references() -> dict[tuple[str, str, str], float]:
    with (FOLDER / "reference.csv").open(newline="") as file:
        return {
            (row["image"], row["metric"], row["variant"]): float(row["value"])
            for row in csv.DictReader(file)
        }


def read_grey(image: str, kind: str) -> np.ndarray:
    return cv2.imread(str(FOLDER / f"{image}_{kind}_gray.png"), cv2.IMREAD_GRAYSCALE)


@needs_reference
@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("image", IMAGES)
def test_metric_agrees_with_its_published_programme(image: str, name: str) -> None:
    under, over, fused = (read_grey(image, kind) for kind in ("under", "over", "fused"))
    expected = read_references()[image, name, VARIANTS.get(name, "gray")]
    value = METRICS[name].compute(under, over, fused)
    assert value == pytest.approx(expected, rel=RELATIVE, abs=ROUNDING)


@needs_reference
@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("kind", ["under", "over", "fused"])
def test_rgb_to_grey_gives_the_reference_grey(image: str, kind: str) -> None:
    picture = cv2.imread(str(FOLDER / f"{image}_{kind}.png"), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(rgb_to_grey(picture), read_grey(image, kind))
