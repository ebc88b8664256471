import cv2
import numpy as np
import pytest

from trainer.data.stacks import find_triples, list_exposures, mean_lightness, read_stack
from trainer.errors import DataError


def write(folder, name, level, size=(20, 30)):
    folder.mkdir(exist_ok=True)
    cv2.imwrite(str(folder / name), np.full((*size, 3), level, np.uint8))


def test_exposures_are_jpeg_and_png_in_the_order_of_their_names(tmp_path):
    for name in ("01.png", "00.jpg", "02.png"):
        write(tmp_path / "a", name, 100)
    (tmp_path / "a" / "notes.txt").write_text("windy")
    assert [path.name for path in list_exposures(tmp_path / "a")] == ["00.jpg", "01.png", "02.png"]


def test_every_triple_lies_around_an_exposure_of_middle_lightness():
    assert set(find_triples([80, 10, 50, 60])) == {(1, 2, 3), (1, 2, 0), (1, 3, 0), (2, 3, 0)}
    assert find_triples([34.9, 10, 68.1]) == ()
    assert find_triples([10, 20, 50]) == ()
    assert find_triples([]) == ()


def test_a_stack_whose_pixels_are_not_kept_gives_the_same_exposures(tmp_path):
    for index, level in enumerate((10, 120, 240)):
        write(tmp_path / "a", f"{index:02d}.png", level)
    kept, lazy = read_stack(tmp_path / "a"), read_stack(tmp_path / "a", keep=False)
    assert lazy.images == ()
    assert kept.triples == lazy.triples == ((0, 1, 2),)
    assert (kept.height, kept.width) == (lazy.height, lazy.width) == (20, 30)
    for index in range(3):
        assert (kept.read(index) == lazy.read(index)).all()
    assert mean_lightness(kept.read(2)) > 90


def test_a_broken_an_empty_and_an_uneven_stack_are_refused(tmp_path):
    write(tmp_path / "uneven", "00.png", 100)
    write(tmp_path / "uneven", "01.png", 100, size=(30, 20))
    with pytest.raises(DataError, match="2 of 2 sizes"):
        read_stack(tmp_path / "uneven")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="0 of 0 sizes"):
        read_stack(tmp_path / "empty")
    write(tmp_path / "broken", "00.png", 100)
    (tmp_path / "broken" / "01.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"broken/01\.png"):
        read_stack(tmp_path / "broken")
