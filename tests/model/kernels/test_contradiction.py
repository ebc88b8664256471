"""The compiled score of contradictions against OpenCV's operations, on sizes that reach borders."""

import cv2
import numpy as np
import pytest

from model.ghosts.consistency import Expectation, expect, score_contradiction
from model.ghosts.curves import CLIPPED_LEVEL, Curves, trust_levels
from model.ghosts.find import find_ghosts_of_proxies
from model.ghosts.kernels import Looked, look_up_source, score_planes, sum_trusted
from model.ghosts.planes import to_planes
from model.kernels.native import Tolerance
from tests.model.kernels.contradiction_by_opencv import score_contradiction as define_score

SIZES = [(2, 2), (2, 9), (3, 5), (16, 16), (17, 33), (31, 64), (48, 65), (67, 131), (145, 80)]
"""The coarser scales begin at 16 pixels."""

LEVEL = np.arange(256.0)
pytestmark = pytest.mark.usefixtures("each_library")


def make_proxies(height, width, seed=7):
    """A source with every level, and a target that differs from its half in places."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (-(-height // 8), -(-width // 8), 3)).astype(np.uint8)
    source = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    source = cv2.add(source, rng.integers(0, 9, source.shape).astype(np.uint8))
    target = (source * 0.5 + rng.integers(0, 12, source.shape)).astype(np.uint8)
    target[height // 3 : height // 2, width // 4 :] = (source + 128)[
        height // 3 : height // 2, width // 4 :
    ]
    return source, target


def make_curves(gain):
    levels = np.stack([(LEVEL * gain * share).clip(0, 255) for share in (0.9, 1.0, 1.1)])
    return Curves(levels, np.maximum(levels, levels[:, CLIPPED_LEVEL:].max()), 1 + LEVEL / 64)


def make_expectation(source, gain, *, is_brighter):
    trust = trust_levels(is_brighter=is_brighter)
    return expect(source, make_curves(gain), trust, is_brighter=is_brighter)


@pytest.mark.parametrize("is_brighter", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_the_kernel_scores_as_opencv_but_for_rounding(size, is_brighter):
    source, target = make_proxies(*size)
    if is_brighter:
        source, target = target, source
    expected = make_expectation(source, 2.0 if is_brighter else 0.5, is_brighter=is_brighter)
    score = score_contradiction(to_planes(target), expected)
    assert score.dtype == np.float32
    assert score.max() > 0.5 or min(size) <= 16
    np.testing.assert_allclose(score, define_score(to_planes(target), expected), atol=2e-5)


@pytest.mark.parametrize("is_brighter", [False, True])
def test_planes_of_noise_are_scored_as_opencv_does(is_brighter):
    """Each plane by itself, as where two expectations are joined: no two of them go together."""
    rng = np.random.default_rng(3)
    exposure, levels, least, most = rng.integers(0, 256, (4, 3, 53, 70)).astype(np.uint8)
    planes = Looked(levels, least, most, *rng.integers(0, 256, (2, 53, 70)).astype(np.uint8))
    expected = Expectation(planes, is_brighter)
    np.testing.assert_allclose(
        score_contradiction(exposure, expected), define_score(exposure, expected), atol=5e-5
    )


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("size", [(1, 1), (1, 16), (16, 1), (40, 40)])
def test_what_is_expected_everywhere_is_no_contradiction(size, level):
    flat = np.full((*size, 3), level, np.uint8)
    expected = make_expectation(flat, 1.0, is_brighter=False)
    exposure = expected.planes.levels
    np.testing.assert_array_equal(score_contradiction(exposure, expected), np.zeros(size))


@pytest.mark.parametrize("is_brighter", [False, True])
def test_tables_are_looked_up_as_numpy_does(is_brighter):
    rng = np.random.default_rng(5)
    source = rng.integers(0, 256, (23, 37, 3)).astype(np.uint8)
    tables = rng.integers(0, 256, (3, 3, 256)).astype(np.uint8)
    spreads, trusts = rng.integers(0, 256, (2, 256)).astype(np.uint8)
    found = look_up_source(source, tables, spreads, trusts, is_brighter=is_brighter)
    for planes, kind in zip(found[:3], tables, strict=True):
        expected = [table[source[..., channel]] for channel, table in enumerate(kind)]
        np.testing.assert_array_equal(planes, expected)
    grey = cv2.cvtColor(source, cv2.COLOR_RGB2GRAY)
    np.testing.assert_array_equal(found.spread, spreads[grey])
    worst = source.min(axis=2) if is_brighter else source.max(axis=2)
    np.testing.assert_array_equal(found.trust, trusts[worst])


@pytest.mark.parametrize("size", [(1, 1), (2, 7), (33, 20)])
def test_sums_are_those_of_trusted_lumas(size):
    source, target = make_proxies(*size)
    expected = make_expectation(source, 0.5, is_brighter=False)
    sums = sum_trusted(to_planes(target), expected.planes)
    trusted = expected.planes.trust[::2, ::2] > 127
    x, y = (
        cv2.cvtColor(one, cv2.COLOR_RGB2GRAY)[::2, ::2][trusted].astype(np.int64)
        for one in (target, np.ascontiguousarray(expected.planes.levels.transpose(1, 2, 0)))
    )
    assert sums == (len(x), x.sum(), y.sum(), (x * x).sum(), (y * y).sum(), (x * y).sum())


def test_a_ghost_is_found_by_every_library_alike():
    source, target = make_proxies(180, 240)
    dark = find_ghosts_of_proxies([target, source], reference=1)[0]
    assert dark is not None
    assert dark.mask[70:85, 90:200].min() == 255


def test_planes_of_other_sizes_are_refused():
    source, target = make_proxies(20, 30)
    expected = make_expectation(source, 0.5, is_brighter=False)
    with pytest.raises(ValueError, match="expected planes of"):
        score_planes(to_planes(target)[:, 1:], expected.planes, Tolerance(), is_brighter=False)
