"""Pairs, stacks and peers of an evaluation set, and what is said of folders that hold none."""

import cv2
import numpy as np
import pytest

from model.errors import ExposureError
from model.selection import choose_reference
from tests import images
from tests.model.alignment.test_estimate import MOTIONS, expose, make_pair, make_scene
from trainer.errors import DataError
from trainer.evaluation import list_scenes
from trainer.evaluation.methods.computed import make_methods
from trainer.evaluation.methods.mertens import align_by_mtb
from trainer.evaluation.pictures import write_png
from trainer.evaluation.scenes import Sources, read_exposures
from trainer.mertens import fuse_as_mertens

SHAPE = (40, 60)


def exposure(gain, *, dtype=np.uint8, shape=SHAPE):
    return images.scene(*shape, gain=gain, dtype=dtype)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "scenes"
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
    stack, pair = list_scenes(folder)
    assert (stack.name, len(stack.exposure_paths), stack.problem) == ("a-stack", 4, None)
    assert [path.name for path in pair.exposure_paths] == ["under.png", "over.png"]
    assert set(pair.peer_paths) == {"other", "some"}
    assert stack.peer_paths == {}


def test_of_a_stack_all_exposures_are_taken_dark_to_bright(folder):
    stack = read_exposures(list_scenes(folder)[0])
    assert len(stack) == 4
    for pixels, gain in zip(stack.exposures, (0.2, 0.6, 0.8, 1.0), strict=True):
        np.testing.assert_array_equal(pixels, exposure(gain))
    sources = Sources(list_scenes(folder)[0])
    assert len(sources.greys) == len(sources.pictures) == 4
    assert [grey.mean() for grey in sources.greys] == sorted(grey.mean() for grey in sources.greys)


def test_the_darkest_and_the_brightest_can_be_asked_for(folder):
    ends = read_exposures(list_scenes(folder)[0], choice="ends", max_side_px=30)
    assert (len(ends), ends.height, ends.width) == (2, 20, 30)
    whole = read_exposures(list_scenes(folder)[0], max_side_px=30)
    np.testing.assert_array_equal(ends.darkest, whole.darkest)
    np.testing.assert_array_equal(ends.brightest, whole.brightest)
    assert len(Sources(list_scenes(folder)[0], choice="ends").greys) == 2


def test_a_damaged_exposure_is_named(folder):
    (folder / "a-stack" / "02.png").write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"could not decode 02\.png as a picture"):
        read_exposures(list_scenes(folder)[0])


def test_exposures_named_the_wrong_way_round_are_put_right(tmp_path):
    write_png(tmp_path / "scenes" / "one" / "under.png", exposure(1.0))
    write_png(tmp_path / "scenes" / "one" / "over.png", exposure(0.3))
    exposures = read_exposures(list_scenes(tmp_path / "scenes")[0])
    np.testing.assert_array_equal(exposures.darkest, exposure(0.3))
    assert exposures.is_reordered


def test_16_bits_are_kept_and_reduction_is_by_area(folder):
    for name, gain in (("under", 0.3), ("over", 1.0)):
        write_png(folder / "b-pair" / f"{name}.png", exposure(gain, dtype=np.uint16))
    scene = list_scenes(folder)[1]
    assert read_exposures(scene).darkest.dtype == np.uint16
    reduced = read_exposures(scene, max_side_px=30)
    assert (reduced.height, reduced.width, reduced.brightest.dtype) == (20, 30, np.uint16)
    mean = exposure(1.0, dtype=np.uint16).reshape(20, 2, 30, 2, 3).mean(axis=(1, 3))
    assert np.abs(reduced.brightest - mean).max() <= 0.5


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["under.png"], "1 under, 0 over, 0 numbered"),
        (["under.png", "under.jpg", "over.png"], "2 under, 1 over"),
        (["00.png"], "1 numbered"),
        ([f"{index:02d}.png" for index in range(10)], "10 numbered"),
        ([], "0 under, 0 over, 0 numbered"),
    ],
)
def test_a_folder_without_a_scene_is_listed_with_its_problem(tmp_path, names, found):
    (tmp_path / "scenes" / "odd").mkdir(parents=True)
    for name in names:
        (tmp_path / "scenes" / "odd" / name).write_bytes(b"")
    (scene,) = list_scenes(tmp_path / "scenes")
    assert found in scene.problem
    with pytest.raises(DataError, match="expected one under"):
        read_exposures(scene)


def test_exposures_of_two_sizes_are_refused(folder):
    write_png(folder / "b-pair" / "over.png", exposure(1.0, shape=(40, 61)))
    with pytest.raises(ExposureError, match="equal size"):
        read_exposures(list_scenes(folder)[1])


def test_a_missing_or_empty_folder_is_said(tmp_path):
    with pytest.raises(DataError, match="'absent'"):
        list_scenes(tmp_path / "absent")
    with pytest.raises(DataError, match="sub-folder for each scene"):
        list_scenes(tmp_path)


