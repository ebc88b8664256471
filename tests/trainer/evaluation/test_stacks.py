"""Stacks of more than two exposures through the command: pictures, columns, sheets, failures."""

import json
import re

import cv2
import numpy as np
import pytest

from model import create_pipeline, load_weights, read_manifest
from model.exposure import ExposureStack
from model.fuse import fuse_stack
from tests import images
from tests.paths import ROOT
from trainer.__main__ import main
from trainer.evaluation import read_summary
from trainer.evaluation.blind.comparison import LARGE_SIDE_PX, draw_sheet, write_comparison
from trainer.evaluation.methods.enfuse import find_enfuse
from trainer.evaluation.pictures import read_picture, write_png
from trainer.evaluation.report.sheets import WIDTH_PX
from trainer.mertens import fuse_as_mertens
from trainer.metrics import MEASURES, rgb_to_grey

SHAPE = (180, 220)
GAINS = (0.9, 0.3, 1.6)
NAME = "pyramid-blend-2.1.0"
WEIGHTS = ROOT / "weights" / NAME


def shoot(gain, *, moved_px=0):
    """An exposure of textured waves, in which a bright square may move."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    texture = np.random.default_rng(4).normal(0, 6, (*SHAPE, 3))
    scene = 90 + 60 * np.sin(x / 17 + y / 29)[..., None] * (1, 0.8, 0.6) + texture
    scene[60:110, 40 + moved_px : 90 + moved_px] += 70
    return np.rint(np.clip(scene * gain, 0, 255)).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    """A stack of three, as a camera wrote it: in no order."""
    for index, gain in enumerate(GAINS):
        write_png(tmp_path / "scenes" / "desk" / f"{index:02d}.png", shoot(gain))
    return tmp_path / "scenes"


def run(folder, out, *options):
    return main(["evaluate", str(folder), f"--out={out}", "--workers=1", "--no-report", *options])


def dark_to_bright():
    return [shoot(gain) for gain in sorted(GAINS)]


def test_a_stack_is_fused_and_compared_with_as_a_whole(folder, tmp_path):
    out = tmp_path / "out"
    options = ["--weights", str(WEIGHTS), "--methods=mertens,mean", "--metrics=MEF-SSIM,Qabf"]
    assert run(folder, out, *options) == 0
    summary = read_summary(out)
    assert (summary.exposures, summary.exposure_counts) == ("all", {"desk": 3})
    fused = {name: read_picture(out / "fused" / name / "desk.png") for name in summary.methods}
    stack = ExposureStack.from_images([shoot(gain) for gain in GAINS])
    pipeline = create_pipeline(load_weights(WEIGHTS), device="cpu")
    expected = fuse_stack(stack, pipeline, default=read_manifest(WEIGHTS).reference).picture
    np.testing.assert_array_equal(fused[NAME], expected)
    # OpenCV's threads add the exposures up in any order, which may move the last level.
    of_opencv = fuse_as_mertens(dark_to_bright()).astype(int)
    assert np.abs(fused["mertens"] - of_opencv).max() <= 1
    greys = [rgb_to_grey(one) for one in dark_to_bright()]
    for name, picture in fused.items():
        for metric in ("MEF-SSIM", "Qabf"):
            value = MEASURES[metric].compute(greys, rgb_to_grey(picture))
            assert summary.means[name][metric] == pytest.approx(value, rel=1e-12)
        hue = MEASURES["hue"].compute(dark_to_bright(), picture)
        assert summary.guards[name]["hue"] == pytest.approx(hue, rel=1e-9)


def test_the_darkest_and_the_brightest_alone_are_another_evaluation(folder, tmp_path):
    out = tmp_path / "out"
    options = ["--methods=mean", "--metrics=Qabf"]
    assert run(folder, out, *options) == 0
    whole = read_summary(out)
    assert run(folder, out, *options, "--exposures=ends") == 0
    ends = read_summary(out)
    assert (ends.exposures, ends.exposure_counts) == ("ends", {"desk": 2})
    assert ends.means["mean"]["Qabf"] != whole.means["mean"]["Qabf"]
    darkest, _, brightest = dark_to_bright()
    mean = (darkest.astype(int) + brightest + 1) // 2
    np.testing.assert_array_equal(read_picture(out / "fused" / "mean" / "desk.png"), mean)
    assert run(folder, out, *options) == 0
    assert read_summary(out).means == whole.means


def test_ghosts_left_and_taken_out_are_columns_side_by_side(tmp_path):
    for index, gain in enumerate((0.4, 0.9, 1.6)):
        picture = shoot(gain, moved_px=60 * index)
        write_png(tmp_path / "scenes" / "desk" / f"{index}.png", picture)
    out = tmp_path / "out"
    options = ["--weights", str(WEIGHTS), "--metrics=AG", "--ghosts", "off", "auto", "--align=off"]
    assert run(tmp_path / "scenes", out, *options) == 0
    summary = read_summary(out)
    labels = [f"{NAME}-ghosts-off", f"{NAME}-ghosts-auto"]
    assert list(summary.methods) == labels
    assert summary.ours == labels[0]
    assert [summary.methods[label].ghosts for label in labels] == ["off", "auto"]
    off, auto = (read_picture(out / "fused" / label / "desk.png").astype(int) for label in labels)
    assert np.abs(off - auto).max() > 20


def test_weights_for_pairs_say_that_they_fuse_two_of_a_stack(folder, tmp_path):
    weights = ROOT / "weights" / "hyperp-mb-1.1.0"
    options = ["--workers=1", "--weights", str(weights), "--metrics=AG"]
    assert main(["evaluate", str(folder), f"--out={tmp_path / 'out'}", *options]) == 0
    assert read_summary(tmp_path / "out").methods[weights.name].exposures == (2, 2)
    said = " ".join((tmp_path / "out" / "report.html").read_text().split())
    assert "they fuse pairs, of more exposures the darkest and the brightest." in said
    ends = tmp_path / "ends"
    options = ["--weights", str(weights), "--metrics=AG", "--exposures=ends"]
    assert run(folder, ends, *options) == 0
    whole, of_ends = (
        read_picture(out / "fused" / weights.name / "desk.png") for out in (tmp_path / "out", ends)
    )
    assert np.abs(whole.astype(int) - of_ends).mean() < 2  # another reference, the same two


def test_one_damaged_file_of_five_is_named_and_costs_its_scene_alone(folder, tmp_path, capsys):
    for index in range(5):
        write_png(folder / "broken" / f"{index:02d}.png", shoot(0.3 + 0.3 * index))
    whole = (folder / "broken" / "03.png").read_bytes()
    (folder / "broken" / "03.png").write_bytes(whole[: len(whole) // 2])
    assert run(folder, tmp_path / "out", "--methods=mean", "--metrics=AG") == 0
    summary = read_summary(tmp_path / "out")
    assert summary.scenes == ("desk",)
    (failure,) = summary.failures
    assert (failure.scene, failure.method, failure.code) == ("broken", None, "data-invalid")
    assert "could not decode 03.png as a picture" in failure.message
    assert "broken: data-invalid: could not decode 03.png" in capsys.readouterr().err


@pytest.mark.skipif(find_enfuse() is None, reason="enfuse is not installed")
def test_enfuse_takes_every_exposure(folder, tmp_path):
    assert run(folder, tmp_path / "out", "--methods=enfuse", "--metrics=AG") == 0
    assert (
        run(folder, tmp_path / "ends", "--methods=enfuse", "--metrics=AG", "--exposures=ends") == 0
    )
    whole, ends = (
        read_picture(tmp_path / out / "fused" / "enfuse" / "desk.png") for out in ("out", "ends")
    )
    assert np.abs(whole.astype(int) - ends).mean() > 2


@pytest.fixture
def nine(tmp_path):
    """A finished evaluation, with its report, of a stack of nine and of a pair."""
    for index in range(9):
        picture = images.scene(120, 200, gain=0.2 + 0.15 * index)
        write_png(tmp_path / "scenes" / "hall" / f"{index:02d}.png", picture)
    for role, gain in (("under", 0.4), ("over", 1.2)):
        write_png(tmp_path / "scenes" / "door" / f"{role}.png", images.scene(120, 200, gain=gain))
    options = ["--methods=mean,mertens", "--metrics=AG", "--workers=1"]
    assert main(["evaluate", str(tmp_path / "scenes"), f"--out={tmp_path / 'out'}", *options]) == 0
    return tmp_path / "out"


def test_nine_exposures_stand_in_one_row_of_a_sheet_above_the_methods(nine):
    heights, widths = zip(
        *(cv2.imread(str(nine / "sheets" / f"{name}.jpg")).shape[:2] for name in ("hall", "door")),
        strict=True,
    )
    assert max(widths) <= WIDTH_PX
    assert widths[0] > 4 * widths[1] > 0
    assert heights[0] == heights[1]  # pictures of this size are not reduced
    text = (nine / "report.html").read_text()
    door, hall = json.loads(re.search(r"const SHEETS = (.*);\n", text)[1])
    names = [f"exposure-{number}" for number in range(1, 10)]
    assert [cell["label"] for cell in hall["cells"] if cell["isExposure"]] == names
    assert [cell["label"] for cell in door["cells"] if cell["isExposure"]] == ["under", "over"]
    for cell in hall["cells"]:
        assert (nine / cell["full"]).is_file()
        assert (nine / cell["thumbnail"]).is_file()
    assert "2 scenes of 2 to 9 exposures," in " ".join(text.split())


def test_a_method_cannot_be_called_as_an_exposure_is(folder, tmp_path, capsys):
    (folder / "desk" / "peers").mkdir()
    write_png(folder / "desk" / "peers" / "exposure-3.png", shoot(1.0))
    assert run(folder, tmp_path / "out", "--peers", "--metrics=AG") == 2
    assert "expected labels that can name a folder of pictures" in capsys.readouterr().err


def test_the_blind_comparison_shows_every_exposure_small(nine, tmp_path):
    key = write_comparison(nine, tmp_path / "blind", ["mean", "mertens"], seed=1)
    assert set(key.letters) == {"door", "hall"}
    picture = read_picture(nine / "fused" / "mean" / "hall.png")
    exposures = {f"exposure-{number}": picture for number in range(1, 10)}
    sheet = draw_sheet(exposures, {"P": picture, "Q": 255 - picture})
    written = read_picture(tmp_path / "blind" / "sheets" / "hall.png")
    assert written.shape == sheet.shape
    assert sheet.shape[1] <= 2 * LARGE_SIDE_PX
