"""The front door: what comes in comes out, whatever the kind of the exposures."""

import io
import itertools
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import expofuse
from expofuse import AlignmentError, ExposureError, FuseReport, fuse
from expofuse.errors import MediaTypeError, OptionError
from expofuse.files.headers import PixelLimits
from expofuse.files.reading.decode import decode
from model.errors import WeightsError
from model.manifest import read_manifest
from tests import images
from tests.model.alignment.test_estimate import expose, make_scene
from tests.paths import ROOT

LIMITS = PixelLimits(max_pixels=10**6, max_side_px=4096)
UNDER, OVER = images.scene(gain=0.3), images.scene(gain=1.0)
WEIGHTS = ROOT / "weights"


def pixels_of(data):
    return decode(data, limits=LIMITS).pixels


@pytest.fixture(scope="module")
def fused():
    return fuse(UNDER, OVER)


def test_arrays_give_an_array_that_is_neither_exposure(fused):
    assert (fused.shape, fused.dtype) == (UNDER.shape, np.uint8)
    assert UNDER.mean() < fused.mean() < OVER.mean()


@pytest.mark.parametrize("as_path", [bytes, Path, str])
def test_files_give_the_bytes_of_a_file_in_the_format_of_the_first(fused, tmp_path, as_path):
    data = [images.encoded("png", pixels=UNDER), images.encoded("tiff", pixels=OVER)]
    if as_path is not bytes:
        paths = [tmp_path / name for name in ("under", "over")]
        for path, content in zip(paths, data, strict=True):
            path.write_bytes(content)
        data = [as_path(path) for path in paths]
    picture = fuse(*data)
    assert picture.startswith(b"\x89PNG")
    np.testing.assert_array_equal(pixels_of(picture), fused)


def test_the_format_and_the_quality_of_a_file_are_chosen():
    data = [images.encoded("png", pixels=pixels) for pixels in (UNDER, OVER)]
    small, large = (fuse(*data, format="jpeg", quality=quality) for quality in (20, 95))
    assert small.startswith(b"\xff\xd8")
    assert len(small) < len(large)
    with pytest.raises(OptionError, match="quality from 1 to 100"):
        fuse(*data, format="jpeg", quality=0)
    with pytest.raises(OptionError, match="with files only"):
        fuse(UNDER, OVER, format="png")


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_pillow_images_give_an_image(fused, mode):
    picture = fuse(*(Image.fromarray(pixels).convert(mode) for pixels in (UNDER, OVER)))
    assert isinstance(picture, Image.Image)
    assert picture.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(picture), fused)


def test_pillow_images_are_read_as_their_files_are():
    profile = images.icc_profile(images.DISPLAY_P3_PRIMARIES)
    files = [images.with_icc(profile, pixels=pixels) for pixels in (UNDER, OVER)]
    of_images = fuse(*(Image.open(io.BytesIO(file)) for file in files))
    np.testing.assert_array_equal(np.asarray(of_images), pixels_of(fuse(*files, format="png")))
    turned = fuse(*[Image.open(io.BytesIO(images.with_orientation(6)))] * 2)
    assert np.asarray(turned).shape == pixels_of(images.with_orientation(6)).shape


def test_grey_images_of_pillow_of_16_bits_give_a_picture_of_8():
    grey = Image.fromarray(images.scene(dtype=np.uint16)[..., 0])
    assert grey.mode == "I;16"
    assert np.asarray(fuse(grey, grey)).dtype == np.uint8


def test_16_bits_are_kept_and_win_over_8():
    wide = UNDER.astype(np.uint16) * 257
    assert fuse(wide, OVER).dtype == np.uint16
    picture = fuse(images.png16(wide), images.encoded("jpeg", pixels=OVER))
    assert pixels_of(picture).dtype == np.uint16


def test_the_report_tells_of_the_alignment_the_weights_and_the_order(fused):
    picture, report = fuse(OVER, UNDER, align="off", return_report=True)
    share = report.replaced_share
    assert report == FuseReport(
        alignment=None,
        weights="pyramid-blend-2.1.0",
        order=(1, 0),
        used=(1, 0),
        fused=(1, 0),
        reference=0,
        replaced_share=share,
        frame=(0, 0, 64, 48),
    )
    assert 0 <= report.replaced_share < 1
    assert report.is_swapped
    np.testing.assert_array_equal(picture, fuse(UNDER, OVER, align="off"))
    _, report = fuse(UNDER, OVER, return_report=True)
    assert report.alignment.reports[0].model == "identity"
    assert report.describe_order() == "as-given"
    assert not report.is_swapped