def test_the_fingerprint_follows_the_files_and_the_reduction(folder):
    scene = list_scenes(folder)[1]
    first = Sources(scene).fingerprint
    assert Sources(scene).fingerprint == first
    assert Sources(scene, max_side_px=20).fingerprint != first
    assert Sources(scene, choice="ends").fingerprint != first
    write_png(scene.exposure_paths[0], exposure(0.31))
    assert Sources(scene).fingerprint != first


@pytest.mark.parametrize(("reference", "dtype"), [(1, np.uint8), (0, np.uint16)])
def test_the_moved_exposures_lie_on_each_other(tmp_path, reference, dtype):
    still = make_pair(np.eye(3), dtype)
    moved = make_pair(MOTIONS["shift"], dtype)  # its under exposure
    for role, pixels in zip(("under", "over"), moved.exposures, strict=True):
        write_png(tmp_path / "scenes" / "desk" / f"{role}.png", pixels)
    sources = Sources(list_scenes(tmp_path / "scenes")[0])
    pair = sources.move(reference)
    assert pair.darkest.dtype == pair.brightest.dtype == dtype
    inner = (slice(30, -30), slice(30, -30))
    if reference == 1:
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
        write_png(tmp_path / "scenes" / "desk" / f"{role}.png", pixels)
    (scene,) = list_scenes(tmp_path / "scenes")
    sources = Sources(scene)
    assert sources.move(1) is sources.exposures
    plain, aligned = make_methods(["mertens", "mertens-aligned"])[0]
    assert (plain.label, aligned.label) == ("mertens", "mertens-aligned")
    assert plain.fingerprint(scene) != aligned.fingerprint(scene)
    np.testing.assert_array_equal(plain.fuse(sources), aligned.fuse(sources))


def test_mertens_gets_the_exposures_as_the_service_moves_them(tmp_path):
    moved = make_pair(MOTIONS["all"])
    for role, pixels in zip(("under", "over"), moved.exposures, strict=True):
        write_png(tmp_path / "scenes" / "desk" / f"{role}.png", pixels)
    sources = Sources(list_scenes(tmp_path / "scenes")[0])
    # The under exposure, the one that moved, shows more of the scene: the other comes to it.
    assert choose_reference(moved, default="over") == 0
    still = [moved.darkest, expose(make_scene(), 0.8, np.uint8, MOTIONS["all"])]
    plain, aligned = (one.fuse(sources) for one in make_methods(["mertens", "mertens-aligned"])[0])
    wanted = fuse_as_mertens(still)
    inner = (slice(30, -30), slice(30, -30))
    far, near = (
        np.abs(one[inner].astype(float) - wanted[inner]).mean() for one in (plain, aligned)
    )
    assert near < far / 3


def shoot(shift_px, gain):
    """An exposure of a scene whose structures are coarse, the camera moved by whole pixels."""
    scene = cv2.resize(make_scene(width=90, height=60), None, fx=4, fy=4)
    moved = np.eye(3)
    moved[:2, 2] = shift_px
    return expose(scene, gain, np.uint8, moved)


def test_mertens_mtb_lays_a_shifted_stack_on_its_middle_exposure(tmp_path):
    gains, shifts = (0.3, 0.8, 1.6), ((9, -5), (0, 0), (-6, 8))
    for index, (gain, shift) in enumerate(zip(gains, shifts, strict=True)):
        write_png(tmp_path / "scenes" / "desk" / f"{index}.png", shoot(shift, gain))
    sources = Sources(list_scenes(tmp_path / "scenes")[0])
    given = [exposure.copy() for exposure in sources.exposures.exposures]
    plain, by_mtb = make_methods(["mertens", "mertens-mtb"])[0]
    assert plain.fingerprint(sources.scene) != by_mtb.fingerprint(sources.scene)
    wanted = fuse_as_mertens([shoot((0, 0), gain) for gain in gains]).astype(float)
    inner = (slice(30, -30), slice(30, -30))
    far, near = (
        np.abs(method.fuse(sources).astype(float) - wanted)[inner].mean()
        for method in (plain, by_mtb)
    )
    assert near < far / 3
    aligned = align_by_mtb(given)
    assert [one.shape for one in aligned] == [one.shape for one in given]
    np.testing.assert_array_equal(aligned[1], given[1])
    assert (aligned[0] == 0).all(axis=2).any()  # the rim that the shifted exposure lacks
    for one, other in zip(given, sources.exposures.exposures, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_mean_is_that_of_all_exposures_halves_up(tmp_path, dtype):
    levels = (0, 1, 4, 5) if dtype == np.uint8 else (0, 257, 65_278, 65_535)
    for index, level in enumerate(levels):
        write_png(tmp_path / "scenes" / "desk" / f"{index}.png", np.full((16, 16, 3), level, dtype))
    (mean,), _ = make_methods(["mean"])
    fused = mean.fuse(Sources(list_scenes(tmp_path / "scenes")[0]))
    assert fused.dtype == dtype
    assert set(fused.ravel().tolist()) == {int(np.floor(np.mean(levels) + 0.5))}


def test_a_method_that_nobody_knows_is_refused():
    with pytest.raises(
        DataError, match="mertens, mertens-aligned, mertens-mtb, mean, enfuse, got 'ours'"
    ):
        make_methods(["ours"])
