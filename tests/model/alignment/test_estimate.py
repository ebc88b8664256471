import dataclasses
import pickle

import cv2
import numpy as np
import pytest

import model.alignment.view as view
from model.alignment.estimate import align_exposure, align_views, rescale_homography
from model.alignment.features import match_features, match_keypoints
from model.alignment.gates import GATES, check_gates, is_plausible, shift_corners
from model.alignment.patches import PatchFit, frame_corners, map_points, refine_homography
from model.alignment.view import PROXY_MAX_PX, ExposureView, detect_keypoints, make_proxy
from model.exposure import IDENTITY, ExposureStack

WIDTH, HEIGHT = 360, 270
MARGIN = 60


def make_scene(seed=0, width=WIDTH, height=HEIGHT):
    """Linear radiance with structure at several scales, MARGIN wider on every side."""
    rng = np.random.default_rng(seed)
    size = (height + 2 * MARGIN, width + 2 * MARGIN)
    scene = np.zeros(size)
    for sigma in (1.5, 3.0, 8.0):
        noise = cv2.GaussianBlur(rng.standard_normal(size), (0, 0), sigma)
        scene += noise / noise.std()
    return 2.0 ** (0.8 * scene)


def expose(radiance, gain, dtype=np.uint8, homography=None):
    """One exposure of a scene, its frame mapped onto the unmoved one by the homography."""
    to_scene = np.array([[1.0, 0.0, MARGIN], [0.0, 1.0, MARGIN], [0.0, 0.0, 1.0]])
    if homography is not None:
        to_scene = to_scene @ homography
    size = (radiance.shape[1] - 2 * MARGIN, radiance.shape[0] - 2 * MARGIN)
    seen = cv2.warpPerspective(
        radiance, to_scene, size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    )
    full = np.iinfo(dtype).max
    grey = np.rint((seen * gain).clip(0.0, 1.0) ** (1 / 2.2) * full)
    return np.repeat(grey[..., None], 3, axis=2).astype(dtype)


def turn(degrees=0.0, shift=(0.0, 0.0), perspective=(0.0, 0.0), width=WIDTH, height=HEIGHT):
    """Rotation about the middle, a shift, and a perspective."""
    angle = np.deg2rad(degrees)
    middle = np.array([[1.0, 0.0, (width - 1) / 2], [0.0, 1.0, (height - 1) / 2], [0, 0, 1.0]])
    motion = np.array(
        [
            [np.cos(angle), -np.sin(angle), shift[0]],
            [np.sin(angle), np.cos(angle), shift[1]],
            [perspective[0], perspective[1], 1.0],
        ]
    )
    homography = middle @ motion @ np.linalg.inv(middle)
    return homography / homography[2, 2]


def corner_error_px(report, homography, width=WIDTH, height=HEIGHT):
    corners = frame_corners(width, height)
    found = np.reshape(report.homography, (3, 3))
    difference = map_points(found, corners) - map_points(homography, corners)
    return np.linalg.norm(difference, axis=1).max()


def make_pair(homography, dtype=np.uint8, seed=0):
    scene = make_scene(seed)
    return ExposureStack.from_images(
        [expose(scene, 0.08, dtype, homography), expose(scene, 0.8, dtype)]
    )


MOTIONS = {
    "rotation": turn(degrees=3.0),
    "shift": turn(shift=(10.3, -7.6)),
    "perspective": turn(perspective=(1e-4, -1e-4)),
    "all": turn(-2.0, (-6.2, 5.5), (-8e-5, 6e-5)),
}


@pytest.mark.parametrize(
    ("motion", "dtype"), [*((motion, np.uint8) for motion in MOTIONS), ("all", np.uint16)]
)
def test_known_motion_is_found_within_half_a_pixel(motion, dtype):
    report = align_exposure(*make_pair(MOTIONS[motion], dtype).exposures)
    assert report.model == "homography"
    assert report.refused is None
    assert corner_error_px(report, MOTIONS[motion]) < 0.5
    expected = shift_corners(MOTIONS[motion], WIDTH, HEIGHT)
    assert report.max_corner_shift_px == pytest.approx(expected, abs=0.5)
    assert report.inliers >= GATES.min_inliers
    assert GATES.min_inlier_ratio <= report.inlier_ratio <= 1.0


