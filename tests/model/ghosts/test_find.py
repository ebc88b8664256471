import pickle
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest

from model.ghosts import find
from model.ghosts.find import find_ghosts, find_ghosts_of_proxies
from model.ghosts.proxies import choose_reference_of_proxies, reduce_exposure
from model.ghosts.replace import replace_ghosts
from model.tiling import Rect
from tests.model.ghosts.conftest import GAINS, Stack, make_texture, put_disc, shoot

SIZE = (180, 240)


def share_of(stack: Stack, reference: int) -> float:
    return max(ghost.share if ghost else 0.0 for ghost in find_ghosts(stack, reference=reference))


def move_disc(places: tuple[tuple[int, int], ...]) -> tuple[Stack, list[np.ndarray]]:
    """A disc at another place in each exposure."""
    scene = make_texture(0, *SIZE)
    pictures, insides = [], []
    for index, (gain, (x, y)) in enumerate(zip(GAINS, places, strict=True)):
        with_disc, inside = put_disc(scene, x, y, 22)
        pictures.append(shoot(with_disc, gain, index))
        insides.append(inside)
    return pictures, insides


@pytest.mark.parametrize("reference", [0, 1, 2])
def test_a_still_stack_has_no_ghosts(make_still: Callable[..., Stack], reference: int) -> None:
    assert share_of(make_still(), reference) < 0.01


def test_half_a_pixel_of_misalignment_is_no_ghost(make_still: Callable[..., Stack]) -> None:
    stack = make_still()
    shift = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, -0.5]])
    stack[0] = cv2.warpAffine(stack[0], shift, SIZE[::-1], borderMode=cv2.BORDER_REFLECT_101)

    assert share_of(stack, 1) < 0.01


def test_a_moved_disc_is_masked_where_it_is_and_where_it_was() -> None:
    stack, insides = move_disc(((60, 90), (120, 90), (180, 90)))

    ghosts = find_ghosts(stack, reference=1)

    assert ghosts[1] is None
    for index in (0, 2):
        ghost = ghosts[index]
        assert ghost is not None
        moved = insides[index] | insides[1]
        assert (ghost.mask[moved] > 127).mean() > 0.95
        far = cv2.dilate(moved.astype(np.uint8), np.ones((41, 41), np.uint8)) == 0
        assert (ghost.mask[far] > 0).mean() < 0.01
        assert ghost.share == pytest.approx(ghost.mask.mean() / 255)


def test_a_moved_disc_is_replaced_by_what_the_reference_shows() -> None:
    stack, insides = move_disc(((60, 90), (120, 90), (180, 90)))
    still, _ = move_disc(((120, 90),) * 3)
    window = Rect(0, 0, *SIZE)

    ghosts = find_ghosts(stack, reference=1)
    freed = replace_ghosts(stack, ghosts, reference=1, window=window, height=SIZE[0], width=SIZE[1])

    for index in (0, 2):
        moved = insides[index] | insides[1]
        truth = still[index].astype(float)
        before = np.abs(stack[index] - truth)[moved].mean()
        after = np.abs(freed[index] - truth)[moved].mean()
        assert after < 0.2 * before


def test_what_is_clipped_in_the_reference_is_not_invented() -> None:
    """A texture only the dark exposure shows stays: the clipped reference does not deny it."""
    scene = make_texture(0, *SIZE)
    scene[:, :100] = 3.0 + 4.0 * make_texture(3, SIZE[0], 100)
    stack = [shoot(scene, gain, index) for index, gain in enumerate((0.1, 1.0))]
    assert stack[1][:, :95].min() > 250

    ghost = find_ghosts(stack, reference=1)[0]

    assert ghost is None or ghost.mask[:, :90].max() == 0


def test_a_dark_object_before_a_clipped_reference_is_a_ghost() -> None:
    scene = make_texture(0, *SIZE)
    scene[:, :120] = 3.0 + make_texture(3, SIZE[0], 120)
    with_disc, inside = put_disc(scene, 60, 90, 22)
    stack = [shoot(with_disc, 0.2, 0), shoot(scene, 1.0, 1)]

    ghost = find_ghosts(stack, reference=1)[0]

    assert ghost is not None
    assert (ghost.mask[inside] > 127).mean() > 0.95


