"""The golden picture holds on every instruction set, and notices what is broken on the way."""

import json
import subprocess
import sys

import numpy as np
import pytest

from model.errors import WeightsError
from model.kernels import native
from model.manifest import read_manifest
from model.pipeline import create_pipeline
from model.release.golden_picture import (
    PICTURE_TOLERANCE,
    describe_picture,
    golden_stack,
    verify_picture,
)
from model.release.weights import load_weights
from tests.paths import ROOT

BUNDLED = sorted(path.parent for path in (ROOT / "weights").glob("*/manifest.json"))
BLEND = ROOT / "weights" / "pyramid-blend-2.1.0"

WITH_LIBRARY = """
import json, sys
from pathlib import Path
import cv2
features = {"native_any": "", "native_avx2": "AVX2", "native_avx512": "AVX2 AVX512-SKX"}
cv2.getCPUFeaturesLine = lambda: features[sys.argv[1]]
from model.kernels import native
from model.pipeline import create_pipeline
from model.release.golden_picture import describe_picture
from model.release.weights import load_weights
assert Path(native.LIBRARY._name).stem == sys.argv[1], native.LIBRARY
weights = load_weights(Path(sys.argv[2]))
pipeline = create_pipeline(weights, device="cpu")
print(json.dumps(describe_picture(weights.manifest.golden, pipeline.fuse).picture))
"""


@pytest.fixture(scope="module")
def blend():
    weights = load_weights(BLEND)
    return weights.manifest, create_pipeline(weights, device="cpu").fuse


@pytest.mark.parametrize("directory", BUNDLED, ids=lambda path: path.name)
def test_every_bundled_version_has_a_golden_picture_and_makes_it(directory):
    weights = load_weights(directory)
    pipeline = create_pipeline(weights, device="cpu")
    assert len(weights.manifest.golden.picture) == 3 * 12
    verify_picture(weights.manifest, pipeline.fuse, precision="float32")


@pytest.mark.parametrize("path", native.list_libraries(), ids=lambda path: path.stem)
def test_every_instruction_set_makes_it_within_one_rounding(path):
    command = [sys.executable, "-c", WITH_LIBRARY, path.stem, str(BLEND)]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr
    expected = read_manifest(BLEND).golden.picture
    off = np.abs(np.subtract(json.loads(ended.stdout), expected))
    assert off.max() <= 1 < PICTURE_TOLERANCE["float32"]


def test_the_pair_is_one_in_colour_dark_and_bright(blend):
    manifest, _ = blend
    stack = golden_stack(manifest.golden)
    assert stack.darkest.shape == (96, 96, 3)
    assert stack.darkest.dtype == np.uint8
    assert stack.darkest.mean() < stack.exposures[1].mean()
    assert (np.ptp(stack.darkest.astype(int), axis=2) > 20).any()


@pytest.mark.parametrize("precision", PICTURE_TOLERANCE)
def test_a_broken_device_is_noticed_in_every_precision(blend, precision):
    manifest, fuse = blend

    def swap_colours(stack):
        return fuse(stack)[..., ::-1]

    with pytest.raises(WeightsError, match="golden picture as this device makes it is off by"):
        verify_picture(manifest, swap_colours, precision=precision)


def test_a_manifest_of_another_number_of_samples_is_refused(blend):
    manifest, fuse = blend
    golden = manifest.golden.model_copy(update={"picture": (1, 2, 3)})
    other = manifest.model_copy(update={"golden": golden})
    with pytest.raises(WeightsError, match="expected 36 values of the golden picture"):
        verify_picture(other, fuse, precision="float32")


def test_a_version_that_was_exported_without_one_is_not_compared(blend):
    manifest, fuse = blend
    golden = manifest.golden.model_copy(update={"picture": ()})
    other = manifest.model_copy(update={"golden": golden})
    verify_picture(other, lambda stack: stack.darkest, precision="float32")
    assert describe_picture(golden, fuse).picture == manifest.golden.picture
