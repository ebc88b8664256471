import numpy as np
import pytest

from model.alignment.cover import lay_proxies
from model.exposure import IDENTITY, AlignmentReport, StackAlignment
from model.geometry import stretch

HEIGHT, WIDTH = 60, 80


def report_of(homography, own_size=None):
    numbers = tuple(np.ravel(homography).tolist())
    return AlignmentReport("homography", numbers, 99, 1.0, 5.0, None, own_size)


def shift_by(x, y):
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


@pytest.fixture
def proxies():
    """Small pictures, at half of the size of the exposures."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (HEIGHT // 2, WIDTH // 2, 3), np.uint8) for _ in range(3)]


def lay(proxies, *reports):
    alignment = StackAlignment(reports.index(None), reports)
    return lay_proxies(proxies, alignment, (WIDTH, HEIGHT))


def test_what_lies_still_stays_and_covers_all(proxies):
    still = AlignmentReport("identity", IDENTITY, 9, 1.0, 0.0, None)
    for laid, absent in (
        lay(proxies, still, None, still),
        lay_proxies(proxies, None, (WIDTH, HEIGHT)),
    ):
        assert absent == [None] * 3
        assert all(one is other for one, other in zip(laid, proxies, strict=True))


def test_what_moved_is_moved_and_its_uncovered_edge_named(proxies):
    laid, absent = lay(proxies, report_of(shift_by(8.0, 0.0)), None, report_of(shift_by(0.0, -6.0)))
    np.testing.assert_array_equal(laid[0][:, 4:], proxies[0][:, :-4])
    # four pixels of the small picture, and one more
    assert (absent[0][:, :5] == 255).all()
    assert (absent[0][:, 5:] == 0).all()
    assert (absent[2][-4:] == 255).all()
    assert (absent[2][:-4] == 0).all()
    assert absent[1] is None


def test_what_was_resampled_is_not_moved_again_but_its_uncovered_edge_is_named(proxies):
    whole = shift_by(8.0, 0.0) @ stretch((WIDTH // 2, HEIGHT // 2), (WIDTH, HEIGHT))
    cut = report_of(shift_by(0.0, 6.0), (WIDTH, HEIGHT - 6))
    laid, absent = lay(proxies, report_of(whole, (WIDTH // 2, HEIGHT // 2)), None, cut)
    np.testing.assert_array_equal(laid[0], proxies[0])
    np.testing.assert_array_equal(laid[2], proxies[2])
    assert (absent[0][:, :5] == 255).all()
    assert (absent[0][:, 5:] == 0).all()
    assert (absent[2][:4] == 255).all()
    assert (absent[2][4:] == 0).all()


@pytest.mark.parametrize("own_size", [(40, 30), (160, 120), (57, 43)])
def test_an_exposure_of_another_size_that_fills_the_frame_covers_it(proxies, own_size):
    report = report_of(stretch(own_size, (WIDTH, HEIGHT)), own_size)
    assert lay(proxies, report, None, report)[1] == [None] * 3
