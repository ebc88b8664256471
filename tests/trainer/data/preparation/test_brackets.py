import numpy as np
import pytest

from tests.trainer.photographs import make_exif, save
from trainer.data.preparation.brackets import find_brackets

GREY = np.full((40, 60, 3), 128, np.uint8)


def take(folder, first, evs, *, begin_s=0.0, step_s=1.0, image=GREY, **exif):
    """A row of photographs without a scene: what groups them is in their headers."""
    for index, ev in enumerate(evs):
        save(
            folder / f"IMG_{first + index:04d}.jpg",
            image,
            make_exif(ev, taken_s=begin_s + step_s * index, **exif),
        )


def grouped(root, by="auto", **options):
    """The names of the files of each bracket, and how it was found."""
    survey = find_brackets(root, by, **options)
    return [
        ([int(photo.path.stem[-4:]) for photo in one.photos], one.grouped_by)
        for one in survey.brackets
    ]


def test_every_folder_with_photographs_is_a_bracket(tmp_path):
    for name in ("a", "a/inner", "b"):
        for index in range(3):
            save(tmp_path / name / f"IMG_{index:04d}.jpg", GREY)
    survey = find_brackets(tmp_path)
    assert [(one.name, one.folder, len(one.photos)) for one in survey.brackets] == [
        ("a", "a", 3),
        ("a-inner", "a/inner", 3),
        ("b", "b", 3),
    ]


def test_photographs_at_the_top_are_named_after_the_tree(tmp_path):
    save(tmp_path / "walk" / "IMG_0000.jpg", GREY)
    (bracket,) = find_brackets(tmp_path / "walk").brackets
    assert (bracket.name, bracket.folder) == ("walk", ".")


def test_names_are_plain_and_nobody_elses(tmp_path):
    for name in ("a b", "a-b", "A b", "日本"):
        save(tmp_path / name / "IMG_0000.jpg", GREY)
    names = [one.name for one in find_brackets(tmp_path).brackets]
    assert len({name.lower() for name in names}) == 4
    for name in names:
        assert name.isascii()
        assert name[0] not in ".-"
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert names == [one.name for one in find_brackets(tmp_path).brackets]


def test_hidden_files_other_files_and_the_output_are_passed_over(tmp_path):
    take(tmp_path / "walk", 1, (0, 1, 2))
    for name in ("walk/._IMG_0001.jpg", ".thumbs/IMG_0001.jpg", "@eaDir/IMG_0001.jpg"):
        save(tmp_path / name, GREY)
    save(tmp_path / "out" / "stacks" / "walk" / "0000.png", GREY)
    (tmp_path / "walk" / "IMG_0001.CR3").write_bytes(b"raw")
    survey = find_brackets(tmp_path, without=tmp_path / "out")
    assert [one.name for one in survey.brackets] == ["walk"]
    assert survey.ignored == {".cr3": 1}


def test_a_pause_begins_a_bracket(tmp_path):
    take(tmp_path, 1, (-2, 0, 2))
    take(tmp_path, 4, (-3, -1, 1), begin_s=8)
    assert grouped(tmp_path, "exif") == [([1, 2, 3], "exif"), ([4, 5, 6], "exif")]


def test_a_pause_counts_from_the_end_of_the_exposure_and_after_its_dark_frame(tmp_path):
    # 2^10 / 100 s = 10.24 s of exposure, as long for the dark frame, then 3 s.
    save(tmp_path / "IMG_0001.jpg", GREY, make_exif(10, taken_s=0))
    save(tmp_path / "IMG_0002.jpg", GREY, make_exif(8, taken_s=23.5))
    save(tmp_path / "IMG_0003.jpg", GREY, make_exif(6, taken_s=36))
    assert grouped(tmp_path, "exif") == [([1, 2], "exif"), ([3], "exif")]


def test_an_exposure_that_comes_again_begins_a_bracket(tmp_path):
    take(tmp_path, 1, (0, -2, 2, 0, -2, 2, 0.1, -1.9, 2.1), step_s=0.2)
    assert grouped(tmp_path, "exif") == [
        ([1, 2, 3], "exif"),
        ([4, 5, 6], "exif"),
        ([7, 8, 9], "exif"),
    ]


def test_steps_of_a_third_of_an_ev_are_no_repetition(tmp_path):
    take(tmp_path, 1, (0, -1 / 3, 1 / 3, -2 / 3, 2 / 3), step_s=0.2)
    assert grouped(tmp_path, "exif") == [([1, 2, 3, 4, 5], "exif")]


