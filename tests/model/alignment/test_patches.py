import cv2
import numpy as np
import pytest

from model.alignment.patches import (
    MIN_PATCHES,
    PatchFit,
    frame_corners,
    map_points,
    refine_homography,
)

WIDTH, HEIGHT = 320, 240


def make_texture(seed=0):
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.standard_normal((HEIGHT, WIDTH)), (0, 0), 2.0)
    return ((noise - noise.min()) / np.ptp(noise)).astype(np.float32)


def shift_by(x, y):
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def move(image, homography):
    return cv2.warpPerspective(image, homography, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC)


def corner_error_px(fit, homography):
    corners = frame_corners(WIDTH, HEIGHT)
    difference = map_points(fit.homography, corners) - map_points(homography, corners)
    return np.linalg.norm(difference, axis=1).max()


def test_equal_images_give_the_identity():
    fit = refine_homography(make_texture(), make_texture(), np.eye(3))
    assert corner_error_px(fit, np.eye(3)) < 0.01
    assert fit.is_inlier.all()
    assert fit.corner_sigma_px < 0.01
    assert fit.inlier_shift_px < 0.01


@pytest.mark.parametrize("motion", [(3.4, -2.6), (-6.0, 5.0), (0.25, 0.0)])
def test_a_motion_within_reach_is_found(motion):
    truth = shift_by(*motion)
    fit = refine_homography(make_texture(), move(make_texture(), truth), np.eye(3))
    assert corner_error_px(fit, truth) < 0.1
    assert fit.inlier_shift_px == pytest.approx(np.hypot(*motion), abs=0.1)


def test_gain_and_offset_of_an_exposure_do_not_matter():
    truth = shift_by(2.3, 1.7)
    fixed = 0.3 * move(make_texture(), truth) + 0.5
    fit = refine_homography(make_texture(), fixed, np.eye(3))
    assert corner_error_px(fit, truth) < 0.1


def test_points_of_a_fit_belong_to_the_images_they_are_named_after():
    truth = shift_by(5.0, -3.0)
    fit = refine_homography(make_texture(), move(make_texture(), truth), np.eye(3))
    motion = fit.fixed_points[fit.is_inlier] - fit.moving_points[fit.is_inlier]
    np.testing.assert_allclose(np.median(motion, axis=0), [5.0, -3.0], atol=0.1)


def test_the_standard_error_grows_with_noise():
    rng = np.random.default_rng(1)
    fixed = move(make_texture(), shift_by(1.3, 0.4))
    noisy = (fixed + 0.05 * rng.standard_normal(fixed.shape)).astype(np.float32)
    clean_fit = refine_homography(make_texture(), fixed, np.eye(3))
    noisy_fit = refine_homography(make_texture(), noisy, np.eye(3))
    assert noisy_fit.corner_sigma_px > 2 * clean_fit.corner_sigma_px


def test_the_standard_error_grows_when_the_patches_lie_in_one_part():
    image = make_texture()
    part = image.copy()
    part[:, WIDTH // 2 :] = 0.5
    noise = 0.03 * np.random.default_rng(2).standard_normal(image.shape)
    noise[part == 0.5] = 0.0
    whole_fit = refine_homography(image, (image + noise).astype(np.float32), np.eye(3))
    part_fit = refine_homography(part, (part + noise).astype(np.float32), np.eye(3))
    assert part_fit.corner_sigma_px > 2 * whole_fit.corner_sigma_px


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_images_without_texture_give_no_fit(level):
    flat = np.full((HEIGHT, WIDTH), level, np.float32)
    assert refine_homography(flat, flat, np.eye(3)) is None
    assert refine_homography(make_texture(), flat, np.eye(3)) is None


def test_a_single_edge_gives_no_fit():
    edge = np.zeros((HEIGHT, WIDTH), np.float32)
    edge[:, WIDTH // 2 :] = 1.0
    assert refine_homography(edge, edge, np.eye(3)) is None


def test_other_scenes_have_few_inliers():
    fit = refine_homography(make_texture(0), make_texture(1), np.eye(3))
    assert fit is None or fit.is_inlier.sum() < MIN_PATCHES


@pytest.mark.parametrize(
    "start",
    [np.zeros((3, 3)), np.full((3, 3), np.nan), np.diag([-1.0, 1.0, 1.0]), shift_by(1e6, 0.0)],
    ids=["singular", "not a number", "mirrored", "out of the frame"],
)
def test_a_start_that_leads_nowhere_gives_no_fit(start):
    assert refine_homography(make_texture(), make_texture(), start) is None


def test_wild_starts_neither_raise_nor_warn():
    rng = np.random.default_rng(3)
    image = make_texture()
    for _ in range(12):
        start = np.eye(3) + rng.standard_normal((3, 3)) * [[0.3], [0.3], [0.003]]
        fit = refine_homography(image, image, start)
        assert fit is None or isinstance(fit.corner_sigma_px, float)


@pytest.mark.parametrize("shape", [(1, 400), (5, 300), (16, 16), (400, 3)])
def test_images_smaller_than_a_patch_give_no_fit(shape):
    image = np.random.default_rng(4).random(shape).astype(np.float32)
    assert refine_homography(image, image, np.eye(3)) is None


def test_a_fit_without_inliers_has_not_moved():
    points = np.array([[1.0, 2.0]])
    fit = PatchFit(shift_by(3.0, 0.0), points, points, np.array([False]), 0.0)
    assert fit.inlier_shift_px == 0.0


def test_the_horizon_is_mapped_to_no_finite_point():
    to_horizon = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 1.0]])
    assert not np.isfinite(map_points(to_horizon, np.array([[1.0, 2.0]]))).any()
