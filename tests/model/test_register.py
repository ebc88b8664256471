"""Registering exposures of one size and of several: left out, resampled, refused, framed."""

import cv2
import numpy as np
import pytest

from model.errors import AlignmentError, ExposureError
from model.exposure import AlignmentReport, ExposureSet
from model.fuse import fuse_stack
from model.pipeline import create_pipeline
from model.register import register
from model.release.weights import load_weights
from model.tiling import Rect
from tests.model.alignment.test_estimate import expose, make_scene, turn

WIDTH, HEIGHT = 480, 360
SCENE = make_scene(4, WIDTH, HEIGHT)
DARK, MIDDLE, BRIGHT = (expose(SCENE, gain) for gain in (0.1, 0.3, 0.9))
HALF = cv2.resize(DARK, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
FULL = Rect(0, 0, HEIGHT, WIDTH)


@pytest.fixture(scope="module")
def pipeline(blend_weights_dir):
    return create_pipeline(load_weights(blend_weights_dir), device="cpu", threads=1)


def run(*images, align="auto", ghosts="off", **options):
    return register(ExposureSet.from_images(images), align=align, ghosts=ghosts, **options)


def shifts(*pairs):
    """Finds the shifts given for the exposures of a stack, None for its reference."""
    reports = tuple(
        None
        if pair is None
        else AlignmentReport(
            "homography", (1.0, 0.0, pair[0], 0.0, 1.0, pair[1], 0.0, 0.0, 1.0), 99, 1.0, 9.0, None
        )
        for pair in pairs
    )
    return lambda exposures, reference: reports


@pytest.mark.parametrize("wanted", [1, 2, 3])
def test_the_picture_has_the_size_of_the_reference(pipeline, wanted):
    images = (BRIGHT[2:], HALF, MIDDLE)
    fusion = fuse_stack(ExposureSet.from_images(images), pipeline, wanted=wanted)
    assert fusion.picture.shape == images[wanted - 1].shape
    alignment = fusion.registered.registration.alignment
    assert fusion.registered.used.order == (1, 2, 0)
    resized = [one is not None and one.own_size is not None for one in alignment.reports]
    assert resized == [number != wanted for number in (2, 3, 1)]


def test_without_a_wish_the_reference_shows_most_of_those_that_are_not_reduced():
    assert run(BRIGHT, DARK, MIDDLE).registration.reference == 0
    cut = run(BRIGHT[:-2], DARK, MIDDLE[:, 3:])
    assert (cut.registration.reference, cut.used.order[0], cut.used.width) == (0, 1, WIDTH)
    for default in ("under", "over"):
        reduced = run(BRIGHT, HALF, default=default)
        assert (reduced.registration.reference, reduced.used.width) == (1, WIDTH)
    assert run(BRIGHT[::2, ::2], HALF).used.width == WIDTH // 2


def test_an_exposure_that_is_equal_but_for_its_size_is_left_out_as_a_duplicate():
    found = run(MIDDLE, DARK, BRIGHT, MIDDLE[1:, 2:], wanted=3)
    assert set(found.useless.values()) == {"duplicate"}
    assert found.useless.keys() < {0, 3}
    assert len(found.used) == len(found.registration.alignment.reports) == 3
    twice = run(HALF, DARK, BRIGHT[::2, ::2], wanted=3)
    assert set(twice.useless.values()) == {"duplicate"}
    assert len(twice.used) == len(twice.registration.alignment.reports) == 2
    picture = run(BRIGHT, BRIGHT[:, :-2], wanted=2)
    assert (picture.used.order, picture.used.width) == ((1,), WIDTH - 2)


def test_a_blank_frame_of_another_size_is_left_out_and_not_sought():
    found = run(np.zeros((99, 20, 3), np.uint8), DARK, BRIGHT, np.full((30, 30, 3), 255, np.uint8))
    assert dict(found.useless) == {0: "blank", 3: "blank"}
    assert found.used.order == (1, 2)


def test_without_alignment_other_sizes_are_refused_with_a_hint():
    with pytest.raises(ExposureError, match=r"240x180, 480x360 and 480x360 pixels; alignment br"):
        run(HALF, MIDDLE, BRIGHT, align="off")
    turned = np.ascontiguousarray(np.rot90(DARK))
    with pytest.raises(ExposureError, match=r"360x480 and 480x360 pixels; one of them is turned"):
        run(turned, BRIGHT, align="off")


def test_what_is_required_is_required_of_exposures_of_one_size_too():
    flat = np.full_like(MIDDLE, 120)
    flat[:8] = MIDDLE[:8]
    with pytest.raises(AlignmentError, match="refused for"):
        run(HALF, flat, BRIGHT, align="require", wanted=3)
    assert run(HALF, MIDDLE, BRIGHT, align="require").registration.alignment.refused == ()


def test_8_and_16_bits_of_several_sizes_become_16():
    found = run(HALF.astype(np.uint16) * 257, BRIGHT)
    assert {one.dtype for one in found.used.exposures} == {np.dtype(np.uint16)}


def test_the_frame_is_told_whether_or_not_it_is_cut_to(pipeline):
    moved = expose(SCENE, 0.1, homography=turn(shift=(14.0, -9.0), width=WIDTH, height=HEIGHT))
    given = ExposureSet.from_images([moved, MIDDLE, BRIGHT])
    whole = fuse_stack(given, pipeline, wanted=3)
    cut = fuse_stack(given, pipeline, wanted=3, crop="common")
    frame = cut.registered.frame
    assert whole.registered.frame == frame
    assert abs(frame.left - 14) <= 1
    assert frame.top == 0
    assert abs(frame.bottom - (HEIGHT - 9)) <= 1
    np.testing.assert_array_equal(cut.picture, whole.picture[frame.slices])
    assert cut.picture.flags.c_contiguous
    assert run(DARK, BRIGHT, align="off").frame == FULL
    assert run(DARK, BRIGHT, crop="common").frame == FULL


def test_the_frame_of_an_exposure_with_fewer_pixels_is_what_it_shows():
    assert run(DARK[3:, :-5], BRIGHT, wanted=2).frame == Rect(3, 0, HEIGHT - 3, WIDTH - 5)
    assert run(HALF, BRIGHT).frame == FULL


def test_exposures_that_share_too_little_are_cropped_to_nothing():
    apart = shifts((300.0, 0.0), None, (-300.0, 0.0))
    exposures = (DARK, MIDDLE, BRIGHT)
    assert run(*exposures, find_alignment=apart, wanted=2).frame is None
    with pytest.raises(ExposureError, match=r"of at least 16x16 pixels .*, they share 0x0"):
        run(*exposures, find_alignment=apart, wanted=2, crop="common")
    narrow = shifts((0.0, 200.0), None, (0.0, -145.0))
    assert run(*exposures, find_alignment=narrow, wanted=2).frame == Rect(200, 0, 15, WIDTH)
    with pytest.raises(ExposureError, match="they share 480x15"):
        run(*exposures, find_alignment=narrow, wanted=2, crop="common")
    enough = shifts((0.0, 200.0), None, (0.0, -144.0))
    found = run(*exposures, find_alignment=enough, wanted=2, crop="common")
    assert found.frame == Rect(200, 0, 16, WIDTH)


@pytest.mark.parametrize(
    ("count", "kind", "ghosts"),
    [
        (2, "moved", "auto"),
        (2, "moved and half", "off"),
        (2, "cut", "auto"),
        (3, "moved", "off"),
        (3, "moved and half", "auto"),
        (3, "cut", "off"),
    ],
)
def test_an_edge_that_only_the_reference_covers_shows_no_streaks(pipeline, count, kind, ghosts):
    """Along the edge the picture is as with complete exposures, not their last pixels repeated."""
    lost = 24
    reference = (DARK, MIDDLE) if count == 2 else (DARK, MIDDLE, BRIGHT)
    motion = np.array([[1.0, 0.0, lost], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    part = DARK[:, lost:] if kind == "cut" else expose(SCENE, 0.1, homography=motion)
    if kind == "moved and half":
        part = cv2.resize(part, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    given = ExposureSet((part, *reference[1:]), tuple(range(count)))
    fusion = fuse_stack(given, pipeline, ghosts=ghosts, wanted=count)
    assert fusion.registered.frame.left in range(lost - 1, lost + 2)
    truth = fuse_stack(ExposureSet.from_images(reference), pipeline, align="off", ghosts="off")
    edge = np.s_[:, : lost - 4]
    off = np.abs(fusion.picture[edge].astype(int) - truth.picture[edge]).mean()
    streaked = part if kind == "cut" else DARK[:, lost:]
    repeated = np.pad(streaked, ((0, 0), (lost, 0), (0, 0)), mode="edge")
    streaks = ExposureSet((repeated, *reference[1:]), tuple(range(count)))
    bad = fuse_stack(streaks, pipeline, align="off", ghosts="off").picture
    assert off < 0.5 * np.abs(bad[edge].astype(int) - truth.picture[edge]).mean()
    assert off < 6