@pytest.mark.parametrize("motion", MOTIONS)
def test_a_moved_exposure_is_found_without_keypoints(motion):
    moving, fixed = (ExposureView(one) for one in make_pair(MOTIONS[motion]).exposures)
    assert align_views(moving, fixed).model == "homography"
    assert not moving.has_keypoints


@pytest.mark.parametrize(("scale", "degrees"), [(1.2, 9.0), (0.83, 0.0)])
def test_an_exposure_of_another_scale_is_found_by_keypoints(scale, degrees):
    """The whole frame is turned and shifted, but not scaled, before it is compared."""
    middle = np.array([[1.0, 0.0, (WIDTH - 1) / 2], [0.0, 1.0, (HEIGHT - 1) / 2], [0, 0, 1.0]])
    grow = middle @ np.diag([scale, scale, 1.0]) @ np.linalg.inv(middle)
    motion = turn(degrees) @ grow
    moving, fixed = (ExposureView(one) for one in make_pair(motion).exposures)
    report = align_views(moving, fixed)
    assert moving.has_keypoints
    assert report.refused is None
    assert corner_error_px(report, motion) < 0.5


def test_the_first_look_alone_seeks_no_keypoints():
    first, second = (
        ExposureView(expose(make_scene(seed), gain)) for seed, gain in ((1, 0.08), (2, 0.8))
    )
    assert align_views(first, second, looks="first").refused is not None
    assert not first.has_keypoints


def test_the_other_reference_gives_the_inverse_motion():
    pair = make_pair(MOTIONS["all"])
    report = align_exposure(*reversed(pair.exposures))
    assert corner_error_px(report, np.linalg.inv(MOTIONS["all"])) < 0.5


def test_refinement_is_nearer_than_the_keypoints_alone():
    pair = make_pair(MOTIONS["all"])
    moving, fixed = make_proxy(pair.darkest), make_proxy(pair.brightest)
    coarse = match_keypoints(detect_keypoints(moving), detect_keypoints(fixed))
    fit = refine_homography(moving, fixed, coarse)
    corners = frame_corners(WIDTH, HEIGHT)
    truth = map_points(MOTIONS["all"], corners)
    before = np.linalg.norm(map_points(coarse, corners) - truth, axis=1).max()
    after = np.linalg.norm(map_points(fit.homography, corners) - truth, axis=1).max()
    assert after < 0.5 * before


