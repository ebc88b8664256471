"""The evaluation judges the service's own pictures: the same pair gives the same pixels."""

from pathlib import Path

import httpx
import numpy as np
import pytest

from tests import images
from tests.paths import ROOT
from trainer.evaluation import WeightsMethod, evaluate
from trainer.evaluation.pictures import read_picture

pytestmark = pytest.mark.e2e

SHAPE = (300, 420)
SHIFT_PX = 9


def textured(gain: float, *, shift_px: int = 0) -> np.ndarray:
    """A scene with detail that can be aligned; windows of every kind at this size."""
    rng = np.random.default_rng(11)
    height, width = SHAPE
    blocks = np.repeat(np.repeat(rng.random((50, 70, 3)), 7, axis=0), 7, axis=1)
    scene = 0.25 * images.scene(height, width + 40) / 255 + 0.7 * blocks[:height, : width + 40]
    moved = scene[:, 20 + shift_px : 20 + shift_px + width]
    return np.round(np.clip(moved * gain, 0, 1) * 255).astype(np.uint8)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    folder = tmp_path / "pairs"
    files = {
        "moved": (
            images.encoded("jpeg", pixels=textured(0.35, shift_px=SHIFT_PX), quality=95),
            images.encoded("jpeg", pixels=textured(1.2), quality=95),
        ),
        "deep": (
            images.png16(textured(0.35).astype(np.uint16) * 257),
            images.tiff16(textured(1.2).astype(np.uint16) * 250),
        ),
    }
    for name, exposures in files.items():
        (folder / name).mkdir(parents=True)
        for role, data in zip(("under", "over"), exposures, strict=True):
            suffix = "jpg" if data[:2] == b"\xff\xd8" else "png" if data[:1] == b"\x89" else "tif"
            (folder / name / f"{role}.{suffix}").write_bytes(data)
    return folder


def test_a_picture_of_the_evaluation_is_what_the_service_answers(
    client: httpx.Client, weights: str, pairs: Path, tmp_path: Path
):
    ours = WeightsMethod(ROOT / "weights" / weights)
    out = tmp_path / "out"
    summary = evaluate(pairs, out, weights=[ours], metrics=["AG"], workers=1, report=False)
    assert summary.scenes == ("deep", "moved")
    for name in summary.scenes:
        files = {path.stem: path.read_bytes() for path in (pairs / name).iterdir()}
        response = client.post("/fuse?format=png", files=files)
        assert response.status_code == 200, response.text
        answer = tmp_path / f"{name}.png"
        answer.write_bytes(response.content)
        alignment = response.headers["x-expofuse-alignment"]
        assert alignment.startswith("homography" if name == "moved" else "identity")
        fused = read_picture(out / "fused" / weights / f"{name}.png")
        served = read_picture(answer)
        assert served.dtype == fused.dtype
        # The processes share out elementwise work by their number of threads, which may move the
        # last bit of a float: never seen at 8 bits, one value in 400,000 at 16.
        tolerance = 0 if fused.dtype == np.uint8 else 1
        np.testing.assert_allclose(fused.astype(int), served.astype(int), rtol=0, atol=tolerance)
        assert np.count_nonzero(fused != served) <= 1e-4 * fused.size
    assert fused.dtype == np.uint8
    assert read_picture(out / "fused" / weights / "deep.png").dtype == np.uint16
