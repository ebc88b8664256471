"""Whole pictures in windows, and finished trainings as methods of an evaluation."""

import numpy as np
import pytest
import torch

from model.exposure import ExposureStack
from tests import images
from trainer.__main__ import main
from trainer.config import load_config
from trainer.errors import RunError
from trainer.evaluation import RunMethod, evaluate
from trainer.evaluation.pictures import write_png
from trainer.evaluation.report.summary import read_summary
from trainer.peers.definition import TransMefConfig, U2FusionConfig
from trainer.peers.networks import build_peer
from trainer.peers.pictures import fuse_picture, fuse_planes
from trainer.release.export import export
from trainer.run.train import train
from trainer.run_files import CHECKPOINT_NAME

NETWORK = "network={architecture='%s', width=2}"
SMALL_TRANSMEF = (
    "network={architecture='transmef', width=2, depth=1, token_width=16, heads=2, head_width=4, "
    "hidden_width=8}"
)
NETWORKS = [NETWORK % "u2fusion", SMALL_TRANSMEF]


@pytest.fixture(scope="module")
def run(data_root, tmp_path_factory):
    """A training of two steps of a narrow network."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "tiny.toml").write_text('name = "tiny"\n[data]\nside_px = 176\nworkers = 0\n')
    config = load_config(folder / "tiny.toml", [NETWORKS[0], "optim.steps=2"])
    train(config, data_root, folder / "whole")
    train(config, data_root, folder / "half", stop_after=1)
    return folder


@pytest.fixture
def scenes(tmp_path):
    root = tmp_path / "scenes"
    for role, gain in (("under", 0.35), ("over", 1.4)):
        pixels = np.clip(images.scene(180, 190) * gain, 0, 255).astype(np.uint8)
        write_png(root / "first" / f"{role}.png", pixels)
    return root


@pytest.mark.parametrize("size", [(40, 300), (128, 128), (150, 401)])
def test_windows_give_what_the_whole_picture_gives(size):
    torch.manual_seed(0)
    network = build_peer(U2FusionConfig(width=2)).eval()
    network.window_px = 128
    planes = torch.rand(2, 1, 1, *size) * 100
    with torch.inference_mode():
        torch.testing.assert_close(
            fuse_planes(network, *planes), network(*planes), rtol=0, atol=1e-3
        )


@pytest.mark.parametrize("config", [U2FusionConfig(width=2), TransMefConfig(width=2, depth=1)])
def test_a_plain_picture_shows_no_seam(config):
    torch.manual_seed(0)
    network = build_peer(config).eval()
    with torch.inference_mode():
        fused = fuse_planes(network, *torch.full((2, 1, 1, 300, 500), 40.0))
    inside, side = fused[..., 32:-32, 32:-32], network.grid_px
    torch.testing.assert_close(
        inside[..., side:, side:], inside[..., :-side, :-side], rtol=0, atol=1e-2
    )
    assert side > 1 or (inside.max() - inside.min()).item() < 1e-2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_picture_has_the_size_and_type_of_its_exposures(dtype):
    torch.manual_seed(0)
    network = build_peer(U2FusionConfig(width=2)).eval()
    scale = np.iinfo(dtype).max
    exposures = [
        (np.random.default_rng(0).random((33, 60, 3)) * scale * gain).astype(dtype)
        for gain in (0.3, 0.9)
    ]
    fused = fuse_picture(network, ExposureStack.from_images(exposures))
    assert (fused.shape, fused.dtype) == ((33, 60, 3), dtype)


@pytest.mark.parametrize("network", NETWORKS, ids=["u2fusion", "transmef"])
def test_a_training_that_is_resumed_equals_one_that_was_not(
    network, config_file, held_out_root, tmp_path
):
    chosen = [network, "optim.steps=2", "validation.every=1", "validation.pairs=1"]
    small = ["validation.max_side_px=128"]
    config = load_config(config_file, [*chosen, *small])
    train(config, held_out_root, tmp_path / "whole")
    train(config, held_out_root, tmp_path / "halves", stop_after=1)
    train(config, held_out_root, tmp_path / "halves")
    whole, halves = (
        torch.load(tmp_path / name / CHECKPOINT_NAME, weights_only=True)["network"]
        for name in ("whole", "halves")
    )
    assert whole.keys() == halves.keys()
    assert all(torch.equal(whole[name], halves[name]) for name in whole)


def test_a_run_is_a_column_of_the_evaluation(run, scenes, tmp_path):
    out = tmp_path / "out"
    command = ["evaluate", str(scenes), "--out", str(out), "--runs", f"U2Fusion={run / 'whole'}"]
    options = ["--methods", "mean", "--metrics", "AG", "--workers", "1", "--no-report"]
    assert main([*command, *options]) == 0
    summary = read_summary(out)
    assert summary.ours == "U2Fusion"
    assert summary.methods["U2Fusion"].kind == "run"
    assert summary.means["U2Fusion"]["AG"] > 0


def test_a_run_that_is_not_over_is_no_column(run, scenes, tmp_path):
    with pytest.raises(RunError, match="complete"):
        evaluate(scenes, tmp_path / "out", weights=[RunMethod(run / "half")])


def test_a_run_of_a_network_that_is_served_is_no_column(whole):
    with pytest.raises(RunError, match="export it"):
        RunMethod(whole)


def test_what_is_not_served_is_not_exported(run, tmp_path):
    with pytest.raises(RunError, match="compared with"):
        export(run / "whole", tmp_path / "tiny-1.0.0")
    assert not (tmp_path / "tiny-1.0.0").exists()