def test_a_homography_found_on_a_proxy_is_right_at_full_size(monkeypatch):
    monkeypatch.setattr(view, "PROXY_MAX_PX", WIDTH * HEIGHT // 3)
    pair = make_pair(MOTIONS["all"])
    assert make_proxy(pair.brightest).size <= WIDTH * HEIGHT // 3
    report = align_exposure(*pair.exposures)
    assert report.model == "homography"
    assert corner_error_px(report, MOTIONS["all"]) < 1.0


def test_exposures_that_lie_on_each_other_are_left_alone():
    report = align_exposure(*make_pair(np.eye(3)).exposures)
    assert (report.model, report.refused) == ("identity", None)
    assert report.homography == IDENTITY
    assert report.max_corner_shift_px < 0.3
    assert report.inliers > 0


def test_motion_below_half_a_pixel_is_measured_and_not_applied():
    report = align_exposure(*make_pair(turn(shift=(0.3, 0.0))).exposures)
    assert (report.model, report.refused) == ("identity", None)
    assert report.max_corner_shift_px == pytest.approx(0.3, abs=0.15)


def test_motion_that_only_a_corner_shows_is_not_applied():
    motion = turn(degrees=0.2)
    assert shift_corners(motion, WIDTH, HEIGHT) > 0.7
    report = align_exposure(*make_pair(motion).exposures)
    assert (report.model, report.refused) == ("identity", None)
    assert report.max_corner_shift_px > 0.5


def test_a_moving_subject_does_not_turn_the_camera():
    scene = make_scene()
    under = expose(scene, 0.08, homography=MOTIONS["rotation"])
    under[80:180, 120:220] = expose(make_scene(9), 0.08)[80:180, 120:220]
    over = expose(scene, 0.8)
    over[80:180, 140:240] = expose(make_scene(9), 0.8)[80:180, 120:220]
    report = align_exposure(*ExposureStack.from_images([under, over]).exposures)
    assert report.model == "homography"
    assert corner_error_px(report, MOTIONS["rotation"]) < 0.5


@pytest.mark.parametrize("size", [(16, 16), (16, 200), (40, 40), (120, 90)])
@pytest.mark.parametrize("levels", [(0, 0), (0, 255), (255, 255), (40, 200)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_images_without_structure_are_refused(size, levels, dtype):
    first, second = (np.full((*size, 3), level, dtype) for level in levels)
    report = align_exposure(*ExposureStack.from_images([first, second]).exposures)
    assert (report.model, report.refused) == ("identity", "few_matches")
    assert report.homography == IDENTITY


@pytest.mark.parametrize("size", [(16, 16), (17, 240), (240, 16), (30, 41)])
def test_tiny_images_do_not_raise(size):
    noise = np.random.default_rng(0).integers(0, 120, (*size, 3)).astype(np.uint8)
    report = align_exposure(*ExposureStack.from_images([noise, noise * 2]).exposures)
    assert report.model == "identity"


def test_a_black_exposure_next_to_a_scene_is_refused():
    over = expose(make_scene(), 0.8)
    report = align_exposure(*ExposureStack.from_images([np.zeros_like(over), over]).exposures)
    assert (report.model, report.refused) == ("identity", "few_matches")


def test_different_scenes_are_refused():
    pair = ExposureStack.from_images([expose(make_scene(1), 0.08), expose(make_scene(2), 0.8)])
    report = align_exposure(*pair.exposures)
    assert report.model == "identity"
    assert report.refused is not None


def test_structure_in_one_corner_alone_is_refused():
    under, over = (
        expose(make_scene(), gain, homography=motion)
        for gain, motion in ((0.08, MOTIONS["shift"]), (0.8, np.eye(3)))
    )
    for image in (under, over):
        image[:, WIDTH // 2 :] = 128
        image[HEIGHT // 3 :] = 128
    report = align_exposure(*ExposureStack.from_images([under, over]).exposures)
    assert report.model == "identity"
    assert report.refused in ("few_inliers", "poor_spread", "uncertain")


def test_the_same_pair_gives_the_same_report_on_any_number_of_threads():
    pair = make_pair(MOTIONS["all"])
    threads = cv2.getNumThreads()
    reports = []
    try:
        for count in (1, 1, 3):
            cv2.setNumThreads(count)
            reports.append(pickle.dumps(align_exposure(*pair.exposures)))
    finally:
        cv2.setNumThreads(threads)
    assert len(set(reports)) == 1


def test_a_report_is_plain_data():
    report = align_exposure(*make_pair(MOTIONS["all"]).exposures)
    assert {type(value) for value in report.homography} == {float}
    assert report.homography[8] == 1.0
    assert (type(report.inliers), type(report.inlier_ratio)) == (int, float)
    assert pickle.loads(pickle.dumps(report)) == report


@pytest.mark.parametrize("size", [(1500, 2000), (1501, 2000), (3000, 4000), (16, 200_000)])
def test_a_proxy_is_never_larger_than_its_bound(size):
    proxy = make_proxy(np.zeros((*size, 3), np.uint8))
    assert proxy.size <= PROXY_MAX_PX
    assert proxy.dtype == np.float32
    assert (proxy.shape == size) == (size[0] * size[1] <= PROXY_MAX_PX)


def test_uint8_and_the_same_image_in_uint16_give_one_proxy():
    image = expose(make_scene(), 0.3)
    proxy = make_proxy(image.astype(np.uint16) * np.uint16(257))
    np.testing.assert_allclose(proxy, make_proxy(image), atol=0.01)


def test_matches_are_mutual_and_pass_the_ratio_test():
    moving = np.zeros((4, 128), np.float32)
    moving[[0, 1, 2, 3], [0, 1, 2, 2]] = [100, 100, 100, 99]
    fixed = np.zeros((4, 128), np.float32)
    fixed[[0, 1, 2, 3], [1, 0, 2, 5]] = [100, 100, 100, 100]
    # Row 3 also likes column 2 best, which prefers row 2: no mutual match.
    rows, columns = match_features(moving, fixed)
    assert list(zip(rows, columns, strict=True)) == [(0, 1), (1, 0), (2, 2)]
    # Two equal candidates: the ratio test turns the row down.
    rows, _ = match_features(moving[:1], np.repeat(fixed[1:2], 2, axis=0))
    assert len(rows) == 0


@pytest.mark.parametrize("counts", [(0, 5), (5, 0), (1, 5), (5, 1)])
def test_fewer_than_two_descriptors_match_nothing(counts):
    moving, fixed = (np.ones((count, 128), np.float32) for count in counts)
    rows, columns = match_features(moving, fixed)
    assert len(rows) == len(columns) == 0


def test_rescaling_keeps_pixel_centres():
    """Doubling the size maps pixel x to 2 x + 0.5: the scale about the corner, not the centre."""
    enlarged = rescale_homography(np.diag([1.5, 1.0, 1.0]), (10, 10), (20, 20))
    small = np.array([[4.0, 3.0]])
    moved = map_points(np.diag([1.5, 1.0, 1.0]), small)
    np.testing.assert_allclose(map_points(enlarged, 2 * small + 0.5), 2 * moved + 0.5, atol=1e-12)


def test_rescaling_there_and_back_is_the_identity():
    motion = MOTIONS["all"]
    there = rescale_homography(motion, (WIDTH, HEIGHT), (1000, 770))
    np.testing.assert_allclose(
        rescale_homography(there, (1000, 770), (WIDTH, HEIGHT)), motion, atol=1e-12
    )


def make_fit(homography, *, inliers=100, outliers=0, side=1.0, sigma=0.05):
    """A fit whose inliers lie on a grid over the given share of each side."""
    count = round(inliers**0.5)
    steps = np.linspace(0.0, side, count)
    grid = np.stack(np.meshgrid(steps * WIDTH, steps * HEIGHT), axis=-1).reshape(-1, 2)
    points = np.concatenate([grid, np.full((outliers, 2), 5.0)])
    is_inlier = np.arange(len(points)) < count**2
    return PatchFit(homography, points, map_points(homography, points), is_inlier, sigma)


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        (None, {}),
        ("few_inliers", {"inliers": 25}),
        ("low_inlier_ratio", {"outliers": 70}),
        ("poor_spread", {"side": 0.49}),
        ("uncertain", {"sigma": 0.6}),
        ("uncertain", {"sigma": float("nan")}),
    ],
)
def test_each_gate_names_its_reason(reason, change):
    fit = make_fit(turn(degrees=1.0), **change)
    assert check_gates(fit, WIDTH, HEIGHT) == reason


def test_a_large_motion_may_be_less_certain_than_a_small_one():
    large = make_fit(turn(shift=(50.0, 0.0)), sigma=0.9)
    small = make_fit(turn(shift=(30.0, 0.0)), sigma=0.9)
    assert check_gates(large, WIDTH, HEIGHT) is None
    assert check_gates(small, WIDTH, HEIGHT) == "uncertain"
    never = dataclasses.replace(GATES, corner_sigma_limit_px=0.8)
    assert check_gates(large, WIDTH, HEIGHT, never) == "uncertain"


IMPLAUSIBLE = {
    "enlarged": np.diag([1.3, 1.3, 1.0]),
    "reduced": np.diag([0.75, 0.75, 1.0]),
    "sheared": np.array([[1.0, 0.2, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
    "rotated": turn(degrees=20.0),
    "shifted": turn(shift=(0.0, 0.3 * HEIGHT)),
    "mirrored": np.array([[-1.0, 0.0, WIDTH - 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
    "mirrored in y": np.array([[1.0, 0.0, 0.0], [0.0, -1.0, HEIGHT - 1.0], [0.0, 0.0, 1.0]]),
    "not convex": np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [-1 / 300, -1 / 300, 1.0]]),
    "over the horizon": turn(perspective=(0.02, 0.0)),
    "folded": np.array([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
    "not a number": np.full((3, 3), np.nan),
}


@pytest.mark.parametrize("case", IMPLAUSIBLE)
def test_motions_that_no_hand_makes_are_implausible(case):
    assert not is_plausible(IMPLAUSIBLE[case], WIDTH, HEIGHT)


def test_an_implausible_fit_is_refused():
    fit = make_fit(turn(degrees=20.0))
    assert check_gates(fit, WIDTH, HEIGHT) == "implausible_motion"


@pytest.mark.parametrize("motion", MOTIONS)
def test_motions_of_a_hand_are_plausible(motion):
    assert is_plausible(MOTIONS[motion], WIDTH, HEIGHT)
    assert is_plausible(np.linalg.inv(MOTIONS[motion]), WIDTH, HEIGHT)