def test_a_list_of_exposures_is_the_same_as_two_of_them(fused):
    np.testing.assert_array_equal(fuse([UNDER, OVER]), fused)


BRACKET = [images.scene(gain=gain) for gain in (1.0, 0.25, 0.5)]


@pytest.fixture(scope="module")
def fused_bracket():
    return fuse(BRACKET, align="off")


def test_a_bracket_is_fused_in_whatever_order_it_is_given(fused_bracket):
    assert (fused_bracket.shape, fused_bracket.dtype) == (BRACKET[0].shape, np.uint8)
    assert BRACKET[1].mean() < fused_bracket.mean() < BRACKET[0].mean()
    for order in itertools.permutations(BRACKET):
        np.testing.assert_array_equal(fuse(order, align="off"), fused_bracket)
    assert (fused_bracket != fuse(BRACKET[1], BRACKET[0], align="off")).any()


@pytest.mark.parametrize("as_path", [bytes, Path, str])
def test_a_bracket_of_files_gives_a_file_in_the_format_of_the_first(
    fused_bracket, tmp_path, as_path
):
    data = [
        images.encoded(form, pixels=pixels)
        for form, pixels in zip(("png", "tiff", "png"), BRACKET, strict=True)
    ]
    if as_path is not bytes:
        paths = [tmp_path / str(number) for number in range(3)]
        for path, content in zip(paths, data, strict=True):
            path.write_bytes(content)
        data = [as_path(path) for path in paths]
    picture = fuse(data, align="off")
    assert picture.startswith(b"\x89PNG")
    np.testing.assert_array_equal(pixels_of(picture), fused_bracket)


def test_a_bracket_of_pillow_images_gives_an_image(fused_bracket):
    picture = fuse([Image.fromarray(pixels) for pixels in BRACKET], align="off")
    assert isinstance(picture, Image.Image)
    np.testing.assert_array_equal(np.asarray(picture), fused_bracket)


def test_the_report_of_a_bracket_tells_of_its_exposures_as_they_were_given():
    _, report = fuse(BRACKET, reference=1, return_report=True)
    assert report.order == (1, 2, 0)
    assert report.reference == 0
    assert report.describe_order() == "2,3,1"
    assert report.alignment.reference == 2
    assert report.alignment.reports[2] is None
    assert "2=" in report.describe_alignment()
    assert "1=" not in report.describe_alignment()
    with pytest.raises(ExposureError, match="reference from 1 to 3, got 4"):
        fuse(BRACKET, reference=4)


SCENE = make_scene(8, 240, 180)
SIZES = [expose(SCENE, 0.9)[2:], expose(SCENE, 0.1), expose(SCENE, 0.3)[:, 3:]]


@pytest.mark.parametrize("reference", [1, 2, 3])
def test_exposures_of_several_sizes_take_that_of_the_reference(reference):
    picture, report = fuse(SIZES, reference=reference, return_report=True)
    assert picture.shape == SIZES[reference - 1].shape
    assert (report.order, report.reference) == ((1, 2, 0), reference - 1)
    own_sizes = [one and one.own_size for one in report.alignment.reports]
    sizes = [(240, 180), (237, 180), (240, 178)]
    sizes[report.order.index(report.reference)] = None
    assert own_sizes == sizes
    left, top, width, height = report.frame
    assert width in (236, 237)
    assert height in (177, 178)
    cut = fuse(SIZES, reference=reference, crop="common")
    np.testing.assert_array_equal(cut, picture[top : top + height, left : left + width])


def test_weights_for_pairs_say_which_exposures_they_fused():
    options = {"align": "off", "ghosts": "off", "return_report": True}
    pictures = [expose(SCENE, gain) for gain in (0.1, 0.3, 0.9)]
    three, report = fuse(pictures, weights="hyperp-mb-1.1.0", **options)
    assert (report.used, report.fused) == ((0, 1, 2), (0, 2))
    pair, report = fuse(pictures[::2], weights="hyperp-mb-1.1.0", **options)
    assert report.fused == (0, 1)
    np.testing.assert_array_equal(three, pair)
    _, report = fuse(pictures, **options)
    assert report.fused == report.used


