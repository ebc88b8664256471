import numpy as np
import pytest
import torch

from model.exposure import IDENTITY
from model.geometry import reference_to_moving
from model.tiling import Rect, plan_windows
from model.torch_warp import warp_window

CPU = torch.device("cpu")
HOMOGRAPHY = (1.02, 0.03, -4.3, -0.025, 0.98, 6.7, 3e-5, -4e-5, 1.0)


def smooth(x, y):
    """A smooth picture as a function of position, 0..1, three channels."""
    return np.stack(
        (
            0.5 + 0.4 * np.sin(x / 9) * np.cos(y / 11),
            0.5 + 0.4 * np.sin((x + y) / 13),
            0.5 + 0.4 * np.cos((x - 2 * y) / 17),
        ),
        axis=-1,
    )


def sample(height, width):
    y, x = np.mgrid[:height, :width].astype(float)
    return np.rint(smooth(x, y) * 65535).astype(np.uint16)


def warp(moving, homography, target):
    to_moving = reference_to_moving(homography, *moving.shape[:2])
    return warp_window(moving, to_moving, target, device=CPU)[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_identity_returns_the_pixels(dtype):
    full = np.iinfo(dtype).max
    moving = np.random.default_rng(0).integers(0, full, (23, 31, 3), dtype=dtype, endpoint=True)
    warped = warp(moving, IDENTITY, Rect(0, 0, 23, 31))
    assert (np.rint(warped * full) == moving).all()


def test_a_whole_pixel_shift_moves_pixels_and_repeats_the_edge():
    moving = np.random.default_rng(0).integers(0, 256, (23, 31, 3), dtype=np.uint8)
    warped = warp(moving, (1, 0, 3, 0, 1, -2, 0, 0, 1), Rect(0, 0, 23, 31))
    rows = (np.arange(23) + 2).clip(0, 22)
    columns = (np.arange(31) - 3).clip(0, 30)
    assert (np.rint(warped * 255) == moving[rows][:, columns]).all()


def test_the_homography_maps_a_moving_pixel_to_its_reference_pixel():
    height, width = 120, 150
    warped = warp(sample(height, width), HOMOGRAPHY, Rect(0, 0, height, width))
    y, x = np.mgrid[:height, :width].astype(float)
    points = np.linalg.inv(np.reshape(HOMOGRAPHY, (3, 3))) @ np.stack(
        (x.ravel(), y.ravel(), np.ones(x.size))
    )
    moved_x, moved_y = (points[:2] / points[2]).reshape(2, height, width)
    is_inside = (moved_x > 2) & (moved_x < width - 3) & (moved_y > 2) & (moved_y < height - 3)
    difference = np.abs(warped - smooth(moved_x, moved_y))[is_inside]
    assert is_inside.mean() > 0.8
    # Keys' kernel is exact for quadratics; the waves' cubic term at this period leaves 1e-3.
    assert difference.max() < 2e-3


def test_a_quadratic_is_interpolated_exactly():
    x = np.arange(60.0)
    moving = np.repeat(np.rint(10 * x**2).astype(np.uint16)[None, :, None], 20, 0).repeat(3, 2)
    warped = warp(moving, (1, 0, 0.5, 0, 1, 0, 0, 0, 1), Rect(5, 5, 10, 40))
    expected = 10 * (np.arange(5, 45) - 0.5) ** 2
    assert np.abs(warped[0, :, 0] * 65535 - expected).max() < 0.01


def test_windows_warp_to_the_bits_of_the_whole():
    height, width = 97, 131
    moving = np.random.default_rng(0).integers(0, 65536, (height, width, 3), dtype=np.uint16)
    whole = warp(moving, HOMOGRAPHY, Rect(0, 0, height, width))
    for window in plan_windows(height, width, halo_px=8, tile_px=40):
        assert np.array_equal(warp(moving, HOMOGRAPHY, window.source), whole[window.source.slices])


def test_only_the_needed_region_is_read():
    moving = sample(400, 400)
    poisoned = moving.copy()
    poisoned[:, 100:] = 0
    target = Rect(10, 10, 60, 60)
    assert np.array_equal(warp(moving, HOMOGRAPHY, target), warp(poisoned, HOMOGRAPHY, target))


def test_a_window_wholly_outside_takes_the_nearest_corner():
    moving = sample(30, 40)
    warped = warp(moving, (1, 0, 1e7, 0, 1, 1e7, 0, 0, 1), Rect(0, 0, 5, 6))
    np.testing.assert_allclose(warped, np.broadcast_to(moving[0, 0] / 65535, (5, 6, 3)), rtol=1e-6)


def test_overshoot_stays_in_range():
    moving = np.zeros((20, 20, 3), np.uint8)
    moving[:, 10:] = 255
    warped = warp(moving, (1, 0, 0.5, 0, 1, 0, 0, 0, 1), Rect(0, 0, 20, 20))
    assert warped.min() == 0
    assert warped.max() == 1


@pytest.mark.parametrize(
    ("homography", "message"),
    [
        ((1, 0, 0, 0, 1, 0, 0, 0), "nine finite numbers"),
        ((np.nan, 0, 0, 0, 1, 0, 0, 0, 1), "nine finite numbers"),
        ((1, 0, 0, 1, 0, 0, 0, 0, 1), "singular"),
        ((1, 0, 0, 0, 1, 0, 0.02, 0, 1), "horizon"),
    ],
)
def test_a_homography_that_cannot_warp_the_picture_is_refused(homography, message):
    with pytest.raises(ValueError, match=message):
        reference_to_moving(homography, 100, 200)
