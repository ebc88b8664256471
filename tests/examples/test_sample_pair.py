"""The sample pair that the README's first command sends."""

import cv2
import numpy as np
import pytest

from model.exposure import ExposureStack
from tests.paths import ROOT

EXAMPLES = ROOT / "examples"
MAX_BYTES = 300_000


def read_rgb(name: str) -> np.ndarray:
    picture = cv2.imread(str(EXAMPLES / name), cv2.IMREAD_COLOR_RGB)
    assert picture is not None, f"examples/{name} is not a picture"
    return picture


@pytest.fixture(scope="module")
def under() -> np.ndarray:
    return read_rgb("under.jpg")


@pytest.fixture(scope="module")
def over() -> np.ndarray:
    return read_rgb("over.jpg")


def test_sample_pair_is_a_pair_in_the_right_order(under: np.ndarray, over: np.ndarray) -> None:
    pair = ExposureStack.from_images([under, over])
    assert not pair.is_reordered
    assert under.shape == over.shape == (640, 960, 3)


def test_sample_pair_is_small_enough_to_live_in_the_repository() -> None:
    assert sum((EXAMPLES / name).stat().st_size for name in ("under.jpg", "over.jpg")) < MAX_BYTES


def test_each_exposure_shows_what_the_other_loses(under: np.ndarray, over: np.ndarray) -> None:
    dark, bright = under.max(axis=2), over.min(axis=2)
    is_clipped, is_black = bright >= 250, dark <= 25
    assert 0.03 < is_clipped.mean() < 0.4
    assert 0.4 < is_black.mean() < 0.95
    # The window view is there in the under exposure, the room in the over exposure.
    assert under[is_clipped].std() > 25
    assert np.median(under[is_clipped]) > 60
    assert over[is_black].std() > 40
    assert np.median(over[is_black]) > 80


def test_both_exposures_hold_keypoints_for_alignment(under: np.ndarray, over: np.ndarray) -> None:
    detector = cv2.SIFT_create()
    for picture, least in ((under, 150), (over, 500)):
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        assert len(detector.detect(grey, None)) > least