def test_a_compensation_that_comes_again_begins_a_bracket_although_the_light_changed(tmp_path):
    for index, (bias, meter) in enumerate(((0, 0), (-2, 0), (2, 0), (0, 0.7), (-2, 0.7), (2, 0.7))):
        exif = make_exif(bias + meter, taken_s=0.3 * index, bias_ev=bias)
        save(tmp_path / f"IMG_{index + 1:04d}.jpg", GREY, exif)
    assert grouped(tmp_path, "exif") == [([1, 2, 3], "exif"), ([4, 5, 6], "exif")]


def test_a_constant_compensation_says_nothing(tmp_path):
    take(tmp_path, 1, (-2, 0, 2), bias_ev=0.0)
    assert grouped(tmp_path, "exif") == [([1, 2, 3], "exif")]


@pytest.mark.parametrize(
    "change",
    [
        {"camera": "Camera Two"},
        {"orientation": 6},
        {"focal_length_mm": 50.0},
        {"image": np.full((30, 60, 3), 128, np.uint8)},
    ],
)
def test_another_camera_size_orientation_or_focal_length_begins_a_bracket(tmp_path, change):
    settings = {"focal_length_mm": 35.0}
    take(tmp_path, 1, (-2, 0, 2), **settings)
    take(tmp_path, 4, (-3, -1, 1), begin_s=3, **settings | change)
    assert grouped(tmp_path, "exif") == [([1, 2, 3], "exif"), ([4, 5, 6], "exif")]


def test_two_cameras_that_shoot_at_once_are_kept_apart(tmp_path):
    take(tmp_path, 1, (-2, 0, 2))
    take(tmp_path, 4, (-2, 0, 2), begin_s=0.5, camera="Camera Two")
    assert grouped(tmp_path, "exif") == [([1, 2, 3], "exif"), ([4, 5, 6], "exif")]


def test_scenes_by_exif_are_named_after_their_first_photograph(tmp_path):
    take(tmp_path / "card", 1, (-2, 0, 2))
    take(tmp_path / "card", 4, (-2, 0, 2), begin_s=60)
    names = [one.name for one in find_brackets(tmp_path, "exif").brackets]
    assert names == ["card-IMG_0001", "card-IMG_0004"]


def test_photographs_without_a_time_belong_to_no_bracket_by_exif(tmp_path):
    take(tmp_path, 1, (-2, 0, 2))
    save(tmp_path / "IMG_0009.jpg", GREY)
    assert grouped(tmp_path, "exif") == [([1, 2, 3], "exif"), ([9], "nothing")]


def test_auto_splits_a_folder_of_several_brackets(tmp_path):
    take(tmp_path, 1, (0, -2, 2))
    take(tmp_path, 4, (0, -2, 2), begin_s=3)
    take(tmp_path, 7, (0.5, -1.5, 2.5), begin_s=60)
    assert grouped(tmp_path) == [
        ([1, 2, 3], "exif"),
        ([4, 5, 6], "exif"),
        ([7, 8, 9], "exif"),
    ]


def test_auto_splits_brackets_that_were_metered_apart(tmp_path):
    take(tmp_path, 1, (0, -2, 2))
    take(tmp_path, 4, (0.7, -1.3, 2.7), begin_s=60)
    assert grouped(tmp_path) == [([1, 2, 3], "exif"), ([4, 5, 6], "exif")]


def test_auto_keeps_one_bracket_whose_photographer_took_his_time(tmp_path):
    take(tmp_path, 1, (-4, -2, 0, 2, 4), step_s=30)
    assert grouped(tmp_path) == [([1, 2, 3, 4, 5], "folder")]


def test_auto_takes_a_stray_photograph_away_from_a_bracket(tmp_path):
    take(tmp_path, 1, (0, -2, 2))
    take(tmp_path, 4, (0,), begin_s=90)
    assert grouped(tmp_path) == [([1, 2, 3], "exif"), ([4], "exif")]


def test_auto_goes_by_folder_where_most_photographs_have_no_exif(tmp_path):
    take(tmp_path, 1, (0,))
    for index in (2, 3):
        save(tmp_path / f"IMG_{index:04d}.jpg", GREY)
    assert grouped(tmp_path) == [([1, 2, 3], "folder")]


def test_by_folder_asks_no_header(tmp_path):
    take(tmp_path, 1, (0, -2, 2))
    take(tmp_path, 4, (0, -2, 2), begin_s=60)
    assert grouped(tmp_path, "folder") == [([1, 2, 3, 4, 5, 6], "folder")]
