"""A run of the network that blends, as a weights version and as arms of an ablation."""

import re

import cv2
import numpy as np
import pytest
import torch

from model.exposure import ExposureStack
from model.manifest import PARAMETERS_NAME, read_manifest
from model.pipeline import create_pipeline
from model.release.torch_networks import build_loaded, to_parameters
from model.release.verify import verify_weights
from model.release.weights import load_weights
from trainer.__main__ import main
from trainer.config import load_config
from trainer.errors import RunError
from trainer.release.export import export
from trainer.release.model_card import CARD_NAME
from trainer.run.train import train


@pytest.fixture
def run(data_root, blend_file, tmp_path):
    train(load_config(blend_file, ["optim.steps=2"]), data_root, tmp_path / "run")
    return tmp_path / "run"


def test_an_exported_blend_passes_every_check_and_fuses(run, tmp_path):
    target = tmp_path / "tiny-blend-1.0.0"
    manifest = export(run, target)
    assert sorted(path.name for path in target.iterdir()) == sorted(
        [CARD_NAME, "manifest.json", PARAMETERS_NAME]
    )
    assert manifest.chroma == "blend"
    assert manifest.receptive_field is None
    assert [check.fault for check in verify_weights(target)] == [None] * 4
    weights = load_weights(target)
    trained = torch.load(run / "checkpoint.pt", weights_only=True)["network"]
    for name, tensor in build_loaded(weights).state_dict().items():
        assert torch.equal(tensor, trained[name]), name
    rng = np.random.default_rng(1)
    under, over = (rng.integers(low, low + 120, (70, 90, 3), dtype=np.uint8) for low in (0, 130))
    fused = create_pipeline(weights, device="cpu").fuse(ExposureStack((under, over), (0, 1)))
    assert under.mean() < fused.mean() < over.mean()


def test_an_export_whose_compiled_look_is_another_network_is_refused(run, tmp_path, monkeypatch):
    def of_another(network):
        parameters = to_parameters(network)
        parameters["mix.bias"] += 0.01
        return parameters

    monkeypatch.setattr("trainer.release.export.to_parameters", of_another)
    with pytest.raises(RunError, match="the compiled look differs from the network by"):
        export(run, tmp_path / "tiny-blend-1.0.0")
    assert not (tmp_path / "tiny-blend-1.0.0").exists()


def test_a_rule_of_chroma_is_refused_for_a_network_that_blends_colour(run, tmp_path, capsys):
    target = tmp_path / "tiny-blend-1.0.0"
    with pytest.raises(RunError, match="expected no rule of chroma for 'pyramid-blend'"):
        export(run, target, chroma="weighted")
    assert main(["export", str(run), str(target), "--chroma", "mean"]) == 2
    assert "got 'mean'" in capsys.readouterr().err
    assert not target.exists()
    assert main(["export", str(run), str(target)]) == 0


def test_the_card_of_a_blend_names_its_network_its_terms_and_its_limits(run, tmp_path):
    export(run, tmp_path / "tiny-blend-1.0.0")
    card = (tmp_path / "tiny-blend-1.0.0" / CARD_NAME).read_text()
    assert "| architecture | `pyramid-blend`, 2 feature maps a layer |" in card
    assert "residual ones of dilation 1, 2, one for all exposures" in card
    assert "| receptive field | the whole picture |" in card
    assert "network-valid.onnx" not in card
    assert "L\\*" not in card
    (formula,) = re.findall("^Loss = (.*)$", card, re.MULTILINE)
    assert formula == (
        "0.5 (lambda1 Loss_under + lambda2 Loss_over + Loss_co) + 0.0005 excursion "
        "+ 1 (1 - MEF-SSIM) + 0.02 lost gradients + 0.001 tone shift "
        "+ 2 (1 - MS-SSIM with two exposures) + 0.5 (1 - Qabf) + 0.3 (1 - VIFF) "
        "+ 0.1 lost highlights + 0.1 lost shadows + 0.01 disorder + 0.01 rims + 0.01 untruth "
        "+ 0.001 total variation"
    )
    assert "the mean of the chroma pales" not in card
    assert "a ghost" in card
    assert "clip norm | 1 |" in card


def test_without_the_papers_tasks_the_card_does_not_explain_them(data_root, blend_file, tmp_path):
    config = load_config(blend_file, ["optim.steps=1", "loss.tasks=0", "network.saliency=false"])
    train(config, data_root, tmp_path / "run")
    export(tmp_path / "run", tmp_path / "tiny-blend-1.0.0")
    card = (tmp_path / "tiny-blend-1.0.0" / CARD_NAME).read_text()
    assert "Loss = 0.0005 excursion + 1 (1 - MEF-SSIM)" in card
    for word in ("lambda", "Loss_", "MaskBuilder", "reading of the paper", "local contrast |"):
        assert word not in card


def test_a_run_may_start_from_a_released_blend(run, data_root, blend_file, tmp_path):
    earlier = tmp_path / "tiny-blend-1.0.0"
    export(run, earlier)
    start = ["optim.start=weights", f"optim.start_weights='{earlier}'", "optim.steps=1"]
    train(load_config(blend_file, start), data_root, tmp_path / "second")
    tuned = export(tmp_path / "second", tmp_path / "tiny-blend-1.1.0")
    assert tuned.training.started_from == "tiny-blend-1.0.0"


def test_arms_of_a_blend_are_trained_exported_and_scored(data_root, blend_file, tmp_path):
    pair = tmp_path / "scenes" / "one"
    pair.mkdir(parents=True)
    scene = cv2.resize(np.random.default_rng(3).random((24, 25, 3)).astype(np.float32), (200, 192))
    for exposure, gain in (("under", 0.25), ("over", 1.6)):
        pixels = np.rint(np.clip(scene * gain, 0, 1) * 255).astype(np.uint8)
        cv2.imwrite(str(pair / f"{exposure}.png"), pixels)
    studies = tmp_path / "studies.toml"
    studies.write_text(
        f'base = "{blend_file.name}"\n[[study]]\nname = "parts"\ntitle = "Parts"\n'
        'question = "Which part?"\narm = [\n{ name = "whole" },\n'
        '{ name = "no-context", set = ["optim.zeroed=[\'context.\']"] },\n]\n'
    )
    out = tmp_path / "out"
    command = ["ablate", str(studies), "--data", str(data_root), "--scenes", str(pair.parent)]
    command += ["--out", str(out), "--set", "optim.steps=2", "--set", "run.log_every=1"]
    assert main([*command, "--workers", "0", "--metrics", "AG,Qabf"]) == 0
    document = (out / "ablation.md").read_text()
    assert re.search(r"^\| whole \| nothing \| 2 \|", document, re.MULTILINE)
    assert re.search(
        r"^\| no-context \| `optim.zeroed=\['context.'\]` \| 2 \|", document, re.MULTILINE
    )
    manifests = [read_manifest(path) for path in (out / "weights").iterdir()]
    assert [manifest.chroma for manifest in manifests] == ["blend", "blend"]
