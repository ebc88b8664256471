"""Folders of files: what is listed, and what pixels tell where headers say nothing."""

import numpy as np
import pytest
from PIL import Image

from expofuse.grouping import group_files
from expofuse.grouping.files import list_pictures


def draw_scene(seed):
    """A scene of blocks and ramps in linear light, wider than one exposure shows."""
    dice = np.random.default_rng(seed)
    scene = np.full((240, 320), 0.1)
    for _ in range(40):
        top, left = dice.integers(0, 220), dice.integers(0, 300)
        height, width = dice.integers(10, 80, 2)
        scene[top : top + height, left : left + width] = 2.0 ** dice.uniform(-6.0, 1.0)
    ramp = np.linspace(0.5, 1.5, 320)
    return scene * ramp


def write_exposure(path, scene, step_ev, shift_px=0):
    light = np.clip(np.roll(scene, shift_px, 1) * 2.0**step_ev, 0.0, 1.0)
    pixels = np.rint(light ** (1 / 2.2) * 255.0).astype(np.uint8)
    Image.fromarray(np.dstack([pixels] * 3)).save(path, quality=92)


def test_pictures_without_headers_are_grouped_by_what_they_show(tmp_path):
    number = 0
    for seed in range(4):
        for step_ev, shift_px in ((0, 0), (-2, 3), (2, 6)):
            number += 1
            write_exposure(tmp_path / f"{number:03}.jpg", draw_scene(seed), step_ev, shift_px)
    groups = group_files(list_pictures(tmp_path), tmp_path)
    assert [one.names for one in groups.brackets] == [
        tuple(f"{first + k:03}.jpg" for k in range(3)) for first in (1, 4, 7, 10)
    ]
    assert "by what they show" in groups.brackets[0].reason


@pytest.mark.parametrize(
    "names",
    [
        ["bedroom-1", "bedroom-2", "livingroom-1", "livingroom-2"],
        ["room9_1", "room9_2", "room10_1", "room10_2"],
        ["P000_00", "P001_01", "P002_00", "P003_01"],
    ],
)
def test_numbers_that_begin_anew_for_each_scene_do_not_mix_them(names, tmp_path):
    for index, name in enumerate(names):
        write_exposure(tmp_path / f"{name}.jpg", draw_scene(index // 2), -2 * (index % 2))
    groups = group_files(list_pictures(tmp_path), tmp_path)
    pairs = [(f"{a}.jpg", f"{b}.jpg") for a, b in (names[:2], names[2:])]
    assert [one.names for one in groups.brackets] == pairs


def test_the_same_picture_again_is_no_bracket(tmp_path):
    for number in range(3):
        write_exposure(tmp_path / f"{number}.jpg", draw_scene(1), 0, number)
    assert group_files(list_pictures(tmp_path), tmp_path).brackets == ()


def test_folders_of_pictures_without_headers_stay_apart(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for number, step_ev in enumerate((-2, 0)):
            write_exposure(tmp_path / folder / f"{number}.jpg", draw_scene(1), step_ev)
    groups = group_files(list_pictures(tmp_path), tmp_path)
    assert [one.names for one in groups.brackets] == [
        ("a/0.jpg", "a/1.jpg"),
        ("b/0.jpg", "b/1.jpg"),
    ]


def test_films_sidecars_and_hidden_files_are_not_listed(tmp_path):
    (tmp_path / ".trash").mkdir()
    (tmp_path / "DCIM").mkdir()
    for name in ("a.JPG", "b.mov", "c.xmp", ".d.jpg", ".trash/e.jpg", "DCIM/f.NEF"):
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in list_pictures(tmp_path)]
    assert found == ["DCIM/f.NEF", "a.JPG"]


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(OSError, match="missing"):
        list_pictures(tmp_path / "missing")
