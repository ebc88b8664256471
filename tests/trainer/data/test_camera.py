from dataclasses import replace

import numpy as np
import pytest
import skimage.color

from trainer.data.camera import (
    Camera,
    encode_response,
    expose,
    find_correct_gain,
    rgb_to_lightness,
    rgb_to_luma,
    sample_camera,
)

QUIET = Camera(read_noise=0.0, full_well=1e12)


def scene(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.exp2(rng.uniform(-8, 4, (64, 64, 3))).astype(np.float32)


def test_response_is_srgb_by_default():
    linear = np.array([0, 0.001, 0.214041, 1, 3], np.float32)
    np.testing.assert_allclose(
        encode_response(linear, Camera()), [0, 0.01292, 0.5, 1, 1], atol=1e-5
    )


@pytest.mark.parametrize("seed", range(8))
def test_every_sampled_response_rises_from_0_to_1(seed):
    camera = sample_camera(np.random.default_rng(seed))
    curve = encode_response(np.linspace(0, 1, 1001, dtype=np.float32), camera)
    assert curve[0] == 0
    assert curve[-1] == pytest.approx(1, abs=1e-6)
    assert (np.diff(curve) >= 0).all()


def test_one_ev_more_of_gain_is_a_factor_two_of_linear_value():
    radiance = np.full((8, 8, 3), 0.2, np.float32)
    once = expose(radiance, 1.0, QUIET, np.random.default_rng(0))
    twice = expose(radiance / 2, 2.0, QUIET, np.random.default_rng(0))
    np.testing.assert_array_equal(once, twice)
    assert once[0, 0, 0] == round(float(encode_response(np.float32([0.2]), QUIET)[0]) * 255)


def test_shot_noise_follows_the_full_well():
    radiance = np.full((256, 256, 3), 0.25, np.float32)
    camera = Camera(full_well=1000, read_noise=0.0)
    picture = expose(radiance, 1.0, camera, np.random.default_rng(0)) / 255
    linear = ((picture + 0.055) / 1.055) ** 2.4
    assert linear.std() == pytest.approx(np.sqrt(0.25 / 1000), rel=0.03)


def test_picture_is_the_same_under_the_same_seed_and_differs_under_another():
    camera = Camera(full_well=1000, jpeg_quality=90)
    first, same, other = (
        expose(scene(), 1.0, camera, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


@pytest.mark.parametrize("target", [42.0, 58.0])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_correct_gain_meets_the_mid_tone_whatever_the_scale_of_the_radiance(target, scale):
    radiance = scene() * np.float32(scale)
    gain = find_correct_gain(radiance, target, QUIET)
    luminance = (radiance * np.float32(gain)) @ np.float32([0.2126, 0.7152, 0.0722])
    encoded = np.rint(encode_response(luminance, QUIET) * 255).astype(np.uint8)
    grey = np.repeat(encoded[..., None], 3, axis=2)
    assert rgb_to_lightness(grey).mean() == pytest.approx(target, abs=0.2)


def test_a_black_scene_takes_the_largest_gain_and_stays_black():
    black = np.zeros((64, 64, 3), np.float32)
    gain = find_correct_gain(black, 50, QUIET)
    assert gain == pytest.approx(2.0**24)
    assert expose(black, gain, QUIET, np.random.default_rng(0)).max() == 0


def test_lightness_and_luma_run_from_0_to_100():
    ramp = np.repeat(np.array([0, 119, 255], np.uint8)[None, :, None], 3, axis=2)
    # skimage.color.rgb2lab(np.full((1, 1, 3), 119, np.uint8))[0, 0, 0]
    np.testing.assert_allclose(rgb_to_lightness(ramp)[0], [0, 50.034, 100], atol=1e-3)
    np.testing.assert_allclose(rgb_to_luma(ramp)[0], [0, 119 / 2.55, 100], atol=1e-4)


def test_lightness_equals_scikit_image():
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    expected = skimage.color.rgb2lab(picture)[..., 0]
    # Its matrix and its white point are rounded otherwise than ours.
    np.testing.assert_allclose(rgb_to_lightness(picture), expected, atol=1e-2)


def test_sharpening_steepens_an_edge_and_leaves_flat_areas():
    radiance = np.full((32, 32, 3), 0.1, np.float32)
    radiance[:, 16:] = 0.4
    plain = expose(radiance, 1.0, QUIET, np.random.default_rng(0)).astype(int)
    sharp = expose(radiance, 1.0, replace(QUIET, sharpening=1.0), np.random.default_rng(0)).astype(
        int
    )
    assert sharp[16, 16, 0] - sharp[16, 15, 0] > plain[16, 16, 0] - plain[16, 15, 0]
    np.testing.assert_array_equal(sharp[:, :10], plain[:, :10])
