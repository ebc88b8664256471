import numpy as np
import pytest

from model.exposure import Pixels
from model.ghosts.ghost_map import NO_LIFT, GhostMap
from model.ghosts.replace import replace_ghost, replace_ghosts
from model.tiling import Rect

HEIGHT, WIDTH = 301, 397
RNG = np.random.default_rng(0)


def make_ghost(*, has_neighbour: bool = False, lift: int | None = None) -> GhostMap:
    """A map with soft and hard edges; a lift of so many levels in a part of it."""
    mask = np.zeros((75, 99), np.uint8)
    mask[20:50, 30:70] = 255
    mask[10:20, 5:90] = RNG.integers(0, 256, (10, 85))
    level = np.arange(256.0)
    curve = tuple(tuple((level * gain).tolist()) for gain in (0.5, 0.6, 0.4))
    trust = tuple(np.linspace(1.0, 0.0, 256).tolist())
    other = tuple(tuple((level * 0.8).tolist()) for _ in range(3)) if has_neighbour else None
    field = None
    if lift is not None:
        field = np.full((19, 25, 3), NO_LIFT, np.uint8)
        field[6:12, 9:17] = NO_LIFT + lift
    return GhostMap(mask, curve, trust, other, float(mask.mean()) / 255, field)


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
    ghosts = [make_ghost(has_neighbour=True, lift=-20), make_ghost(lift=30), None]

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


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("has_neighbour", [False, True])
def test_a_lift_is_added_as_far_as_the_reference_is_not_trusted(
    dtype: type, has_neighbour: bool
) -> None:
    scale = np.iinfo(dtype).max // 255
    exposure, neighbour = make_exposures(dtype, 2)
    place = slice(110, 170), slice(160, 250)

    def replace(reference: Pixels, lift: int | None) -> Pixels:
        ghost = make_ghost(has_neighbour=has_neighbour, lift=lift)
        whole = Rect(0, 0, HEIGHT, WIDTH)
        return replace_ghost(exposure, reference, ghost, whole, HEIGHT, WIDTH, neighbour=neighbour)[
            place
        ]

    clipped, black = np.full_like(exposure, 255 * scale), np.zeros_like(exposure)
    without = replace(clipped, None).astype(int)
    raised = np.minimum(without + 30 * scale, 255 * scale)
    assert np.abs(replace(clipped, 30) - raised).max() <= scale
    np.testing.assert_array_equal(replace(black, 30), replace(black, None))


def test_a_window_without_a_ghost_is_not_copied() -> None:
    exposures = make_exposures(np.uint8, 2)
    corner = Rect(0, 0, 30, 15)
    parts = [exposure[corner.slices] for exposure in exposures]

    assert replace_ghost(parts[0], parts[1], make_ghost(), corner, HEIGHT, WIDTH) is parts[0]


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
