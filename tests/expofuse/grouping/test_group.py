"""The rules by which frames become brackets, one by one; no file is read."""

from dataclasses import replace

import pytest

from bench.grouping import judge
from bench.shoots.shoot import make_shoot
from expofuse.grouping import BracketMark, Frame, group_files, group_frames

EXPOSURE_S = 1.0 / 60.0


def take(number, step_ev, at_s, **settings):
    """A frame of a camera that tells everything, brackets with its compensation, and marks it."""
    values = {
        "taken_s": at_s,
        "has_fraction": True,
        "exposure_s": EXPOSURE_S * 2.0**step_ev,
        "f_number": 8.0,
        "iso": 100.0,
        "bias_ev": step_ev,
        "mode": "auto",
        "focal_length_mm": 24.0,
        "width_px": 6000,
        "height_px": 4000,
        "model": "Model",
        "serial": "1",
    }
    return Frame(f"DSC_{number:04}.JPG", **(values | settings))


def shoot(*steps, first=1, at_s=0.0, gap_s=0.4, **settings):
    """Frames one after another, `gap_s` after the end of the one before."""
    frames = []
    for index, step_ev in enumerate(steps):
        frames.append(take(first + index, step_ev, at_s, **settings))
        at_s += frames[-1].exposure_s + gap_s
    return frames


def numbers(groups):
    return [[int(name[-8:-4]) for name in one.names] for one in groups.brackets]


@pytest.mark.parametrize(
    "steps",
    [
        (0, -2, 2),
        (-2, 0, 2),
        (2, 0, -2),
        (0, -1, 1, -2, 2),
        (-3, -2, -1, 0, 1, 2, 3),
        tuple(range(-4, 5)),
        (0, -1),
    ],
)
def test_each_of_repeated_brackets_is_found(steps):
    groups = group_frames(shoot(*steps * 4))
    count = len(steps)
    assert numbers(groups) == [list(range(1 + k * count, 1 + (k + 1) * count)) for k in range(4)]
    assert groups.singles == ()


def test_a_bracket_that_lacks_its_first_frame_does_not_take_the_next_one_s():
    frames = [*shoot(0, -2, 2), *shoot(0, -2, 2, at_s=60.0, first=4)]
    frames += shoot(*(0, -2, 2) * 3, at_s=120.0, first=7)[1:]
    assert numbers(group_frames(frames)) == [
        [1, 2, 3],
        [4, 5, 6],
        [8, 9],
        [10, 11, 12],
        [13, 14, 15],
    ]


def test_a_burst_of_equal_exposures_is_no_bracket():
    groups = group_frames(shoot(*[0.0] * 12, gap_s=0.1))
    assert groups.brackets == ()
    assert {one.reason for one in groups.singles} == {"one of a burst of equal exposures"}


def test_what_the_camera_metered_anew_is_no_bracket():
    frames = shoot(0, 1, -1, 0.7, gap_s=1.0, bias_ev=0.0)
    assert group_frames(frames).brackets == ()


def test_exposures_set_by_hand_are_a_bracket_when_they_follow_each_other():
    frames = shoot(-2, 0, 2, gap_s=4.0, bias_ev=0.0, mode="manual")
    assert numbers(group_frames(frames)) == [[1, 2, 3]]
    frames = shoot(-2, 0, 2, gap_s=30.0, bias_ev=0.0, mode="manual")
    assert group_frames(frames).brackets == ()


def test_a_pause_allows_for_long_exposures_and_dark_frames():
    times = (0.0, 31.0, 61.0)  # 15 s and a dark frame of 15 s, then 15 s and the next one's
    frames = [
        take(index + 1, step, at_s, exposure_s=exposure_s)
        for index, (step, at_s, exposure_s) in enumerate(
            zip((0, -2, 1), times, (15.0, 3.75, 30.0), strict=True)
        )
    ]
    assert numbers(group_frames(frames)) == [[1, 2, 3]]


@pytest.mark.parametrize("change", ["width_px", "orientation", "focal_length_mm"])
def test_a_change_of_the_picture_ends_a_bracket(change):
    first, *others = shoot(0, -2, 2)
    changed = replace(first, **{change: 7})
    assert numbers(group_frames([changed, *others])) == [[2, 3]]


