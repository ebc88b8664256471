"""The timing of the metrics: its pictures, what it measures and what it writes."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.metrics import main, make_triple
from trainer.metrics import METRICS


def test_the_scene_is_clipped_in_both_exposures_and_the_same_every_time() -> None:
    under, over, fused = make_triple(176, 201)
    assert fused.shape == (176, 201)
    assert (under == 0).any()
    assert (over == 255).any()
    np.testing.assert_array_equal(fused, make_triple(176, 201)[2])


def test_result_file_holds_the_seconds_of_every_metric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "metrics.json"
    arguments = ["--height=176", "--width=180", "--repeats=1", f"--out={path}"]
    monkeypatch.setattr(sys, "argv", ["bench/metrics.py", *arguments])
    main()
    record = json.loads(path.read_text())
    assert list(record["seconds"]) == [*METRICS, "all", "all without FMI"]
    assert record["seconds"]["all"]["wall_s"]["median"] > 0
    assert record["peak_memory_gb"]["after"] >= record["peak_memory_gb"]["before"] > 0
    assert json.loads(capsys.readouterr().out) == record
