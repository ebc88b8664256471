"""Pairs, stacks and peers of an evaluation set, and what is said of folders that hold none."""

import numpy as np
import pytest

from model.errors import ExposureError
from tests import images
from tests.model.alignment.test_estimate import MOTIONS, expose, make_pair, make_scene
from trainer.errors import DataError
from trainer.evaluation import list_pairs
from trainer.evaluation.methods.others import make_methods
from trainer.evaluation.pairs import Sources, read_exposures
from trainer.evaluation.pictures import write_png
from trainer.mertens import fuse_as_mertens

SHAPE = (40, 60)


def exposure(gain, *, dtype=np.uint8, shape=SHAPE):
    return images.scene(*shape, gain=gain, dtype=dtype)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "pairs"
    for name, gain in (("under", 0.3), ("over", 1.0)):
        write_png(root / "b-pair" / f"{name}.png", exposure(gain))
    for name in ("other", "some"):
        write_png(root / "b-pair" / "peers" / f"{name}.png", exposure(0.6))
    for index, gain in enumerate((0.6, 1.0, 0.2, 0.8)):
        write_png(root / "a-stack" / f"{index:02d}.png", exposure(gain))
    (root / "b-pair" / "notes.txt").write_text("not a picture")
    (root / ".hidden").mkdir()
    (root / "readme.md").write_text("not a folder")
    return root


def test_pairs_and_stacks_are_listed_by_name_with_their_peers(folder):
    stack, pair = list_pairs(folder)
    assert (stack.name, len(stack.exposure_paths), stack.problem) == ("a-stack", 4, None)
    assert [path.name for path in pair.exposure_paths] == ["under.png", "over.png"]
    assert set(pair.peer_paths) == {"other", "some"}
    assert stack.peer_paths == {}


def test_of_a_stack_the_darkest_and_the_brightest_are_taken(folder):
    exposures = read_exposures(list_pairs(folder)[0])
    np.testing.assert_array_equal(exposures.darkest, exposure(0.2))
    np.testing.assert_array_equal(exposures.brightest, exposure(1.0))


def test_a_stack_is_ordered_by_lightness_and_not_by_the_mean_of_its_samples(tmp_path):
    # Blue 255 has a lower mean than grey 90 only in lightness: L* 32 against 38.
    flat = np.zeros((*SHAPE, 3), np.uint8)
    blue, grey, white = flat + np.array([0, 60, 255], np.uint8), flat + np.uint8(104), flat + 250
    for index, pixels in enumerate((grey, white, blue)):
        write_png(tmp_path / "pairs" / "stack" / f"{index}.png", pixels)
    assert blue.mean() > grey.mean()
    exposures = read_exposures(list_pairs(tmp_path / "pairs")[0])
    assert (exposures.darkest[0, 0] == blue[0, 0]).all()


def test_exposures_named_the_wrong_way_round_are_put_right(tmp_path):
    write_png(tmp_path / "pairs" / "one" / "under.png", exposure(1.0))
    write_png(tmp_path / "pairs" / "one" / "over.png", exposure(0.3))
    exposures = read_exposures(list_pairs(tmp_path / "pairs")[0])
    np.testing.assert_array_equal(exposures.darkest, exposure(0.3))
    assert exposures.is_reordered


def test_16_bits_are_kept_and_reduction_is_by_area(folder):
    for name, gain in (("under", 0.3), ("over", 1.0)):
        write_png(folder / "b-pair" / f"{name}.png", exposure(gain, dtype=np.uint16))
    pair = list_pairs(folder)[1]
    assert read_exposures(pair).darkest.dtype == np.uint16
    reduced = read_exposures(pair, max_side_px=30)
    assert (reduced.height, reduced.width, reduced.brightest.dtype) == (20, 30, np.uint16)
    mean = exposure(1.0, dtype=np.uint16).reshape(20, 2, 30, 2, 3).mean(axis=(1, 3))
    assert np.abs(reduced.brightest - mean).max() <= 0.5


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["under.png"], "1 under, 0 over, 0 numbered"),
        (["under.png", "under.jpg", "over.png"], "2 under, 1 over"),
        (["00.png"], "1 numbered"),
        ([], "0 under, 0 over, 0 numbered"),
    ],
)
def test_a_folder_without_a_pair_is_listed_with_its_problem(tmp_path, names, found):
    (tmp_path / "pairs" / "odd").mkdir(parents=True)
    for name in names:
        (tmp_path / "pairs" / "odd" / name).write_bytes(b"")
    (pair,) = list_pairs(tmp_path / "pairs")
    assert found in pair.problem
    with pytest.raises(DataError, match="expected one under"):
        read_exposures(pair)


