"""The exactness of fusion: what is measured of weights that blend."""

import json
import sys
from pathlib import Path

import pytest

from bench import exactness
from model.manifest import (
    PARAMETERS_NAME,
    Manifest,
    PyramidBlendConfig,
    describe_file,
    read_manifest,
    write_manifest,
)
from model.release.torch_networks import build_network, compute_golden, save_parameters


@pytest.fixture
def blend_weights(tmp_path: Path) -> Path:
    directory = tmp_path / "pyramid-blend-0.0.1"
    directory.mkdir()
    network = build_network(PyramidBlendConfig(width=2)).eval().requires_grad_(False)
    network.saliency.fill_(0.3)
    save_parameters(network, directory / PARAMETERS_NAME)
    released = read_manifest(exactness.DEFAULT_WEIGHTS)
    changes = {
        "name": "pyramid-blend",
        "version": "0.0.1",
        "network": network.config,
        "files": {PARAMETERS_NAME: describe_file(directory / PARAMETERS_NAME)},
        "receptive_field": None,
        "size_multiple": network.size_multiple,
        "chroma": "blend",
        "golden": compute_golden(network),
    }
    write_manifest(Manifest.model_validate({**dict(released), **changes}), directory)
    return directory


def test_exactness_holds_codes_halos_and_memory(
    blend_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = blend_weights.parent / "exactness.json"
    monkeypatch.setattr(exactness.blend, "EXACT_SIZES", ((31, 47),))
    arguments = [f"--weights={blend_weights}", f"--out={path}", "--peak-size", "300", "500"]
    monkeypatch.setattr(sys, "argv", ["exactness.py", *arguments])
    exactness.main()
    record = json.loads(path.read_text())
    assert all(found["max"] <= 1 for found in record["codes"]["31x47"].values())
    by_halo = record["uint16_codes_by_halo"]
    assert by_halo["12"]["max"] <= 1 < by_halo["8"]["max"]
    assert record["memory"]["peak_above_weights_inputs_and_output_mib"] > 0
