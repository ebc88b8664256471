import numpy as np
import pytest

from model.exposure import Pixels
from model.ghosts.ghost_map import GhostMap
from model.ghosts.replace import replace_ghost, replace_ghosts
from model.tiling import Rect

HEIGHT, WIDTH = 301, 397
RNG = np.random.default_rng(0)


def make_ghost(*, has_neighbour: bool = False) -> GhostMap:
    mask = np.zeros((75, 99), np.uint8)
    mask[20:50, 30:70] = 255
    mask[10:20, 5:90] = RNG.integers(0, 256, (10, 85))
    level = np.arange(256.0)
    curve = tuple(tuple((level * gain).tolist()) for gain in (0.5, 0.6, 0.4))
    trust = tuple(np.linspace(1.0, 0.0, 256).tolist())
    other = tuple(tuple((level * 0.8).tolist()) for _ in range(3)) if has_neighbour else None
    return GhostMap(mask, curve, trust, other, float(mask.mean()) / 255)


def make_exposures(dtype: type, count: int = 3) -> list[Pixels]:
    full = np.iinfo(dtype).max
    return [RNG.integers(0, full + 1, (HEIGHT, WIDTH, 3)).astype(dtype) for _ in range(count)]


def replace_all(
    exposures: list[Pixels], ghosts: list[GhostMap | None], window: Rect
) -> list[Pixels]:
    parts = [np.ascontiguousarray(exposure[window.slices]) for exposure in exposures]
    return replace_ghosts(
        parts, ghosts, reference=2, window=window, height=HEIGHT, width=WIDTH
    )  # fmt: skip


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_windows_equal_the_whole(dtype: type) -> None:
    exposures = make_exposures(dtype)
    ghosts = [make_ghost(has_neighbour=True), make_ghost(), None]

    whole = replace_all(exposures, ghosts, Rect(0, 0, HEIGHT, WIDTH))

    for window in (
        Rect(0, 0, 64, 64),
        Rect(37, 101, 131, 77),
        Rect(290, 390, 11, 7),
        Rect(60, 0, 201, 397),
    ):
        parts = replace_all(exposures, ghosts, window)
        for part, picture in zip(parts, whole, strict=True):
            np.testing.assert_array_equal(part, picture[window.slices])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_mask_chooses_between_exposure_and_prediction(dtype: type) -> None:
    exposure, reference = make_exposures(dtype, 2)
    ghost = make_ghost()

    freed = replace_ghost(exposure, reference, ghost, Rect(0, 0, HEIGHT, WIDTH), HEIGHT, WIDTH)

    assert freed.dtype == dtype
    np.testing.assert_array_equal(freed[220:], exposure[220:])
    predicted = np.rint(reference[100:180, 150:250] * np.array([0.5, 0.6, 0.4]))
    assert np.abs(freed[100:180, 150:250] - predicted).max() <= 1


def test_a_neighbour_is_asked_where_the_reference_is_not_trusted() -> None:
    exposure, neighbour, _ = make_exposures(np.uint8)
    clipped = np.full_like(exposure, 255)

    freed = replace_ghost(
        exposure, clipped, make_ghost(has_neighbour=True), Rect(0, 0, HEIGHT, WIDTH),
        HEIGHT, WIDTH, neighbour=neighbour,
    )  # fmt: skip

    predicted = np.rint(neighbour[100:180, 150:250] * 0.8)
    assert np.abs(freed[100:180, 150:250] - predicted).max() <= 1


def test_exposures_without_a_ghost_are_returned_as_they_are() -> None:
    exposures = make_exposures(np.uint8)

    freed = replace_all(exposures, [None, None, None], Rect(0, 0, HEIGHT, WIDTH))

    for one, other in zip(freed, exposures, strict=True):
        np.testing.assert_array_equal(one, other)
    first = replace_ghosts(
        exposures, [None] * 3, reference=0, window=Rect(0, 0, HEIGHT, WIDTH),
        height=HEIGHT, width=WIDTH,
    )  # fmt: skip
    assert all(one is other for one, other in zip(first, exposures, strict=True))
