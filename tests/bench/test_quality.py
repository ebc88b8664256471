"""The quality measurement on pairs made here: what it reads, scores, averages and writes."""

import json
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

from bench.evaluation_set import EvaluationPair, fit_to, fuse_by_mean, fuse_by_mertens, list_pairs
from bench.quality import OURS, average_scores, judge_targets, main, post_pair, score_pair
from trainer.metrics import METRICS

SIDE = 176


def make_exposure(gain: float, phase: float) -> np.ndarray:
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float64)
    scene = 90 + 60 * np.sin(x / 5 + phase) * np.cos(y / 7) + x / 4
    planes = [np.clip(scene * gain * tint, 0, 255) for tint in (0.9, 1.0, 1.1)]
    return np.rint(np.stack(planes, axis=-1)).astype(np.uint8)


def write_rgb(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two pairs; the peers are the mean, one of them at twice the size."""
    folder = tmp_path / "data"
    for name, phase in (("first", 0.0), ("second", 1.0)):
        under, over = make_exposure(0.4, phase), make_exposure(2.0, phase)
        mean = fuse_by_mean(under, over)
        write_rgb(folder / name / "under.png", under)
        write_rgb(folder / name / "over.png", over)
        for peer in ("densefuse", "deepfuse", "hyperp_mb"):
            write_rgb(folder / name / "peers" / f"{peer}.png", mean)
        twice = cv2.resize(mean, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
        write_rgb(folder / name / "peers" / "large.png", twice)
    return folder


def test_pairs_are_listed_with_their_peers(data: Path) -> None:
    pairs = list_pairs(data)
    assert [pair.name for pair in pairs] == ["first", "second"]
    assert set(pairs[0].peer_paths) == {"densefuse", "deepfuse", "hyperp_mb", "large"}


def test_missing_data_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="evaluation pairs"):
        list_pairs(tmp_path / "absent")


def test_equal_pictures_score_equally_also_from_twice_the_size(data: Path) -> None:
    scores = score_pair(list_pairs(data)[0], None)
    assert scores["large"] == scores["densefuse"] == scores["mean"]
    assert OURS not in scores


def test_a_picture_of_another_size_is_refused_as_ours(data: Path) -> None:
    with pytest.raises(ValueError, match="expected a picture"):
        score_pair(list_pairs(data)[0], np.zeros((SIDE, SIDE + 1, 3), np.uint8))


def test_fit_to_leaves_equal_sizes_alone() -> None:
    picture = make_exposure(1.0, 0.0)
    assert fit_to(picture, picture) is picture


def test_simple_methods_keep_a_pair_of_equal_exposures() -> None:
    picture = make_exposure(0.8, 0.0)
    np.testing.assert_array_equal(fuse_by_mean(picture, picture), picture)
    difference = fuse_by_mertens(picture, picture).astype(int) - picture
    assert np.abs(difference).max() <= 1


def test_means_are_over_pairs() -> None:
    first = {"mean": dict.fromkeys(METRICS, 1.0)}
    second = {"mean": dict.fromkeys(METRICS, 2.0)}
    assert average_scores({"a": first, "b": second}) == {"mean": dict.fromkeys(METRICS, 1.5)}


def test_targets_tell_what_is_met_and_what_not() -> None:
    level = dict.fromkeys(METRICS, 1.0)
    peers = dict.fromkeys(("mean", "densefuse", "deepfuse", "hyperp_mb"), level)
    better = judge_targets({OURS: level | {"MEF-SSIM": 1.1, "AG": 0.91}, **peers})
    assert len(better) == 6
    assert all(better.values())
    worse = judge_targets({OURS: level | {"MEF-SSIM": 1.1, "AG": 0.89}, **peers})
    assert [name for name, is_met in worse.items() if not is_met] == [
        "AG at least 0.9 of hyperp_mb"
    ]


def test_result_file_holds_means_pairs_and_targets(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fused, result, kept = tmp_path / "fused", tmp_path / "out" / "quality.json", tmp_path / "kept"
    for pair in list_pairs(data):
        write_rgb(fused / f"{pair.name}.png", make_exposure(0.9, 0.0))
    main([f"--fused={fused}", f"--data={data}", f"--out={result}", f"--save={kept}"])
    record = json.loads(result.read_text())
    assert list(record["pairs"]) == ["first", "second"]
    assert list(record["means"]["mean"]) == list(METRICS)
    ours = [record["pairs"][name][OURS]["AG"] for name in record["pairs"]]
    assert record["means"][OURS]["AG"] == pytest.approx(sum(ours) / 2, rel=1e-12)
    assert record["command"] == "python -m bench.quality --fused DIR --data DIR"
    assert str(tmp_path) not in result.read_text()
    assert f"| {OURS} |" in capsys.readouterr().out
    assert (kept / "first.png").exists()


def answer(request: httpx.Request) -> httpx.Response:
    """A service that sends `under` back, or a problem when asked not to align."""
    body = request.read()
    if b'name="align"\r\n\r\noff' in body:
        return httpx.Response(422, json={"detail": "refused"})
    start = body.index(b"\x89PNG")
    headers = {"X-Expofuse-Weights": "some-1.0.0", "X-Request-Id": "7"}
    return httpx.Response(200, content=body[start:], headers=headers)


def test_post_pair_gives_picture_and_facts_or_the_problem(data: Path) -> None:
    pair: EvaluationPair = list_pairs(data)[0]
    with httpx.Client(base_url="http://service", transport=httpx.MockTransport(answer)) as client:
        ours = post_pair(client, pair, align="auto")
        np.testing.assert_array_equal(ours.picture, make_exposure(0.4, 0.0))
        assert ours.facts == {"weights": "some-1.0.0"}
        with pytest.raises(RuntimeError, match=r"first: 422 .*refused"):
            post_pair(client, pair, align="off")
