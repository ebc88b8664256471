"""The guards of burnt-out places: their colour, hue, texture and lightness, on made pictures."""

from itertools import permutations

import numpy as np
import pytest
import torch

from model.torch_colour import lab_to_srgb
from trainer.metrics import (
    GUARDS,
    highlight_chroma,
    highlight_hue,
    highlight_lightness,
    highlight_texture,
)

SIDE = 80
NAMES = [name for name in GUARDS if name.startswith("highlight-")]
SKY = (30, 80, 160)
LAWN = (60, 120, 50)


def fill(colour: tuple[int, int, int] | int) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), colour, np.uint8)


def make_pair(share: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """A sky that only the darker exposure shows, above a lawn that both do."""
    under, over = fill(tuple(channel // 2 for channel in LAWN)), fill(LAWN)
    rows = round(share * SIDE)
    under[:rows], over[:rows] = SKY, 255
    return under, over


def add_waves(picture: np.ndarray, height: float) -> np.ndarray:
    """Luma that goes up and down by so many levels."""
    waves = height * np.sin(np.arange(SIDE) / 2)[None, :, None]
    return np.rint(picture + waves).clip(0, 255).astype(np.uint8)


def colour_of(lightness: float, chroma: float, degrees: float) -> np.ndarray:
    """A picture of one colour of CIELAB, to the nearest level."""
    angle = np.radians(degrees)
    lab = torch.tensor([lightness, chroma * np.cos(angle), chroma * np.sin(angle)])
    srgb = lab_to_srgb(lab.double().reshape(1, 3, 1, 1)).flatten().numpy()
    return np.tile(np.rint(255 * srgb).astype(np.uint8), (SIDE, SIDE, 1))


@pytest.mark.parametrize("kept", [0.0, 0.5, 1.0, 1.5])
def test_chroma_is_the_share_of_the_darkest_exposures(kept: float) -> None:
    under, over = colour_of(40, 30, 280), fill(255)
    fused = colour_of(70, 30 * kept, 280)
    assert highlight_chroma((under, over), fused) == pytest.approx(kept, abs=0.02)


@pytest.mark.parametrize("turn", [0, 25, 90, -140, 180])
def test_hue_is_the_turn_in_degrees_the_short_way_round(turn: float) -> None:
    under, over = colour_of(40, 30, 170), fill(255)
    fused = colour_of(60, 20, 170 + turn)
    assert highlight_hue((under, over), fused) == pytest.approx(abs(turn), abs=1.5)


def test_a_hue_weighs_by_the_chroma_that_the_darkest_exposure_has() -> None:
    under, over, fused = colour_of(40, 30, 170), fill(255), colour_of(60, 20, 170)
    under[:, :40], fused[:, :40] = colour_of(40, 10, 170)[0, 0], colour_of(60, 20, 230)[0, 0]
    assert highlight_hue((under, over), fused) == pytest.approx(60 * 10 / (10 + 30), abs=1)


def test_what_is_grey_in_the_result_has_turned_nothing_and_lost_all_chroma() -> None:
    pair = colour_of(40, 30, 170), fill(255)
    grey = np.full((SIDE, SIDE, 3), 130, np.uint8)
    assert highlight_chroma(pair, grey) == pytest.approx(0, abs=1e-3)
    # The white point is rounded: grey has a hue, of a chroma of 0.005.
    assert 0 <= highlight_hue(pair, grey) <= 180


@pytest.mark.parametrize("kept", [0.0, 0.5, 1.0, 2.0])
def test_texture_is_the_share_of_the_darkest_exposures_slopes(kept: float) -> None:
    under, over = add_waves(fill(120), 20), fill(255)
    fused = add_waves(fill(150), 20 * kept)
    assert highlight_texture((under, over), fused) == pytest.approx(kept, rel=0.02)


def test_the_edge_of_a_highlight_is_no_texture() -> None:
    under, over = make_pair()
    under = add_waves(under, 10)
    fused = under.copy()
    fused[38:42] = 255  # a rim of two pixels on either side
    value = highlight_texture((under, over), under)
    assert value == pytest.approx(1.0)
    # The second row of the rim above and the slope to it lie outside the margin of four.
    assert highlight_texture((under, over), fused) == value
    fused[30] = 255
    assert highlight_texture((under, over), fused) > 1.5


@pytest.mark.parametrize("level", [20, 130, 255])
def test_lightness_is_that_of_the_result_in_highlights_alone(level: int) -> None:
    under, over = make_pair()
    fused = fill(90)
    fused[:40] = level
    # python -c "f = lambda v: ((v / 255 + .055) / 1.055) ** 2.4
    # print(903.3 * f(20), 116 * f(130) ** (1 / 3) - 16)" prints 6.32 and 54.37.
    expected = {20: 6.32, 130: 54.37, 255: 100.0}[level]
    assert highlight_lightness((under, over), fused) == pytest.approx(expected, abs=0.02)


def test_a_paler_sky_is_worse_by_chroma_and_lightness() -> None:
    pair = make_pair()
    pale = np.rint(pair[0] * 0.3 + 255 * 0.7).astype(np.uint8)
    assert highlight_chroma(pair, pale) < highlight_chroma(pair, pair[0]) == 1.0
    assert highlight_lightness(pair, pale) > highlight_lightness(pair, pair[0])


def test_what_is_no_highlight_does_not_count() -> None:
    under, over = make_pair()
    under[60:], over[60:] = SKY, 247  # not burnt out
    under[50:60], over[50:60] = 10, 255  # burnt out, and the darkest exposure shows nothing
    under[40:50], over[40:50] = 230, 255  # or shows it as white
    under = add_waves(under, 2)
    changed = under.copy()
    changed[40 + 1 :] = (200, 30, 90)  # but for the row that a slope in the highlight looks at
    for name in NAMES:
        guard = GUARDS[name].compute
        assert guard((under, over), changed) == guard((under, over), under)


def test_grey_highlights_have_lightness_and_texture_and_no_colour_to_lose() -> None:
    under, over = make_pair()
    under[:40] = 100
    under = add_waves(under, 10)
    values = {name: GUARDS[name].compute((under, over), under) for name in NAMES}
    assert values["highlight-chroma"] is None
    assert values["highlight-hue"] is None
    assert values["highlight-texture"] == pytest.approx(1.0)
    assert values["highlight-lightness"] == pytest.approx(42.4, abs=1)


def test_a_scene_with_few_highlights_is_not_judged() -> None:
    under, over = fill(SKY), fill(LAWN)
    for rows in ((), (0, 1), (0, 1, 2)):
        over[list(rows)] = 255  # of 80 rows, 3 are 3.75 %
        for name in NAMES:
            value = GUARDS[name].compute((under, over), under)
            is_enough = len(rows) == 3 and name != "highlight-texture"
            assert (value is not None) == is_enough


def test_texture_is_not_judged_where_a_highlight_is_nowhere_wide_or_flat() -> None:
    under, over = add_waves(fill(LAWN), 10), fill(LAWN)
    over[::10] = 255
    assert highlight_lightness((under, over), under) is not None
    assert highlight_texture((under, over), under) is None
    assert highlight_texture((fill(100), fill(255)), add_waves(fill(100), 10)) is None


@pytest.mark.parametrize("name", NAMES)
def test_of_a_stack_the_darkest_and_the_brightest_decide_in_any_order(name: str) -> None:
    under, over = make_pair()
    under = add_waves(under, 9)
    fused = add_waves(fill((120, 110, 170)), 5)
    value = GUARDS[name].compute((under, over), fused)
    assert type(value) is float
    assert value > 0
    middle = fill(80)
    for order in permutations((under, middle, over)):
        assert GUARDS[name].compute(order, fused) == value


@pytest.mark.parametrize("name", [*NAMES, "lost-shadows", "crushed", "clipped", "colour-rims"])
def test_guards_of_colour_refuse_pictures_that_do_not_fit(name: str) -> None:
    under, over = make_pair()
    with pytest.raises(ValueError, match="expected at least 2 exposures"):
        GUARDS[name].compute((under,), over)
    with pytest.raises(ValueError, match="expected a uint8 picture"):
        GUARDS[name].compute((under, over), over[..., 0])
    with pytest.raises(ValueError, match="expected pictures of one size"):
        GUARDS[name].compute((under, over), over[:-1])
