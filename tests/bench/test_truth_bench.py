"""The comparison with the scene's radiance: its scores, its views and what it writes."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from bench import truth
from bench.repository import ROOT
from model.errors import ExposureError
from model.exposure import Pixels
from trainer.errors import DataError
from trainer.evaluation import list_scenes
from trainer.evaluation.pictures import read_picture
from trainer.evaluation.scenes import Sources, read_exposures

PANORAMA = "hdri/tiny_1k.hdr"
SIDE_PX = 64


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A panorama of a smooth scene over about ten stops."""
    (tmp_path / "hdri").mkdir()
    noise = np.random.default_rng(5).standard_normal((48, 96, 3))
    smooth = cv2.GaussianBlur(noise, (0, 0), 4)
    radiance = 2 ** (5 * smooth / np.abs(smooth).max())
    cv2.imwrite(str(tmp_path / PANORAMA), radiance.astype(np.float32))
    return tmp_path


@pytest.fixture
def views(data: Path) -> Path:
    folder = data / "views"
    options = [f"--data={data}", f"--side-px={SIDE_PX}", "--views=2"]
    truth.main([PANORAMA, *options, f"--write-views={folder}"])
    return folder


def copy_truth(views: Path, folder: Path, *, gain: float = 1.0) -> None:
    for view in views.iterdir():
        picture = read_picture(view / truth.TRUTH_NAME) * gain
        folder.mkdir(exist_ok=True)
        bgr = cv2.cvtColor(np.rint(picture).astype(np.uint8), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(folder / f"{view.name}.png"), bgr)


def test_ssim_of_one_window_is_the_published_formula() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.uniform(0, 255, (2, 11, 11))
    taps = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(taps, taps) / np.outer(taps, taps).sum()
    mean, target = (window * one).sum(), (window * other).sum()
    variance, target_variance = (
        (window * one**2).sum() - mean**2,
        (window * other**2).sum() - target**2,
    )
    covariance = (window * one * other).sum() - mean * target
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    expected = (2 * mean * target + c1) * (2 * covariance + c2)
    expected /= (mean**2 + target**2 + c1) * (variance + target_variance + c2)
    assert truth.ssim(one, other) == pytest.approx(expected, rel=1e-9)
    assert truth.ssim(one, one) == pytest.approx(1.0)


def test_psnr_is_that_of_the_mean_square_error_and_has_an_end() -> None:
    dark = np.zeros((4, 4))
    assert truth.psnr(dark + 255, dark) == pytest.approx(0.0)
    assert truth.psnr(dark + 2.55, dark) == pytest.approx(40.0)
    assert truth.psnr(dark, dark) == pytest.approx(78.13, abs=0.01)


def test_the_fit_takes_gain_and_offset_away_and_nothing_else() -> None:
    target = np.random.default_rng(2).uniform(60, 180, (12, 12, 3))
    np.testing.assert_allclose(truth.fit_luma(0.5 * target + 20, target), target)
    even = np.full_like(target, 7.0)
    assert truth.to_luma(truth.fit_luma(even, target)).mean() == pytest.approx(
        truth.to_luma(target).mean()
    )
    reddish = target * np.array([1.2, 0.9, 0.9])
    assert np.abs(truth.fit_luma(reddish, target) - target).max() > 5


def test_views_are_scenes_with_a_truth_and_the_same_every_time(data: Path, views: Path) -> None:
    scenes = {scene.name: scene for scene in list_scenes(views)}
    assert sorted(scenes) == sorted(
        f"tiny_1k-{kind}-{number}" for kind in truth.KINDS for number in range(2)
    )
    stack = read_exposures(scenes["tiny_1k-stack-8ev-0"])
    assert len(stack) == 5
    assert stack.order == (0, 1, 2, 3, 4)
    shown = read_picture(views / "tiny_1k-stack-8ev-0" / truth.TRUTH_NAME)
    assert shown.shape == (SIDE_PX, SIDE_PX, 3)
    other = read_picture(views / "tiny_1k-stack-8ev-1" / truth.TRUTH_NAME)
    assert np.abs(shown.astype(int) - other).max() > 8
    again = data / "again"
    truth.write_views(again, [data / PANORAMA], views=1, side_px=SIDE_PX)
    for path in again.rglob("*.png"):
        assert path.read_bytes() == (views / path.relative_to(again)).read_bytes()


