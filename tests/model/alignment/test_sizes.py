import cv2
import numpy as np
import pytest

from model.alignment.patches import frame_corners, map_points
from model.alignment.sizes import align_onto, lay_exposures
from model.errors import ExposureError
from model.exposure import AlignmentReport, ExposureSet
from model.geometry import stretch
from tests.model.alignment.test_estimate import expose, make_scene, turn

WIDTH, HEIGHT = 640, 480
SCENE = make_scene(2, WIDTH, HEIGHT)
LARGE = make_scene(3, 2 * WIDTH, 2 * HEIGHT)
"""Seen by a camera of twice the pixels."""


def reduce(image, scale=0.5):
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def enlarge(scale):
    offset = (scale - 1.0) / 2.0
    return np.array([[scale, 0.0, offset], [0.0, scale, offset], [0.0, 0.0, 1.0]])


def corner_error_px(report, truth):
    corners = frame_corners(*report.own_size)
    found = map_points(np.reshape(report.homography, (3, 3)), corners)
    return np.linalg.norm(found - map_points(truth, corners), axis=1).max()


def psnr(image, truth, margin=20):
    inner = np.s_[margin:-margin, margin:-margin]
    error = (image[inner].astype(float) - truth[inner]) / np.iinfo(truth.dtype).max
    return -10.0 * np.log10(max((error**2).mean(), 1e-12))


def lay(*images, reference=1):
    return lay_exposures(ExposureSet(images, tuple(range(len(images)))), reference)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("top", "left", "bottom", "right"),
    [(0, 2, 0, 0), (0, 0, 0, 2), (2, 0, 0, 0), (1, 1, 1, 1), (3, 0, 5, 6), (0, 7, 14, 7)],
)
def test_an_exposure_that_lost_a_few_pixels_keeps_the_others_to_the_bit(
    top, left, bottom, right, dtype
):
    under, over = expose(SCENE, 0.1, dtype), expose(SCENE, 0.8, dtype)
    part = under[top : HEIGHT - bottom, left : WIDTH - right]
    stack, alignment = lay(part, over)
    report, own = alignment.reports
    assert (report.own_size, own) == ((part.shape[1], part.shape[0]), None)
    assert report.homography == (1.0, 0.0, left, 0.0, 1.0, top, 0.0, 0.0, 1.0)
    expected = np.pad(part, ((top, bottom), (left, right), (0, 0)), mode="edge")
    np.testing.assert_array_equal(stack.exposures[0], expected)
    assert stack.exposures[1] is over