def test_exposures_of_two_sizes_are_refused(folder):
    write_png(folder / "b-pair" / "over.png", exposure(1.0, shape=(40, 61)))
    with pytest.raises(ExposureError, match="equal size"):
        read_exposures(list_pairs(folder)[1])


def test_a_missing_or_empty_folder_is_said(tmp_path):
    with pytest.raises(DataError, match="'absent'"):
        list_pairs(tmp_path / "absent")
    with pytest.raises(DataError, match="sub-folder for each pair"):
        list_pairs(tmp_path)


def test_the_fingerprint_follows_the_files_and_the_reduction(folder):
    pair = list_pairs(folder)[1]
    first = Sources(pair).fingerprint
    assert Sources(pair).fingerprint == first
    assert Sources(pair, max_side_px=20).fingerprint != first
    write_png(pair.exposure_paths[0], exposure(0.31))
    assert Sources(pair).fingerprint != first


@pytest.mark.parametrize(("reference", "dtype"), [("over", np.uint8), ("under", np.uint16)])
def test_the_moved_exposures_lie_on_each_other(tmp_path, reference, dtype):
    still = make_pair(np.eye(3), dtype)
    moved = make_pair(MOTIONS["shift"], dtype)  # its under exposure
    for role, pixels in zip(("under", "over"), moved.exposures, strict=True):
        write_png(tmp_path / "pairs" / "desk" / f"{role}.png", pixels)
    sources = Sources(list_pairs(tmp_path / "pairs")[0])
    pair = sources.move(reference)
    assert pair.darkest.dtype == pair.brightest.dtype == dtype
    inner = (slice(30, -30), slice(30, -30))
    if reference == "over":
        np.testing.assert_array_equal(pair.brightest, moved.brightest)
        given, got, wanted = moved.darkest, pair.darkest, still.darkest
    else:
        np.testing.assert_array_equal(pair.darkest, moved.darkest)
        given, got = moved.brightest, pair.brightest
        wanted = expose(make_scene(), 0.8, dtype, MOTIONS["shift"])
    full = np.iinfo(dtype).max
    before, after = (
        np.abs(one[inner].astype(float) - wanted[inner]).mean() / full for one in (given, got)
    )
    assert after < 0.01 < 0.03 < before


def test_exposures_at_rest_are_not_moved(tmp_path):
    still = make_pair(np.eye(3))
    for role, pixels in zip(("under", "over"), still.exposures, strict=True):
        write_png(tmp_path / "pairs" / "desk" / f"{role}.png", pixels)
    (pair,) = list_pairs(tmp_path / "pairs")
    sources = Sources(pair)
    assert sources.move("over") is sources.exposures
    plain, aligned = make_methods(["mertens", "mertens-aligned"])[0]
    assert (plain.label, aligned.label) == ("mertens", "mertens-aligned")
    assert plain.fingerprint(pair) != aligned.fingerprint(pair)
    np.testing.assert_array_equal(plain.fuse(sources), aligned.fuse(sources))


def test_mertens_gets_the_exposures_as_the_service_moves_them(tmp_path):
    still, moved = make_pair(np.eye(3)), make_pair(MOTIONS["all"])
    for role, pixels in zip(("under", "over"), moved.exposures, strict=True):
        write_png(tmp_path / "pairs" / "desk" / f"{role}.png", pixels)
    sources = Sources(list_pairs(tmp_path / "pairs")[0])
    plain, aligned = (one.fuse(sources) for one in make_methods(["mertens", "mertens-aligned"])[0])
    wanted = fuse_as_mertens(still.exposures)
    inner = (slice(30, -30), slice(30, -30))
    far, near = (
        np.abs(one[inner].astype(float) - wanted[inner]).mean() for one in (plain, aligned)
    )
    assert near < far / 3


def test_a_method_that_nobody_knows_is_refused():
    with pytest.raises(DataError, match="mertens, mertens-aligned, mean, enfuse, got 'ours'"):
        make_methods(["ours"])
