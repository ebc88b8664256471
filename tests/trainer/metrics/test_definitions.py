"""The vectorised metrics against slow transcriptions of their definitions, and their parts."""

import numpy as np
import pytest

from trainer.metrics import edge_intensity, mef_ssim, qabf, rgb_to_grey
from trainer.metrics.windows import gaussian_taps, halve, window_mean, window_sum


def make_stack(height: int, width: int, count: int = 2) -> list[np.ndarray]:
    """Exposures of a textured scene, and their mean; the brightest one is clipped in part."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    scene = 60 + 50 * np.sin(x / 2.3) * np.cos(y / 3.1) + 1.5 * x
    gains = np.geomspace(0.5, 2.0, count)
    exposures = [np.rint(np.clip(scene * gain, 0, 255)) for gain in gains]
    return [*exposures, np.rint(np.mean(exposures, axis=0))]


def mef_quality_by_patches(exposures: list[np.ndarray], fused: np.ndarray) -> float:
    """The mean quality of one scale, a patch at a time, as the definition reads."""
    size, eps = 11, 2.22e-16
    window = np.outer(gaussian_taps(size, 1.5), gaussian_taps(size, 1.5))
    qualities = []
    for top in range(fused.shape[0] - size + 1):
        for left in range(fused.shape[1] - size + 1):
            cut = np.s_[top : top + size, left : left + size]
            patches = [plane[cut] - plane[cut].mean() for plane in exposures]
            norms = [float(np.sqrt((patch**2).sum())) for patch in patches]
            strengths = [norm + 0.001 for norm in norms]
            agreement = (np.sqrt((sum(patches) ** 2).sum()) + eps) / (sum(norms) + eps)
            agreement = min(max(agreement, eps), 1 - eps)
            exponent = min(np.tan(np.pi / 2 * agreement), 10)
            weights = [(strength / size) ** exponent + eps for strength in strengths]
            reference = sum(
                weight / sum(weights) * patch / strength
                for weight, patch, strength in zip(weights, patches, strengths, strict=True)
            )
            norm = np.sqrt((reference**2).sum())
            if norm > 0:
                reference = reference * max(strengths) / norm
            x = reference - (window * reference).sum()
            y = fused[cut] - (window * fused[cut]).sum()
            constant = (0.03 * 255) ** 2
            qualities.append(
                (2 * (window * x * y).sum() + constant)
                / ((window * (x**2 + y**2)).sum() + constant)
            )
    return float(np.mean(qualities))


@pytest.mark.parametrize("count", [2, 3])
def test_mef_ssim_equals_its_definition_patch_by_patch(count: int) -> None:
    planes = make_stack(46, 51, count)
    expected = 1.0
    for weight in (0.0448, 0.2856, 0.3001):
        expected *= mef_quality_by_patches(planes[:-1], planes[-1]) ** (weight / 0.6305)
        planes = [halve(plane) for plane in planes]
    # The box norms here come from products of sums; a patch of 121 squares loses few digits.
    *exposures, fused = make_stack(46, 51, count)
    assert mef_ssim(exposures, fused) == pytest.approx(expected, rel=1e-9)


def test_mef_ssim_judges_only_the_fusion_where_all_exposures_are_flat() -> None:
    black, white = np.zeros((48, 48)), np.full((48, 48), 255.0)
    assert mef_ssim([black, white], np.full((48, 48), 99.0)) == pytest.approx(1, abs=1e-12)
    assert mef_ssim([black, white], make_stack(48, 48)[2]) < 0.5


def test_edge_intensity_of_a_ramp_is_eight_times_its_slope_inside() -> None:
    ramp = np.tile(np.arange(100.0), (100, 1))
    # Two border columns see half the slope.
    assert edge_intensity(ramp) == pytest.approx(8 * (98 + 2 / 2) / 100, rel=1e-12)


def test_qabf_without_edges_in_the_sources_is_zero() -> None:
    # Zero padding puts an edge around any picture that is not black.
    black = np.zeros((20, 20))
    assert qabf([black, black], make_stack(20, 20)[2]) == 0.0


def test_qabf_falls_when_an_edge_turns() -> None:
    upright = make_stack(40, 40)[0]
    pair = [upright, upright]
    assert qabf(pair, upright.T.copy()) < 0.5 * qabf(pair, upright)


@pytest.mark.parametrize(("height", "width"), [(4, 6), (5, 6), (5, 7), (1, 1)])
def test_halve_means_pairs_and_repeats_an_odd_end(height: int, width: int) -> None:
    plane = np.arange(height * width, dtype=np.float64).reshape(height, width) ** 2
    halved = halve(plane)
    assert halved.shape == ((height + 1) // 2, (width + 1) // 2)
    for row in range(halved.shape[0]):
        for column in range(halved.shape[1]):
            rows = [2 * row, min(2 * row + 1, height - 1)]
            columns = [2 * column, min(2 * column + 1, width - 1)]
            assert halved[row, column] == plane[np.ix_(rows, columns)].mean()


def test_windows_cover_exactly_the_positions_where_they_fit() -> None:
    plane = make_stack(14, 17)[0]
    taps = gaussian_taps(5, 1.0)
    means, sums = window_mean(plane, taps), window_sum(plane, 5)
    assert means.shape == sums.shape == (10, 13)
    patch = plane[3:8, 6:11]
    assert means[3, 6] == pytest.approx((np.outer(taps, taps) * patch).sum(), rel=1e-13)
    assert sums[3, 6] == patch.sum()


def test_rgb_to_grey_rounds_halves_up_and_keeps_grey() -> None:
    levels = np.arange(256, dtype=np.uint8)
    grey = np.repeat(levels[None, :, None], 3, axis=2)
    np.testing.assert_array_equal(rgb_to_grey(grey)[0], levels)
    # 0.298936 * 255 = 76.23, 0.587043 * 255 = 149.70, 0.114021 * 255 = 29.08
    primaries = (255 * np.eye(3, dtype=np.uint8))[None]
    assert rgb_to_grey(primaries).tolist() == [[76, 150, 29]]


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4)])
def test_rgb_to_grey_refuses_what_is_not_rgb(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected a uint8 picture"):
        rgb_to_grey(np.zeros(shape, np.uint8))


def test_rgb_to_grey_refuses_other_depths() -> None:
    with pytest.raises(ValueError, match="uint16"):
        rgb_to_grey(np.zeros((4, 4, 3), np.uint16))
