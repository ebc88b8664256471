"""`expofuse compare`: the sheet, and what is told of each picture."""

import json

import numpy as np
import pytest
from PIL import Image

from service.console.comparison import CELL_PX, count_levels, draw_comparison
from tests import dng, images


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{name}.png" for name in ("bright", "dark", "fused")]
    for path, gain in zip(paths, (1.0, 0.2, 0.6), strict=True):
        path.write_bytes(images.encoded(pixels=images.scene(320, 480, gain=gain)))
    return paths


def test_a_sheet_is_drawn(files, tmp_path, expofuse):
    out = tmp_path / "sheet.png"
    said = expofuse("compare", *files, "-o", out, "--json")
    assert said.code == 0
    told = json.loads(said.out)
    with Image.open(out) as sheet:
        assert sheet.format == "PNG"
        assert sheet.size == (told["width"], told["height"])
        assert sheet.width > 3 * CELL_PX


def test_exposures_stand_from_dark_to_bright_and_the_fusion_last(files):
    sheet = np.asarray(draw_comparison(files[:2], files[2])).astype(float)
    width = sheet.shape[1] // 3
    means = [sheet[60:200, left + 60 : left + width - 60].mean() for left in (0, width, 2 * width)]
    assert means[0] < means[2] < means[1]


@pytest.mark.parametrize("count", [2, 5, 6, 9])
def test_many_exposures_stand_in_rows_of_equal_length(files, count):
    sheet = draw_comparison(files[:1] * count, files[2])
    columns = round((sheet.width - 24) / (CELL_PX + 24))
    assert columns == (count + 1 if count <= 5 else -(-(count + 1) // 2))


def test_a_suffix_of_jpeg_gives_a_jpeg(files, tmp_path, expofuse):
    expofuse("compare", *files, "-o", tmp_path / "sheet.jpg")
    assert (tmp_path / "sheet.jpg").read_bytes().startswith(b"\xff\xd8")


def test_pictures_that_pillow_cannot_read_are_drawn_too(files, tmp_path, expofuse):
    (tmp_path / "deep.tif").write_bytes(images.tiff16())
    (tmp_path / "raw.dng").write_bytes(dng.dng(np.full((64, 96, 3), 0.2)))
    sources = [tmp_path / "deep.tif", tmp_path / "raw.dng", files[2]]
    assert expofuse("compare", *sources, "-o", tmp_path / "sheet.png").code == 0


def test_levels_are_counted_for_each_channel():
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[..., 2] = 255
    shares = count_levels(pixels)
    assert shares.shape == (3, 256)
    assert (shares[0, 0], shares[2, 255], shares[2, 0]) == (1.0, 1.0, 0.0)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)


@pytest.mark.parametrize("count", [1, 2, 11])
def test_too_few_and_too_many_files_are_misuse(files, tmp_path, expofuse, count):
    said = expofuse("compare", *files[:1] * count, "-o", tmp_path / "sheet.png")
    assert said.code == 2
    assert f"got {count} files" in said.err


def test_a_file_that_is_no_picture_is_told(files, tmp_path, expofuse):
    files[0].write_bytes(b"%PDF-1.7")
    said = expofuse("compare", *files, "-o", tmp_path / "sheet.png")
    assert (said.code, "a PDF" in said.err) == (1, True)
    assert not (tmp_path / "sheet.png").exists()
