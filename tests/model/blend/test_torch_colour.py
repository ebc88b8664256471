"""Colour of a fused luma: whose it is, how strong, and that none is made up."""

import pytest
import torch

from model.blend.colour import GAMUT_MARGIN
from model.blend.torch_colour import mix_colour, to_luma


def colour(exposures, luma):
    """The mix of one pixel of each exposure, for a luma."""
    planes = torch.tensor(exposures, dtype=torch.float64).reshape(1, -1, 3, 1, 1)
    fused = torch.full((1, 1, 1), luma, dtype=torch.float64)
    return mix_colour(planes, fused).flatten()


def hue_of(rgb):
    """Direction of the chroma, (R - Y, B - Y) made of length one."""
    rgb = torch.as_tensor(rgb, dtype=torch.float64)
    chroma = (rgb - to_luma(rgb.reshape(3, 1, 1)).flatten())[::2]
    return chroma / chroma.norm()


def test_what_is_neutral_in_all_exposures_stays_neutral():
    mixed = colour([[0.1] * 3, [0.95] * 3, [1.0] * 3], 0.6)
    assert mixed.tolist() == pytest.approx([0.6] * 3, abs=1e-9)


def test_equal_exposures_give_their_colour_back():
    for rgb in ([1.0, 0.0, 0.0], [0.0, 0.0, 0.02], [0.3, 0.99, 1.0], [0.2, 0.5, 0.4]):
        luma = to_luma(torch.tensor(rgb, dtype=torch.float64).reshape(3, 1, 1)).item()
        assert colour([rgb] * 3, luma).tolist() == pytest.approx(rgb, abs=1e-9)


def test_luma_is_kept_where_the_colour_fits():
    mixed = colour([[0.2, 0.3, 0.5], [0.5, 0.6, 0.8]], 0.45)
    assert to_luma(mixed.reshape(3, 1, 1)).item() == pytest.approx(0.45)


def test_a_sky_takes_its_colour_from_the_exposure_that_does_not_burn_it():
    for dark, closeness in (([0.25, 0.40, 0.65], 0.99), ([0.65, 0.35, 0.20], 0.9999)):
        mixed = colour([dark, [1.0, 1.0, 1.0]], 0.66)
        assert torch.dot(hue_of(mixed), hue_of(dark)).item() > closeness
        assert (mixed.max() - mixed.min()).item() > 0.4


def test_a_blue_is_turned_towards_green_as_it_is_lifted_and_nothing_else_is():
    white, blue = [1.0, 1.0, 1.0], [0.10, 0.12, 0.35]
    reds = [hue_of(colour([blue, white], luma))[0].item() for luma in (0.1, 0.3, 0.5)]
    assert reds[0] == pytest.approx(hue_of(blue)[0].item(), abs=1e-3)
    assert reds == sorted(reds, reverse=True)
    assert reds[0] - reds[2] > 0.05
    for other in ([0.35, 0.10, 0.35], [0.10, 0.35, 0.35], [0.35, 0.20, 0.10], [0.10, 0.35, 0.10]):
        mixed = colour([other, white], 0.5)
        assert torch.dot(hue_of(mixed), hue_of(other)).item() > 0.9999
        assert to_luma(mixed.reshape(3, 1, 1)).item() == pytest.approx(0.5)


def test_one_clipped_channel_gives_way_to_the_exposure_that_has_it():
    dark, bright = [0.60, 0.15, 0.10], [1.0, 0.55, 0.40]
    mixed = colour([dark, bright], 0.4)
    assert torch.dot(hue_of(mixed), hue_of(dark)) > torch.dot(hue_of(mixed), hue_of(bright))


def test_a_lamp_that_is_clipped_in_all_exposures_keeps_its_colour():
    mixed = colour([[1.0, 0.5, 0.1], [1.0, 0.8, 0.4]], 0.7)
    assert mixed[0] - mixed[2] > 0.3


def test_a_dark_place_takes_its_colour_from_the_exposure_above_the_noise():
    mixed = colour([[0.02, 0.00, 0.01], [0.30, 0.40, 0.30]], 0.25)
    assert mixed[1] > mixed[0]
    assert mixed[1] > mixed[2]


def test_a_brighter_place_is_as_much_more_colourful():
    dark, bright = [0.2, 0.3, 0.4], [0.98, 0.99, 1.0]
    spans = [
        (lambda rgb: (rgb.max() - rgb.min()).item())(colour([dark, bright], luma))
        for luma in (0.4, 0.5, 0.6)
    ]
    assert spans == sorted(spans)
    assert spans[0] < spans[2]


@pytest.mark.parametrize("luma", [0.02, 0.5, 0.98])
def test_no_channel_is_clipped_that_no_exposure_clips(luma):
    mixed = colour([[0.01, 0.4, 0.9], [0.3, 0.8, 0.99]], luma)
    assert mixed.min().item() >= GAMUT_MARGIN - 1e-9
    assert mixed.max().item() <= 1 - GAMUT_MARGIN + 1e-9
    assert to_luma(mixed.reshape(3, 1, 1)).item() == pytest.approx(luma)


def test_a_channel_is_not_clipped_because_another_one_is():
    mixed = colour([[0.30, 0.35, 0.75], [0.85, 0.90, 1.0]], 0.93)
    assert mixed[:2].max().item() <= 1 - GAMUT_MARGIN + 1e-9
    lamp = colour([[1.0, 0.20, 0.10], [1.0, 0.60, 0.30]], 0.35)
    assert lamp[0].item() <= 1
    assert lamp[1:].min().item() >= GAMUT_MARGIN - 1e-9


@pytest.mark.parametrize("luma", [0.0, 1.0])
def test_black_and_white_have_no_colour(luma):
    assert colour([[0.0, 0.1, 0.9], [1.0, 0.3, 0.2]], luma).tolist() == pytest.approx([luma] * 3)
