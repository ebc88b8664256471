"""The timing of a training step: what it measures and what it writes."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from bench.training import main


def test_result_file_holds_the_step_and_the_share_of_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    stack = data / "stacks" / "desk"
    stack.mkdir(parents=True)
    scene = cv2.resize(np.random.default_rng(7).random((12, 16, 3)), (240, 200))
    for index, gain in enumerate((0.05, 0.35, 2.0)):
        picture = np.rint(np.clip(scene * gain, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)
        cv2.imwrite(str(stack / f"{index:02d}.png"), picture)
    (data / "manifest.csv").write_text(
        "path,kind,use,exposures,width,height,licence,source,notes\n"
        "stacks/desk,stack,train,3,240,200,CC0,made by the test,\n"
    )
    config = tmp_path / "tiny-net.toml"
    config.write_text(
        'name = "tiny-net"\n[network]\nwidth = 2\n[data]\nside_px = 176\nworkers = 0\n'
    )
    path = tmp_path / "training.json"
    arguments = [f"--config={config}", f"--data={data}", "--steps=4", f"--out={path}"]
    monkeypatch.setattr(sys, "argv", ["bench/training.py", *arguments])
    main()
    record = json.loads(path.read_text())
    assert record["steps"] == 4
    assert record["step_ms"] > 0
    assert 0 < record["waiting_share"] < 1
