"""The metrics against the values of their published programmes, on photographs kept outside."""

import csv

import cv2
import numpy as np
import pytest

from tests.paths import SHARED
from trainer.metrics import METRICS, fmi, rgb_to_grey, s3
from trainer.metrics.quality.s3 import spatial_map, spectral_map

FOLDER = SHARED / "data" / "metrics"
IMAGES = ("arno", "belgium", "church", "iccv04")
# Column and variant of the reference file, where they are not the name and "gray".
VARIANTS = {
    "MS-SSIM": ("MS-SSIM", "gray; mean of both"),
    "MEF-SSIM": ("MEF-SSIM", "gray; 3 scales overall"),
    "LPC-SI": ("LPC-SI", "gray; sigma=0.33"),
    "S3": ("S3", "gray; mean of S3 map"),
    "PIQE": ("PIQE", "gray PNG"),
    "FMI": ("FMI", "gray; feature=dct; w=3"),
    "FMI-gradient": ("FMI", "gray; feature=gradient; w=3"),
    "FMI-wavelet": ("FMI", "gray; feature=wavelet; w=3"),
}

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
    metric, variant = VARIANTS.get(name, (name, "gray"))
    expected = read_references()[image, metric, variant]
    value = METRICS[name].compute((under, over), fused)
    assert value == pytest.approx(expected, rel=RELATIVE, abs=ROUNDING)


@needs_reference
@pytest.mark.parametrize("image", IMAGES)
def test_variants_outside_the_table_agree_with_their_programmes(image: str) -> None:
    references = read_references()
    under, over, fused = (read_grey(image, kind) for kind in ("under", "over", "fused"))
    value = fmi((under, over), fused, feature="none")
    expected = references[image, "FMI", "gray; feature=none; w=3"]
    assert value == pytest.approx(expected, rel=RELATIVE, abs=ROUNDING)
    expected = references[image, "S3", "gray; mean of top 1% of S3 map"]
    assert s3(fused, pooling="top") == pytest.approx(expected, rel=RELATIVE, abs=ROUNDING)


@needs_reference
@pytest.mark.parametrize("image", IMAGES)
def test_both_parts_of_s3_agree_with_the_programme(image: str) -> None:
    references = read_references()
    fused = read_grey(image, "fused").astype(np.float64)
    for part, compute in (("S1", spectral_map), ("S2", spatial_map)):
        expected = references[image, "S3", f"gray; mean of {part} map"]
        assert compute(fused).mean() == pytest.approx(expected, rel=RELATIVE, abs=ROUNDING)


@needs_reference
@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("kind", ["under", "over", "fused"])
def test_rgb_to_grey_gives_the_reference_grey(image: str, kind: str) -> None:
    picture = cv2.imread(str(FOLDER / f"{image}_{kind}.png"), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(rgb_to_grey(picture), read_grey(image, kind))