@pytest.mark.parametrize(("off_px", "is_cut"), [(1.2, True), (0.0, False)])
def test_a_cut_that_was_found_inexactly_is_one_where_its_tiles_are_at_rest(off_px, is_cut):
    under, over = expose(SCENE, 0.1), expose(SCENE, 0.8)
    part = under[:, 2:] if is_cut else expose(SCENE, 0.1, homography=turn(0.15))[:, 2:]
    motion = turn(width=WIDTH, height=HEIGHT) if is_cut else turn(0.15)
    shift = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    # a scale about the middle that moves the corners by so much
    grow = turn(width=WIDTH, height=HEIGHT)
    middle = np.array([WIDTH - 1, HEIGHT - 1]) / 2
    scale = 1.0 + off_px / np.linalg.norm(middle)
    grow[:2, :2] *= scale
    grow[:2, 2] = (1.0 - scale) * middle
    whole = grow @ motion @ shift
    found = whole @ np.linalg.inv(stretch((WIDTH - 2, HEIGHT), (WIDTH, HEIGHT)))
    report = AlignmentReport("homography", tuple(found.ravel()), 99, 1.0, 3.0, None)
    given = ExposureSet((np.ascontiguousarray(part), over), (0, 1))
    stack, alignment = lay_exposures(given, 1, find_alignment=lambda *_: (report, None))
    applied = np.reshape(alignment.reports[0].homography, (3, 3))
    np.testing.assert_allclose(applied, shift if is_cut else whole / whole[2, 2], atol=1e-9)
    assert (stack.exposures[0][:, 2:] == part).all() == is_cut


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_an_exposure_of_twice_the_size_is_averaged_not_thinned_out(dtype):
    large, over = expose(LARGE, 0.1, dtype), reduce(expose(LARGE, 0.8, dtype))
    stack, alignment = lay(large, over)
    np.testing.assert_allclose(stack.exposures[0].astype(int), reduce(large), atol=1)
    assert psnr(large[::2, ::2], reduce(large)) < 30
    assert not alignment.reports[0].needs_warp


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_an_exposure_of_twice_the_size_that_moved_is_resampled_once(dtype):
    motion = turn(0.5, (6.0, -4.0), width=WIDTH, height=HEIGHT)
    at_large = enlarge(2.0) @ motion @ np.linalg.inv(enlarge(2.0))
    moved = expose(LARGE, 0.1, dtype, at_large)
    stack, alignment = lay(moved, reduce(expose(LARGE, 0.8, dtype)))
    report = alignment.reports[0]
    assert (report.model, report.own_size) == ("homography", (2 * WIDTH, 2 * HEIGHT))
    assert corner_error_px(report, motion @ enlarge(0.5)) < 0.5
    assert 5.0 < report.max_corner_shift_px < 15.0
    truth = reduce(expose(LARGE, 0.1, dtype))
    assert psnr(stack.exposures[0], truth) > 42
    # what a single sample a pixel leaves, with the true motion
    thinned = cv2.warpPerspective(
        moved, motion @ enlarge(0.5), (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC
    )
    assert psnr(stack.exposures[0], truth) > psnr(thinned, truth) + 3


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_an_exposure_of_half_the_size_is_enlarged(dtype):
    motion = turn(-0.4, (-5.0, 3.0), width=WIDTH, height=HEIGHT)
    under, over = expose(SCENE, 0.1, dtype), expose(SCENE, 0.8, dtype)
    still, alignment = lay(reduce(under), over)
    assert corner_error_px(alignment.reports[0], enlarge(2.0)) < 1e-9
    assert psnr(still.exposures[0], under) > 34
    moved, alignment = lay(reduce(expose(SCENE, 0.1, dtype, motion)), over)
    assert corner_error_px(alignment.reports[0], motion @ enlarge(2.0)) < 0.5
    assert psnr(moved.exposures[0], under) > psnr(still.exposures[0], under) - 2


def test_an_exposure_that_a_lens_correction_made_larger_is_found():
    under, over = expose(SCENE, 0.1), expose(SCENE, 0.8)
    larger = cv2.resize(under, (650, 487), interpolation=cv2.INTER_CUBIC)
    stack, _ = lay(larger, over)
    assert psnr(stack.exposures[0], under) > 45
    # and one whose frame shows the scene 1.5 % larger, a few pixels cut off
    motion = turn(width=WIDTH, height=HEIGHT)
    motion[:2] *= 1.015
    seen = expose(SCENE, 0.1, homography=np.linalg.inv(motion))[:-3, 4:]
    shift = np.array([[1.0, 0.0, 4.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    _, alignment = lay(seen, over)
    assert corner_error_px(alignment.reports[0], np.linalg.inv(motion) @ shift) < 0.5


@pytest.mark.parametrize("reference", [0, 1, 2])
def test_three_exposures_of_three_sizes_become_one_stack(reference):
    images = (
        reduce(expose(LARGE, 0.1), 0.75),
        expose(LARGE, 0.35),
        reduce(expose(LARGE, 0.9))[2:, :-3],
    )
    given = ExposureSet(images, (2, 0, 1))
    stack, alignment = lay_exposures(given, reference)
    assert (stack.width, stack.height) == given.sizes[reference]
    assert stack.order == given.order
    assert stack.exposures[reference] is images[reference]
    assert [report and report.own_size for report in alignment.reports] == [
        None if index == reference else size for index, size in enumerate(given.sizes)
    ]
    truths = [expose(LARGE, gain) for gain in (0.1, 0.35, 0.9)]
    width, height = given.sizes[reference]
    for laid, truth in zip(stack.exposures, truths, strict=True):
        whole = truth if reference < 2 else truth[4:, :-6]
        expected = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
        assert psnr(laid, expected) > 27


def test_the_others_are_found_through_their_neighbours_whatever_their_size():
    """What finds the homographies sees exposures of one size, and all of them."""
    asked = []

    def find(exposures, reference):
        asked.append([exposure.shape for exposure in exposures])
        return align_onto(exposures, reference)

    images = [expose(SCENE, gain) for gain in (0.1, 0.3, 0.8)]
    given = ExposureSet((reduce(images[0]), images[1], images[2]), (0, 1, 2))
    lay_exposures(given, 2, find_alignment=find)
    assert asked == [[images[2].shape] * 3]


def test_rooms_are_asked_for_the_resampled_exposures_alone_and_inputs_stay_as_they_are():
    images = (reduce(expose(SCENE, 0.1)), expose(SCENE, 0.3), expose(SCENE, 0.8)[1:])
    before = [image.copy() for image in images]
    rooms = {}

    def make_room(index, shape, dtype):
        rooms[index] = np.full(shape, 77, dtype)
        return rooms[index]

    stack, _ = lay_exposures(ExposureSet(images, (4, 2, 0)), 1, make_room=make_room)
    assert sorted(rooms) == [0, 4]
    assert stack.exposures[0] is rooms[4]
    assert stack.exposures[2] is rooms[0]
    again, _ = lay_exposures(
        ExposureSet(images, (4, 2, 0)), 1, make_room=lambda index, *_: rooms[index]
    )
    for one, other, image, old in zip(
        stack.exposures, again.exposures, images, before, strict=True
    ):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(image, old)


@pytest.mark.parametrize("seed", [11, 12])
def test_another_scene_of_another_size_is_refused_with_both_names_and_sizes(seed):
    other = expose(make_scene(seed, WIDTH // 2, HEIGHT // 2), 0.3)
    sentence = "exposure 1 of 320x240 pixels in which nothing matches exposure 2 of 640x480 pixels"
    with pytest.raises(ExposureError, match=sentence):
        lay(other, expose(SCENE, 0.8))


@pytest.mark.parametrize("level", [0, 255])
def test_a_frame_that_shows_nothing_is_refused(level):
    with pytest.raises(ExposureError, match="nothing matches"):
        lay(np.full((100, 120, 3), level, np.uint8), expose(SCENE, 0.8))


@pytest.mark.parametrize("cut", [0, 2])
def test_an_exposure_that_lies_on_its_side_is_told_so(cut):
    turned = np.ascontiguousarray(np.rot90(expose(SCENE, 0.1))[cut:])
    with pytest.raises(ExposureError, match=r"exposure 1 of 480x6.*turned by 90 degrees"):
        lay(turned, expose(SCENE, 0.8))


def test_a_shape_that_cannot_be_of_the_scene_is_refused_before_anything_is_sought():
    def find(*_):
        raise AssertionError

    strip = expose(SCENE, 0.1)[:360]
    given = ExposureSet((strip, expose(SCENE, 0.8)), (0, 1))
    with pytest.raises(ExposureError, match="sides have nearly one ratio, got exposure 1 of 640x3"):
        lay_exposures(given, 1, find_alignment=find)