def test_what_lies_behind_a_clipped_reference_goes_on_as_around() -> None:
    """No flat band where a dark object was removed from a wall that only the under shows."""
    scene = make_texture(0, *SIZE)
    scene[:, :140] = np.linspace(2.0, 4.5, 140)[None, :, None]
    with_disc, inside = put_disc(scene, 80, 90, 22)
    stack = [shoot(with_disc, 0.2, 0), shoot(scene, 1.0, 1)]
    ghosts = find_ghosts(stack, reference=1)

    freed = replace_ghosts(
        stack, ghosts, reference=1, window=Rect(0, 0, *SIZE), height=SIZE[0], width=SIZE[1]
    )

    truth = shoot(scene, 0.2, 0).astype(float)
    assert np.abs(freed[0] - truth)[inside].mean() < 6
    assert ghosts[0] is not None
    flat = [replace(ghosts[0], lift=None), None]
    without = replace_ghosts(
        stack, flat, reference=1, window=Rect(0, 0, *SIZE), height=SIZE[0], width=SIZE[1]
    )
    assert np.abs(without[0] - truth)[inside].mean() > 10


def test_where_the_reference_is_clipped_the_neighbour_decides() -> None:
    """A bright object that only the darkest shows contradicts the middle one, not the reference."""
    scene = make_texture(0, *SIZE)
    scene[:, :120] = 2.0 + 2.0 * make_texture(3, SIZE[0], 120)
    moved = scene.copy()
    moved[70:110, 40:80] *= 2.5
    gains = (0.1, 0.25, 1.0)
    stack = [shoot(moved if index == 0 else scene, gain, index) for index, gain in enumerate(gains)]
    assert stack[2][:, :115].min() > 250

    with_neighbour = find_ghosts(stack, reference=2)[0]
    alone = find_ghosts([stack[0], stack[2]], reference=1)[0]

    assert alone is None
    assert with_neighbour is not None
    assert (with_neighbour.mask[72:108, 42:78] > 127).mean() > 0.95
    freed = replace_ghosts(
        stack, (with_neighbour, None, None), reference=2, window=Rect(0, 0, *SIZE),
        height=SIZE[0], width=SIZE[1],
    )  # fmt: skip
    truth = shoot(scene, gains[0], 0).astype(float)
    assert np.abs(freed[0][72:108, 42:78] - truth[72:108, 42:78]).mean() < 6


def test_unrelated_pictures_give_a_large_share() -> None:
    one = shoot(make_texture(0, *SIZE), 1.0, 0)
    other = shoot(make_texture(7, *SIZE), 2.0, 1)

    assert share_of([one, other], 0) > 0.3


@pytest.mark.parametrize("useless", [0, 255])
def test_a_black_or_white_exposure_is_no_ghost(
    make_still: Callable[..., Stack], useless: int
) -> None:
    still = make_still()
    flat = np.full_like(still[0], useless)
    stack = [flat, *still] if useless == 0 else [*still, flat]

    ghosts = find_ghosts(stack, reference=2 if useless == 0 else 1)

    assert all(ghost is None or ghost.share < 0.01 for ghost in ghosts)


@pytest.mark.parametrize("side", [16, 17, 40])
def test_nine_equal_exposures_of_any_size_have_no_ghosts(side: int) -> None:
    picture = shoot(make_texture(0, side, side), 1.0, 0)

    assert find_ghosts([picture] * 9, reference=4) == (None,) * 9


def test_sixteen_bits_give_the_masks_of_eight() -> None:
    stack, _ = move_disc(((60, 90), (120, 90), (180, 90)))
    wide = [picture.astype(np.uint16) * 257 for picture in stack]

    for narrow, other in zip(
        find_ghosts(stack, reference=1), find_ghosts(wide, reference=1), strict=True
    ):
        assert (narrow is None) == (other is None)
        if narrow is not None and other is not None:
            np.testing.assert_array_equal(narrow.mask, other.mask)


