from typing import get_args

import cv2
import numpy as np
import pytest

from tests.trainer.photographs import (
    make_exif,
    make_radiance,
    photograph,
    save,
    save_bracket,
    turn,
)
from trainer.data.camera import rgb_to_lightness
from trainer.data.preparation.brackets import find_brackets
from trainer.data.preparation.scenes import Reason, prepare_scene
from trainer.data.stacks import list_exposures, read_exposure, read_stack

STILL = np.eye(3)


def prepared(folder, stacks, *, by="folder", max_side_px=1024):
    (bracket,) = find_brackets(folder, by).brackets
    return prepare_scene(bracket, stacks, max_side_px, "fingerprint")


def refusal(folder, tmp_path, **options):
    """The reason and the sentence of a bracket that must leave nothing behind."""
    outcome = prepared(folder, tmp_path / "stacks", **options)
    assert not (tmp_path / "stacks" / outcome.scene).exists()
    assert outcome.fingerprint == "fingerprint"
    assert outcome.reason in get_args(Reason)
    return outcome.reason, outcome.detail


def shift_px(first, second):
    """Largest shift between two pictures in any of their quadrants, by phase correlation."""
    planes = [rgb_to_lightness(image) for image in (first, second)]
    # Ranks are what a change of the exposure leaves in place.
    planes = [cv2.equalizeHist(np.rint(plane * 2.55).astype(np.uint8)) for plane in planes]
    height, width = planes[0].shape
    shifts = []
    for rows in (slice(0, height // 2), slice(height // 2, height)):
        for columns in (slice(0, width // 2), slice(width // 2, width)):
            parts = [np.float32(plane[rows, columns]) for plane in planes]
            window = cv2.createHanningWindow(parts[0].shape[::-1], cv2.CV_32F)
            shifts.append(np.linalg.norm(cv2.phaseCorrelate(*parts, window)[0]))
    return max(shifts)


def test_a_bracket_on_a_tripod_is_left_as_it_is(tmp_path):
    radiance = make_radiance(4)
    shots = {ev: photograph(radiance, ev, seed=index) for index, ev in enumerate((0, 2, -2))}
    for index, (ev, shot) in enumerate(shots.items()):
        save(tmp_path / "a" / f"{index}.png", shot, make_exif(ev))
    outcome = prepared(tmp_path / "a", tmp_path / "stacks")
    assert outcome.reason is None
    assert outcome.kept == ("2.png", "0.png", "1.png")
    assert outcome.correct == 1
    assert outcome.span_ev == pytest.approx(4, abs=0.01)
    assert outcome.shifts_px == (0, 0, 0)
    assert outcome.cropped_share == 0
    assert outcome.notes == ()
    paths = list_exposures(tmp_path / "stacks" / "a")
    assert [path.name for path in paths] == ["00.png", "01.png", "02.png"]
    for path, ev in zip(paths, (-2, 0, 2), strict=True):
        assert (read_exposure(path) == shots[ev]).all()
    assert list(outcome.lightness) == sorted(outcome.lightness)


def test_a_moving_hand_is_put_right_and_the_border_cropped(tmp_path):
    hands = [turn(0.6, (5, -3)), STILL, turn(-0.3, (-4, 2))]
    folder = save_bracket(tmp_path / "a", homographies=hands, seed=5)
    raw = [read_exposure(path) for path in list_exposures(folder)]
    assert shift_px(raw[0], raw[1]) > 4
    assert shift_px(raw[2], raw[1]) > 4
    outcome = prepared(folder, tmp_path / "stacks")
    assert outcome.reason is None
    assert outcome.shifts_px[0] == pytest.approx(8.3, abs=0.3)
    assert 0.02 < outcome.cropped_share < 0.15
    stack = read_stack(tmp_path / "stacks" / "a")
    assert (stack.height, stack.width) == (outcome.height, outcome.width)
    assert stack.triples == ((0, 1, 2),)
    assert shift_px(stack.read(0), stack.read(1)) < 0.3
    assert shift_px(stack.read(2), stack.read(1)) < 0.3


def test_photographs_are_reduced_and_turned_upright(tmp_path):
    radiance = make_radiance(6, 300, 400)
    for index, ev in enumerate((-2, 0, 2)):
        upright = photograph(radiance, ev, seed=index)
        # Orientation 6: the first column is the top of the stored picture.
        save(tmp_path / "a" / f"{index}.png", np.rot90(upright).copy(), make_exif(orientation=6))
    outcome = prepared(tmp_path / "a", tmp_path / "stacks", max_side_px=360)
    assert outcome.reason is None
    assert (outcome.width, outcome.height) == (270, 360)


def test_brightness_orders_them_and_a_contradiction_of_exif_is_noted(tmp_path):
    radiance = make_radiance(7)
    for index, (ev, said) in enumerate(((-2, 2), (0, 0), (2, -2))):
        save(tmp_path / "a" / f"{index}.png", photograph(radiance, ev), make_exif(said))
    outcome = prepared(tmp_path / "a", tmp_path / "stacks")
    assert outcome.kept == ("0.png", "1.png", "2.png")
    assert any("EXIF orders them otherwise" in note for note in outcome.notes)


def test_what_is_unreadable_twice_there_or_of_another_scene_is_dropped(tmp_path):
    folder = save_bracket(tmp_path / "a", (-2, 0, 2))
    radiance = make_radiance(0)
    save(folder / "twice.png", photograph(radiance, 0.05, seed=9))
    save(folder / "zz_other.jpg", photograph(make_radiance(8), -3.2))
    (folder / "broken.jpg").write_bytes(b"no image")
    cut = save(folder / "cut.jpg", photograph(radiance, 1))
    cut.write_bytes(cut.read_bytes()[:-3000])
    outcome = prepared(folder, tmp_path / "stacks")
    assert outcome.reason is None
    assert len(outcome.kept) == 3
    notes = "\n".join(outcome.notes)
    assert "broken.jpg is no image" in notes
    assert "'cut.jpg' cannot be read" in notes
    assert "dropped: as bright as" in notes
    assert "zz_other.jpg dropped: alignment" in notes


def test_a_result_that_lies_beside_its_bracket_is_dropped(tmp_path):
    folder = save_bracket(tmp_path / "a", begin_s=0)
    save(folder / "fused.png", photograph(make_radiance(0), 1))
    outcome = prepared(folder, tmp_path / "stacks")
    assert outcome.kept == ("IMG_0001.jpg", "IMG_0002.jpg", "IMG_0003.jpg")
    assert "fused.png dropped: no exposure time in EXIF" in outcome.notes[0]


def test_renderings_of_one_raw_file_go_by_their_lightness(tmp_path):
    radiance = make_radiance(7)
    for index, ev in enumerate((-2, 0, 2)):
        save(tmp_path / "a" / f"{index}.png", photograph(radiance, ev), make_exif(0))
    outcome = prepared(tmp_path / "a", tmp_path / "stacks")
    assert outcome.reason is None
    assert outcome.span_ev is None


def test_too_few_exposures(tmp_path):
    assert refusal(save_bracket(tmp_path / "a", (-2, 0)), tmp_path)[0] == "too_few_exposures"


def test_too_many_exposures(tmp_path):
    for index in range(25):
        save(tmp_path / "a" / f"{index}.png", np.zeros((20, 20, 3), np.uint8))
    assert refusal(tmp_path / "a", tmp_path)[0] == "too_many_exposures"


def test_photographs_that_exif_cannot_group(tmp_path):
    folder = save_bracket(tmp_path / "a")
    assert refusal(folder, tmp_path, by="exif")[0] == "no_exif"


@pytest.mark.parametrize("content", [b"no image", None])
def test_too_few_readable_exposures(tmp_path, content):
    folder = save_bracket(tmp_path / "a")
    path = folder / "IMG_0002.jpg"
    path.write_bytes(path.read_bytes()[:-3000] if content is None else content)
    reason, detail = refusal(folder, tmp_path)
    assert reason == "unreadable"
    assert "IMG_0002.jpg" in detail


def test_sizes_that_differ(tmp_path):
    folder = save_bracket(tmp_path / "a")
    save(folder / "small.png", np.zeros((270, 360, 3), np.uint8))
    reason, detail = refusal(folder, tmp_path)
    assert reason == "sizes_differ"
    assert "400x300 (3), 360x270 (1)" in detail


def test_too_small(tmp_path):
    reason, detail = refusal(save_bracket(tmp_path / "a", size=(400, 240)), tmp_path)
    assert reason == "too_small"
    assert "400x240" in detail


def test_too_small_after_the_crop(tmp_path):
    hands = [turn(0, (0, 20)), STILL, turn(0, (0, -20))]
    folder = save_bracket(tmp_path / "a", size=(400, 290), homographies=hands, seed=5)
    reason, detail = refusal(folder, tmp_path)
    assert reason == "too_small"
    assert "after alignment and crop" in detail


def test_exposures_that_are_too_alike(tmp_path):
    folder = save_bracket(tmp_path / "a", (-0.3, 0, 0.3))
    assert refusal(folder, tmp_path)[0] == "too_alike"


def test_exposures_that_exif_says_are_too_alike(tmp_path):
    radiance = make_radiance(7)
    for index, ev in enumerate((-2, 0, 2)):
        save(tmp_path / "a" / f"{index}.png", photograph(radiance, ev), make_exif(ev / 10))
    reason, detail = refusal(tmp_path / "a", tmp_path)
    assert reason == "too_alike"
    assert "got 0.40" in detail


def test_no_exposure_that_passes_as_correct(tmp_path):
    folder = save_bracket(tmp_path / "a", (-6, -4, -2))
    assert refusal(folder, tmp_path)[0] == "no_correct_exposure"


def test_no_exposure_on_one_side_of_the_correct_one(tmp_path):
    folder = save_bracket(tmp_path / "a", (-4, -2, 0))
    assert refusal(folder, tmp_path)[0] == "no_triple"


def test_too_few_that_can_be_aligned(tmp_path):
    folder = save_bracket(tmp_path / "a", (0, 2))
    save(folder / "other.png", photograph(make_radiance(9), -2))
    reason, detail = refusal(folder, tmp_path)
    assert reason == "alignment_refused"
    assert "other.png" in detail


def test_an_error_of_the_disk_refuses_the_scene_alone(tmp_path):
    folder = save_bracket(tmp_path / "a")
    (tmp_path / "stacks").write_text("no folder")
    outcome = prepared(folder, tmp_path / "stacks")
    assert outcome.reason == "failed"
    assert "Error" in outcome.detail


def test_a_mistake_of_the_programme_is_not_taken_for_a_bad_scene(tmp_path):
    (bracket,) = find_brackets(save_bracket(tmp_path / "a"), "folder").brackets
    with pytest.raises(TypeError):
        prepare_scene(bracket, "no path", 1024, "fingerprint")
