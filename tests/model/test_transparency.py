"""Where an exposure is transparent it has no weight: the others show there, in its tone."""

import numpy as np
import pytest

from model.errors import ExposureError
from model.transparency import fill_transparent, find_transparent
from tests import images


def bracket(dtype, gains=(0.3, 0.6, 1.0)):
    return [images.scene(120, 160, dtype=dtype, gain=gain) for gain in gains]


def left(columns, height=120, width=160):
    mask = np.zeros((height, width), bool)
    mask[:, :columns] = True
    return mask


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_transparent_place_becomes_what_the_exposure_would_have_shown(dtype, index):
    truth = bracket(dtype)
    given = [one.copy() for one in truth]
    given[index][:, :40] = 0
    masks = [left(40) if one == index else None for one in range(3)]
    fill_transparent(given, masks)
    step = np.iinfo(dtype).max / 255
    off = np.abs(given[index].astype(float) - truth[index])[:, :40] / step
    assert off.mean() < 1.5
    assert np.percentile(off, 99) < 6
    for one in range(3):
        kept = slice(40, None) if one == index else slice(None)
        assert (given[one][:, kept] == truth[one][:, kept]).all()


def test_frames_that_cover_different_parts_fill_each_other():
    truth = bracket(np.uint8, (0.5, 1.0))
    given = [one.copy() for one in truth]
    right = left(40)[:, ::-1]
    given[0][left(40)] = 0
    given[1][right] = 0
    fill_transparent(given, [left(40), right])
    for one, true in zip(given, truth, strict=True):
        assert np.abs(one.astype(int) - true).mean() < 1.0


def test_what_nobody_shows_is_black_in_all():
    given = bracket(np.uint8)
    fill_transparent(given, [left(10), left(10), left(20)])
    assert not any(one[:, :10].any() for one in given)
    assert given[2][:, 10:20].any()


def test_exposures_of_another_size_fill_nothing():
    given = [images.scene(120, 160), images.scene(60, 80)]
    fill_transparent(given, [left(10), None])
    assert not given[0][:, :10].any()


def test_an_exposure_that_shows_nothing_is_refused():
    with pytest.raises(ExposureError, match="exposure 2 is transparent everywhere"):
        fill_transparent(bracket(np.uint8), [None, np.ones((120, 160), bool), None])


@pytest.mark.parametrize(("dtype", "full"), [(np.uint8, 255), (np.uint16, 65535)])
def test_an_opaque_picture_has_nothing_transparent(dtype, full):
    assert find_transparent(np.full((4, 5), full, dtype)) is None
    # An editor's mask that dims, but hides nothing.
    assert find_transparent(np.full((4, 5), full * 3 // 4, dtype)) is None