def test_a_mirrored_stack_gives_mirrored_masks() -> None:
    stack, _ = move_disc(((60, 90), (120, 90), (180, 90)))
    mirrored = [np.ascontiguousarray(picture[:, ::-1]) for picture in stack]

    for ghost, other in zip(
        find_ghosts(stack, reference=1), find_ghosts(mirrored, reference=1), strict=True
    ):
        if ghost is not None and other is not None:
            assert np.abs(ghost.mask[:, ::-1].astype(int) - other.mask).mean() < 2


def test_maps_cross_processes() -> None:
    stack, _ = move_disc(((60, 90), (120, 90), (180, 90)))
    ghost = find_ghosts(stack, reference=1)[0]

    copied = pickle.loads(pickle.dumps(ghost))

    assert ghost is not None
    np.testing.assert_array_equal(copied.mask, ghost.mask)
    assert copied.curve == ghost.curve


def test_proxies_of_other_sizes_are_refused(make_still: Callable[..., Stack]) -> None:
    proxies = [reduce_exposure(picture) for picture in make_still()]

    with pytest.raises(ValueError, match="one size"):
        find_ghosts_of_proxies([proxies[0], proxies[1][1:]], reference=0)
    with pytest.raises(ValueError, match="reference among the 3"):
        find_ghosts_of_proxies(proxies, reference=3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_proxies_are_small_bytes_of_the_same_mean(dtype: type) -> None:
    full = np.iinfo(dtype).max
    picture = (np.random.default_rng(0).random((1201, 1603, 3)) * full).astype(dtype)

    proxy = reduce_exposure(picture)

    assert proxy.dtype == np.uint8
    assert proxy.shape[0] * proxy.shape[1] <= 400_000
    assert proxy.mean() == pytest.approx(picture.mean() / full * 255, abs=0.6)


def test_the_reference_shows_most_of_the_scene(make_still: Callable[..., Stack]) -> None:
    still = make_still(gains=(0.01, 0.05, 1.0, 30.0))

    assert choose_reference_of_proxies([reduce_exposure(one) for one in still]) == 2


def test_equal_exposures_are_decided_by_the_middle() -> None:
    picture = np.full((16, 16, 3), 100, np.uint8)

    assert choose_reference_of_proxies([reduce_exposure(picture)] * 5) == 2


@pytest.mark.parametrize("covered", [1.0, 0.999_99])
def test_nothing_is_fitted_where_motion_is_not_sought_and_all_is_covered(
    make_still: Callable[..., Stack], monkeypatch: pytest.MonkeyPatch, covered: float
) -> None:
    proxies = [reduce_exposure(picture) for picture in make_still()]
    absent = np.zeros(SIZE, np.uint8)
    absent[0, : round((1 - covered) * absent.size)] = 255
    monkeypatch.setattr(find, "fit_curves", lambda *_: pytest.fail("curves that nothing needs"))

    ghosts = find_ghosts_of_proxies(
        proxies, reference=1, absent=[absent, None, absent], is_motion_sought=False
    )

    assert ghosts == (None, None, None)


@pytest.mark.parametrize("clipped_columns", [0, 120])
def test_what_is_absent_is_predicted_alike_whether_motion_is_sought_or_not(
    clipped_columns: int,
) -> None:
    scene = make_texture(0, *SIZE)
    scene[:, :clipped_columns] = 3.0 + make_texture(3, SIZE[0], 240)[:, :clipped_columns]
    proxies = [shoot(scene, gain, index) for index, gain in enumerate((0.2, 1.0))]
    absent = np.zeros(SIZE, np.uint8)
    absent[:, :9] = absent[:7] = 255

    sought, other = (
        find_ghosts_of_proxies(
            proxies, reference=1, absent=[absent, None], is_motion_sought=is_sought
        )[0]
        for is_sought in (True, False)
    )

    assert sought is not None
    assert other is not None
    assert other.curve == sought.curve
    np.testing.assert_array_equal(other.mask, absent)
    np.testing.assert_array_equal(sought.mask, absent)
    assert (other.lift is None) == (sought.lift is None)
    np.testing.assert_array_equal(other.lift, sought.lift)