def test_cameras_that_take_turns_are_told_apart():
    ours = shoot(0, -2, 2)
    theirs = [
        replace(one, name=one.name.replace("DSC_0", "DSC_7"), serial="2") for one in shoot(0, -2, 2)
    ]
    both = [frame for pair in zip(ours, theirs, strict=True) for frame in pair]
    assert sorted(numbers(group_frames(both))) == [[1, 2, 3], [7001, 7002, 7003]]


def test_two_bodies_without_serial_numbers_are_told_apart_by_their_names():
    ours = shoot(0, -2, 2, serial="")
    theirs = [replace(one, name=one.name.replace("DSC", "XYZ")) for one in ours]
    assert len(group_frames([*ours, *theirs]).brackets) == 2


def test_frames_of_a_clock_that_was_set_back_keep_the_order_of_their_numbers():
    frames = shoot(*(0, -2, 2) * 4, gap_s=0.5)
    late = [replace(one, taken_s=one.taken_s - 4.3) for one in frames[6:]]
    assert sorted(numbers(group_frames([*frames[:6], *late]))) == [
        [1, 2, 3],
        [4, 5, 6],
        [7, 8, 9],
        [10, 11, 12],
    ]


def test_a_clock_that_stands_still_leaves_numbers_and_marks():
    mark = BracketMark(True)
    frames = [replace(one, taken_s=5.0, mark=mark) for one in shoot(*(0, -2, 2) * 4)]
    assert len(group_frames(frames).brackets) == 4


def test_numbers_go_on_behind_their_last_one():
    frames = shoot(0, -2, 2, first=9998, taken_s=None)
    wrapped = [
        replace(one, name=f"DSC_{n:04}.JPG") for one, n in zip(frames, (9998, 9999, 1), strict=True)
    ]
    assert numbers(group_frames(wrapped)) == [[9998, 9999, 1]]


def test_a_raw_file_beside_its_picture_is_set_aside():
    pictures = shoot(0, -2, 2)
    raws = [replace(one, name=one.name[:-3] + "NEF", kind="raw") for one in pictures]
    groups = group_frames([*raws, *pictures])
    assert groups.brackets[0].names == ("DSC_0001.JPG", "DSC_0002.JPG", "DSC_0003.JPG")
    assert groups.singles[0].reason == "the raw file of DSC_0001.JPG"
    groups = group_frames([*raws, *pictures], prefer="raw")
    assert groups.brackets[0].names == ("DSC_0001.NEF", "DSC_0002.NEF", "DSC_0003.NEF")
    assert groups.singles[0].reason == "the picture of DSC_0001.NEF"


def test_the_camera_s_own_number_of_a_frame_begins_a_bracket():
    shots = (1, 2, 3, 1, 2, 1, 2, 3)
    frames = [
        replace(one, mark=BracketMark(True, shot=shot))
        for one, shot in zip(shoot(0, -2, 2, 0, -2, 0, -2, 2), shots, strict=True)
    ]
    assert numbers(group_frames(frames)) == [[1, 2, 3], [4, 5], [6, 7, 8]]


def test_what_the_camera_marks_may_wait_for_the_photographer():
    marked = shoot(0, -2, 2, gap_s=15.0, mark=BracketMark(True))
    assert numbers(group_frames(marked)) == [[1, 2, 3]]
    assert group_frames(shoot(0, -2, 2, gap_s=15.0)).brackets == ()


def test_more_than_nine_exposures_are_cut():
    groups = group_frames(shoot(*range(-6, 6), gap_s=0.3))
    assert all(len(one.names) <= 9 for one in groups.brackets)


def test_every_frame_is_in_one_place():
    frames = shoot(0, -2, 2, 0, 0, 1, gap_s=0.4)
    frames.append(Frame("a.txt.jpg", fault="expected a picture, got a text"))
    frames.append(Frame("b.jpg"))
    groups = group_frames(frames)
    names = [name for one in groups.brackets for name in one.names]
    names += [one.name for one in groups.singles]
    assert sorted(names) == sorted(one.name for one in frames)
    assert all(one.reason for one in (*groups.brackets, *groups.singles))


def test_two_frames_of_one_name_are_refused():
    with pytest.raises(ValueError, match="different names"):
        group_frames([Frame("a.jpg"), Frame("a.jpg")])


@pytest.mark.parametrize("seed", [31, 32])
def test_brackets_of_made_up_shoots_are_found(tmp_path, seed):
    made = make_shoot(seed, 500)
    judged = judge(made, group_files(made.write(tmp_path), tmp_path))
    assert judged.found > 60
    assert judged.f1 >= 0.99, (judged.missed, judged.invented)
