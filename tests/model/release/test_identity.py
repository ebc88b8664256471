"""Equal exposures come back from the shipped weights."""

import numpy as np
import pytest

from model.exposure import ExposureStack
from model.fuse import fuse_stack
from model.manifest import MANIFEST_NAME, read_manifest
from model.pipeline import create_pipeline
from model.release.weights import load_weights
from tests import images
from tests.identity import identity_change
from tests.paths import ROOT

VERSIONS = sorted(path.parent for path in (ROOT / "weights").glob(f"*/{MANIFEST_NAME}"))
COUNTS = (2, 5)
DRAWN_ANEW = {
    "hyperp-mb-1.1.0": (10.0, 75),
    # noise holds yellows that are as light as white once lightness is drawn anew: they turn white
    "hyperp-mb-1.1.1": (12.0, 255),
}
"""Mean and largest change by versions that draw lightness anew."""

each_version = pytest.mark.parametrize("directory", VERSIONS, ids=lambda path: path.name)


def make_pictures() -> list[np.ndarray]:
    """A smooth scene, slopes of every colour, and noise."""
    y, x = np.mgrid[:160, :200]
    slopes = np.stack([x * 255 // 199, y * 255 // 159, (x + y) * 255 // 358], axis=-1)
    noise = np.random.default_rng(3).integers(0, 256, (160, 200, 3), np.uint8)
    return [images.scene(160, 200), slopes.astype(np.uint8), noise]


@each_version
@pytest.mark.parametrize("count", COUNTS)
def test_equal_exposures_are_one_exposure_to_the_service(directory, count):
    pipeline = create_pipeline(load_weights(directory), device="cpu")
    default = read_manifest(directory).reference

    def fuse(picture):
        stack = ExposureStack.from_images([picture] * count)
        return fuse_stack(stack, pipeline, default=default).picture

    for picture in make_pictures():
        assert identity_change(fuse, picture) == (0.0, 0)


@each_version
@pytest.mark.parametrize("count", COUNTS)
def test_equal_exposures_come_back_from_the_pipeline(directory, count):
    pipeline = create_pipeline(load_weights(directory), device="cpu")
    allowed = DRAWN_ANEW.get(directory.name, (1.0, 1))
    for picture in make_pictures():
        mean, largest = identity_change(
            lambda one: pipeline.fuse(ExposureStack.from_images([one] * count)), picture
        )
        assert mean <= allowed[0]
        assert largest <= allowed[1]