@pytest.mark.parametrize("count", [1, 10])
def test_another_number_of_exposures_than_two_to_nine_is_refused(count):
    with pytest.raises(ExposureError, match=f"expected 2 to 9 exposures, got {count}"):
        fuse([UNDER] * count)


def test_exposures_that_do_not_belong_together_are_refused():
    with pytest.raises(ExposureError, match="equal size, got 64x48 and 64x47 pixels; alignment"):
        fuse(UNDER, OVER[:-1], align="off")
    with pytest.raises(ExposureError, match="exposure 1 of 64x48 pixels in which nothing matches"):
        fuse(UNDER, OVER[:-1])
    with pytest.raises(ExposureError, match="uint8 or uint16"):
        fuse(UNDER.astype(np.float32), OVER)
    with pytest.raises(TypeError, match=r"of one kind.*got Image, ndarray"):
        fuse(UNDER, Image.fromarray(OVER))
    with pytest.raises(TypeError, match="got int"):
        fuse(1, 2)
    with pytest.raises(MediaTypeError):
        fuse(b"text", b"text")
    with pytest.raises(FileNotFoundError):
        fuse("nowhere/under.jpg", "nowhere/over.jpg")


def test_an_alignment_that_is_required_and_not_trusted_is_an_error():
    black = np.zeros((32, 32, 3), np.uint8)
    with pytest.raises(AlignmentError, match="few_matches"):
        fuse(black, black, align="require")
    with pytest.raises(OptionError, match="expected align as one of auto, off, require"):
        fuse(black, black, align="maybe")
    with pytest.raises(OptionError, match="expected crop as one of none, common"):
        fuse(black, black, crop="some")


def test_weights_are_a_bundled_version_or_a_directory(fused):
    version = "hyperp-mb-1.1.0"
    other, report = fuse(UNDER, OVER, weights=version, return_report=True)
    assert report.weights == version
    assert not np.array_equal(other, fused)
    for path in (WEIGHTS / version, f"{WEIGHTS}/{version}"):
        np.testing.assert_array_equal(fuse(UNDER, OVER, weights=path), other)
    with pytest.raises(WeightsError, match=r"or one of .*pyramid-blend-2\.1\.0.*, got 'net-1'"):
        fuse(UNDER, OVER, weights="net-1")


def test_the_reference_is_that_of_the_weights():
    black = np.zeros((32, 32, 3), np.uint8)
    _, report = fuse(black, black, return_report=True)
    assert ("under", "over")[report.alignment.reference] == (
        read_manifest(WEIGHTS / report.weights).reference
    )


def test_threads_that_fuse_at_once_share_the_weights_and_get_the_same_picture(fused, monkeypatch):
    from expofuse import open_weights

    opened = []
    load = open_weights.load_weights
    monkeypatch.setattr(
        open_weights, "load_weights", lambda directory: opened.append(directory) or load(directory)
    )
    open_weights._open.cache_clear()
    barrier = threading.Barrier(3)

    def run(_):
        barrier.wait()
        return fuse(UNDER, OVER)

    with ThreadPoolExecutor(3) as pool:
        for picture in pool.map(run, range(3)):
            np.testing.assert_array_equal(picture, fused)
    assert len(opened) == 1


@pytest.mark.parametrize("statement", ["import expofuse", "from expofuse import fuse, FuseReport"])
def test_the_import_loads_nothing_heavy(statement):
    code = (
        f"import sys; {statement};"
        "heavy = {'numpy', 'torch', 'cv2', 'pyvips', 'onnxruntime', 'PIL', 'pydantic'};"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_the_console_fuses_without_what_only_the_service_needs():
    code = (
        "import sys, service.console.cli;"
        "heavy = {'torch', 'cv2', 'pyvips', 'fastapi', 'starlette', 'pydantic_settings'};"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_every_public_name_is_there_and_documented():
    assert sorted(expofuse.__all__) == sorted(expofuse._HOME)
    for name in expofuse.__all__:
        assert getattr(expofuse, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'none'"):
        expofuse.none  # noqa: B018
