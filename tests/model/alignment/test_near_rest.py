"""Patches of exposures that may be at rest, beside those of their proxies."""

import cv2
import numpy as np
import pytest

from model.alignment import estimate
from model.alignment.estimate import align_exposure
from model.alignment.near_rest import CELLS, _cut_windows, match_near_rest
from model.alignment.patches import map_points, refine_homography, smooth
from model.alignment.rest import REST_SHARE, TileMotion, measure_tiles
from model.alignment.view import ExposureView
from tests.model.alignment.test_estimate import expose, make_scene, turn

SIZE = (640, 480)


def make_views(homography=None, *, factor=1, dtype=np.uint8, gains=(0.08, 0.8)):
    scene = make_scene(0, *SIZE)
    pair = [expose(scene, gains[0], dtype, homography), expose(scene, gains[1], dtype)]
    if factor > 1:
        size = (SIZE[0] * factor, SIZE[1] * factor)
        pair = [cv2.resize(one, size, interpolation=cv2.INTER_CUBIC) for one in pair]
    return [ExposureView(one) for one in pair]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("factor", [1, 4])
def test_windows_are_those_of_the_proxy(dtype, factor):
    view = make_views(factor=factor, dtype=dtype)[1]
    assert view.proxy_factor == (2 if factor == 4 else 1)
    places = np.array([[20, 20], [333, 217], [601, 440]])
    windows = _cut_windows(view, places, 14)
    # The proxy is corrected by the statistics of all of its pixels, the window of picked ones.
    proxy = smooth(view.proxy())
    for window, (x, y) in zip(windows, places, strict=True):
        there = proxy[y - 14 : y + 15, x - 14 : x + 15]
        assert np.abs(window - there).max() < 0.05
        assert np.corrcoef(window.ravel(), there.ravel())[0, 1] > 0.995


@pytest.mark.parametrize("factor", [1, 4])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.8, -0.6), (-0.7, 0.3)])
def test_a_small_motion_is_found_as_on_the_proxies(shift, factor):
    views = make_views(turn(shift=shift, width=SIZE[0], height=SIZE[1]), factor=factor)
    fit = match_near_rest(*views)
    whole = refine_homography(views[0].proxy(), views[1].proxy(), np.eye(3), reaches_px=(2,))
    assert 40 < len(fit.is_inlier) <= CELLS
    middle = np.array([[x / 2 for x in views[1].proxy_size()]])
    there, expected = (map_points(one.homography, middle) for one in (fit, whole))
    np.testing.assert_allclose(there, expected, atol=0.1)
    if factor == 1:
        np.testing.assert_allclose(there - middle, [shift], atol=0.15)


@pytest.mark.parametrize("size", [(16, 16), (34, 300), (35, 35), (64, 70)])
@pytest.mark.parametrize("is_flat", [False, True])
def test_what_has_no_room_or_no_structure_has_no_fit(size, is_flat):
    noise = np.random.default_rng(0).integers(0, 120, (*size, 3)).astype(np.uint8)
    picture = np.full_like(noise, 40) if is_flat else noise
    assert match_near_rest(ExposureView(picture), ExposureView(picture * 2)) is None


def spoil(tiles, share):
    """Tiles of which a share is hardly at rest and the others are off in every direction."""
    count = len(tiles.centres)
    shifts = np.full((count, 2), 0.5 * tiles.limit_px)
    off = np.arange(round(share * count), count)
    shifts[off] = 2 * np.stack([np.cos(off), np.sin(off)], axis=1)
    return TileMotion(tiles.centres, shifts, tiles.limit_px)


@pytest.fixture
def spoil_tiles(monkeypatch):
    """Exposures whose tiles leave doubt, as noise leaves it."""

    def measure(moving, fixed):
        tiles = spoil(measure_tiles(moving, fixed), 0.5)
        assert estimate.DOUBT_SHARE < tiles.rest_share < REST_SHARE
        return tiles

    monkeypatch.setattr(estimate, "measure_tiles", measure)


@pytest.mark.usefixtures("spoil_tiles")
def test_a_pair_at_rest_whose_tiles_leave_doubt_is_not_searched(monkeypatch):
    monkeypatch.setattr(
        estimate, "match_tiles", lambda *_: pytest.fail("search of the whole frame")
    )
    monkeypatch.setattr(ExposureView, "proxy", lambda *_: pytest.fail("proxy of a pair at rest"))
    under, over = make_views()
    report = align_exposure(under.image, over.image)
    assert (report.model, report.refused) == ("identity", None)
    assert report.max_corner_shift_px < 0.3


@pytest.mark.usefixtures("spoil_tiles")
@pytest.mark.parametrize("shift", [(1.1, 0.0), (-0.7, 0.9), (6.0, 4.0)])
def test_a_pair_that_moved_is_not_called_still_in_doubt(shift):
    motion = turn(shift=shift, width=SIZE[0], height=SIZE[1])
    under, over = make_views(motion)
    report = align_exposure(under.image, over.image)
    assert (report.model, report.refused) == ("homography", None)
    found = np.reshape(report.homography, (3, 3))
    np.testing.assert_allclose(
        map_points(found, np.array([[320.0, 240.0]])), [[320 + shift[0], 240 + shift[1]]], atol=0.2
    )