def test_result_file_holds_means_of_weights_of_given_pictures_and_of_the_others(
    data: Path, views: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_truth(views, data / "exact")
    copy_truth(views, data / "darker", gain=0.7)
    path, sheets = data / "truth.json", data / "sheets"
    arguments = [
        PANORAMA,
        f"--data={data}",
        f"--weights={ROOT / 'weights' / 'hyperp-mb-1.1.0'}",
        f"--pictures=exact={data / 'exact'}",
        f"--pictures=darker={data / 'darker'}",
        "--views=2",
        f"--side-px={SIDE_PX}",
        f"--sheets={sheets}",
        f"--out={path}",
    ]
    monkeypatch.setattr(sys, "argv", ["truth.py", *arguments])
    truth.main()
    record = json.loads(path.read_text())
    assert list(record["kinds"]) == list(truth.KINDS)
    assert record["panoramas"] == [PANORAMA]
    for methods in record["kinds"].values():
        assert {"hyperp-mb-1.1.0", "exact", "darker", "mertens", "mean"} <= set(methods)
        assert methods["exact"]["views"] == 2
        exact = methods["exact"]["as_it_is"]
        assert exact["luma_ssim"] == {"mean": 1.0, "above_mertens": 2}
        assert exact["luma_psnr_db"]["mean"] == pytest.approx(78.13, abs=0.01)
        assert methods["mertens"]["as_it_is"]["rgb_psnr_db"]["above_mertens"] == 0
        darker, fitted = (
            methods["darker"][way]["luma_psnr_db"]["mean"]
            for way in ("as_it_is", "after_gain_and_offset")
        )
        assert darker < 20
        assert fitted > 45
    written = sorted(sheet.name for sheet in sheets.iterdir())
    assert written == sorted(f"tiny_1k-{kind}.jpg" for kind in truth.KINDS)


def test_a_method_counts_by_the_views_that_it_has_a_picture_of(data: Path, views: Path) -> None:
    copy_truth(views, data / "some")
    (data / "some" / "tiny_1k-pair-4ev-1.png").unlink()
    given = truth.GivenMethod("some", data / "some")
    scenes = [scene for scene in list_scenes(views) if "pair-4ev" in scene.name]
    computed, _ = truth.make_methods(["mertens"])
    found = truth.measure_kind(scenes, [given, *computed], None)
    assert {label: summary["views"] for label, summary in found.items()} == {
        "some": 1,
        "mertens": 2,
    }


def test_a_stack_that_is_refused_is_told_and_not_scored(
    views: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: truth.GivenMethod, sources: Sources) -> Pixels:
        raise ExposureError("expected exposures of one scene")

    monkeypatch.setattr(truth.GivenMethod, "fuse", refuse)
    monkeypatch.setattr(truth.GivenMethod, "applies_to", lambda self, scene: True)
    scenes = [scene for scene in list_scenes(views) if "pair-4ev" in scene.name]
    found = truth.measure_kind(
        scenes, [truth.GivenMethod("gate", views), *truth.make_methods(["mertens"])[0]], None
    )
    refused = {scene.name: "expected exposures of one scene" for scene in scenes}
    assert found["gate"] == {"views": 0, "refused": refused}
    assert found["mertens"]["refused"] == {}


def test_a_picture_of_another_size_is_refused(data: Path, views: Path) -> None:
    folder = data / "small"
    folder.mkdir()
    for view in views.iterdir():
        cv2.imwrite(str(folder / f"{view.name}.png"), np.zeros((32, 32, 3), np.uint8))
    scenes = [scene for scene in list_scenes(views) if "pair-4ev" in scene.name]
    computed, _ = truth.make_methods(["mertens"])
    with pytest.raises(DataError, match="in the size of the view"):
        truth.measure_kind(scenes, [truth.GivenMethod("small", folder), *computed], None)


def test_pictures_without_a_folder_are_refused(data: Path) -> None:
    with pytest.raises(SystemExit):
        truth.main([PANORAMA, f"--data={data}", f"--pictures=gone={data / 'gone'}"])
