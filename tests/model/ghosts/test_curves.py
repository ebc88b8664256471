import numpy as np
import pytest

from model.ghosts.curves import LARGEST_SPREAD, find_bounds, fit_curves, trust_levels

RNG = np.random.default_rng(0)
SOURCE = RNG.integers(0, 256, (120, 160, 3)).astype(np.uint8)
LEVEL = np.arange(256)


def test_equal_exposures_give_the_identity() -> None:
    curves = fit_curves(SOURCE, SOURCE)

    np.testing.assert_allclose(curves.levels, np.stack([LEVEL] * 3), atol=1.5)


@pytest.mark.parametrize("gain", [0.4, 1.0, 1.8])
def test_curves_find_a_gain_through_noise_and_motion(gain: float) -> None:
    noisy = np.clip(SOURCE * gain + RNG.normal(0, 2, SOURCE.shape), 0, 255)
    noisy[:20] = 10
    curves = fit_curves(SOURCE, np.rint(noisy).astype(np.uint8))

    np.testing.assert_allclose(
        curves.levels[:, 10:245], np.stack([(LEVEL * gain).clip(0, 255)] * 3)[:, 10:245], atol=5
    )


def test_curves_rise_and_keep_their_bounds() -> None:
    curves = fit_curves(SOURCE, RNG.integers(0, 256, SOURCE.shape).astype(np.uint8))

    for levels in (curves.levels, curves.ceiling):
        assert (np.diff(levels, axis=1) >= 0).all()
        assert levels.min() >= 0
        assert levels.max() <= 255
    assert (curves.ceiling >= curves.levels - 1e-9).all()
    assert curves.spread.max() <= LARGEST_SPREAD


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_constant_source_gives_a_finite_curve(level: int) -> None:
    curves = fit_curves(np.full_like(SOURCE, level), SOURCE)

    assert np.isfinite(curves.levels).all()
    assert np.isfinite(curves.spread).all()


def test_the_levels_of_a_single_object_follow_those_of_all() -> None:
    """A bright toy that was not there yet says nothing about bright levels."""
    rng = np.random.default_rng(1)
    source = rng.integers(20, 180, (400, 600, 3)).astype(np.uint8)
    target = (source * 0.5).astype(np.uint8)
    source[:8, :20] = rng.integers(190, 210, (8, 20, 1))
    target[:8, :20] = rng.integers(120, 180, (8, 20, 1))

    curve = fit_curves(source, target).levels

    assert curve[:, 205].max() < 125
    np.testing.assert_allclose(curve[:, 30:170], np.stack([LEVEL * 0.5] * 3)[:, 30:170], atol=1.5)


def test_trust_falls_where_the_reference_shows_nothing() -> None:
    darker, brighter = trust_levels(is_brighter=False), trust_levels(is_brighter=True)

    assert (darker[0], darker[255]) == (1.0, 0.0)
    assert (brighter[0], brighter[255]) == (0.0, 1.0)


def test_bounds_hold_what_the_last_trusted_level_shows() -> None:
    levels = np.stack([LEVEL * 0.5] * 3)

    assert levels[0, 0] < find_bounds(levels, is_brighter=True)[0] < levels[0, 128]
    assert levels[0, 128] < find_bounds(levels, is_brighter=False)[0] < levels[0, 255]
