"""The loop with the network that fuses RGB, and which configs mix the architectures."""

import json
import re
import shutil

import numpy as np
import pytest
import torch

from model.blend.torch_network import BlendNetwork
from model.torch_colour import quantise
from trainer.config import ValidationConfig, dump_config, load_config
from trainer.data.triples import TripleDataset
from trainer.errors import ConfigError, DataError
from trainer.mertens import fuse_as_mertens
from trainer.run.distributed import World
from trainer.run.preview import draw_triples
from trainer.run.selection import COMPARED_METRICS, lead_over_mertens, name_metrics
from trainer.run.train import start_network, train
from trainer.run.validation import read_scenes, validate
from trainer.run_files import BEST_NAME, CHECKPOINT_NAME, CURVE_NAME, RECORD_NAME, VALIDATION_NAME

ALONE = World(rank=0, size=1, device=torch.device("cpu"))


def checkpoint(run):
    return torch.load(run / CHECKPOINT_NAME, weights_only=True)


def test_2n_steps_equal_n_steps_a_resume_and_n_more_bit_for_bit(
    held_out_root, blend_file, tmp_path
):
    often = ["validation.every=2", "validation.pairs=2", "validation.max_side_px=128"]
    config = load_config(blend_file, [*often, "optim.steps=4", "run.log_every=2"])
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    train(config, held_out_root, whole)
    train(config, held_out_root, halves, stop_after=1)
    train(config, held_out_root, halves)
    first, second = checkpoint(whole), checkpoint(halves)
    for name, tensor in first["network"].items():
        assert torch.equal(tensor, second["network"][name]), name
    for name in (CURVE_NAME, VALIDATION_NAME, BEST_NAME):
        assert (whole / name).read_bytes() == (halves / name).read_bytes(), name


def test_training_lowers_the_loss(data_root, blend_file, tmp_path):
    alike = ["data.stack_share=1.0", "data.exposures=[2, 2]"]
    without_tasks = ["loss.tasks=0", "optim.steps=12", "run.log_every=3", *alike]
    train(load_config(blend_file, without_tasks), data_root, tmp_path / "run")
    rows = [line.split(",") for line in (tmp_path / "run" / CURVE_NAME).read_text().splitlines()]
    assert float(rows[-1][1]) < 0.97 * float(rows[1][1])
    curve = dict(zip(rows[0], rows[1], strict=True))
    assert float(curve["correct"]) == float(curve["under_weight"]) == 0  # what has no weight
    terms = ("infidelity", "unlikeness", "lost_edges", "lost_detail", "variation")
    assert all(float(curve[name]) > 0 for name in terms)
    assert json.loads((tmp_path / "run" / RECORD_NAME).read_text())["is_complete"]


def test_clipping_bounds_a_step_and_zero_leaves_the_gradient(data_root, blend_file, tmp_path):
    """Adam's second moment after one step tells the gradient that it was given."""
    lengths = {}
    for norm in (0.0, 1e-3):
        run = tmp_path / str(norm)
        train(load_config(blend_file, [f"optim.clip_norm={norm}"]), data_root, run, stop_after=1)
        state = checkpoint(run)["optimiser"]["state"].values()
        squares = sum(float(one["exp_avg_sq"].double().sum()) for one in state)
        lengths[norm] = (squares / 1e-3) ** 0.5
    assert lengths[0.0] > 0.01
    assert lengths[1e-3] == pytest.approx(1e-3, rel=1e-3)


def test_a_network_before_its_first_step_is_the_prior(blend_file):
    config = load_config(blend_file)
    torch.manual_seed(config.seed)
    network = start_network(config)
    assert isinstance(network, BlendNetwork)
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(network(picture, picture), picture, rtol=0, atol=1e-5)


def test_validation_scores_what_the_product_fuses(held_out_root, blend_file):
    config = ValidationConfig(every=1, pairs=2)
    scenes = read_scenes(held_out_root, config, trained_on=())
    network = start_network(load_config(blend_file))
    outcome = validate(network, scenes, config, ALONE)
    pair = scenes[0].pair
    planes = [
        torch.from_numpy(x.copy()).permute(2, 0, 1)[None] / 255
        for x in (pair.darkest, pair.brightest)
    ]
    with torch.no_grad():
        whole = quantise(network(*planes)[0], torch.uint8).permute(1, 2, 0).numpy()
    fused = outcome.pictures["stacks/door"][:, 2 * whole.shape[1] :]
    assert np.abs(fused.astype(int) - whole).max() <= 1
    assert (fused != whole).mean() < 0.001
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_validation_does_not_disturb_the_training(held_out_root, blend_file, tmp_path):
    often = ["validation.every=2", "validation.pairs=2", "validation.max_side_px=128"]
    with_it, without = tmp_path / "with", tmp_path / "without"
    short = ["optim.steps=3", "run.log_every=1"]
    train(load_config(blend_file, [*often, *short]), held_out_root, with_it)
    train(load_config(blend_file, short), held_out_root, without)
    assert (with_it / CURVE_NAME).read_text() == (without / CURVE_NAME).read_text()


@pytest.fixture
def large_root(data_root, tmp_path):
    """The training data beside a held-out scene that is large enough for MS-SSIM."""
    root = tmp_path / "large"
    shutil.copytree(data_root, root)
    shutil.copytree(root / "stacks" / "desk", root / "stacks" / "shelf")
    manifest = root / "manifest.csv"
    manifest.write_text(manifest.read_text().replace("stacks/other", "stacks/shelf"))
    return root


def test_the_selection_score_is_the_lead_over_mertens_of_the_same_scenes(
    large_root, blend_file, tmp_path
):
    options = ["optim.steps=2", "validation.every=1", "validation.metric=fidelity+contrast"]
    config = load_config(blend_file, options)
    run = tmp_path / "run"
    train(config, large_root, run)
    header, *rows = (line.split(",") for line in (run / VALIDATION_NAME).read_text().splitlines())
    (scene,) = read_scenes(large_root, config.validation, trained_on=())
    table = [dict(zip(header, map(float, row), strict=True)) for row in rows]
    leads = [lead_over_mertens(row, scene.mertens) for row in table]
    assert header == ["step", *name_metrics("fidelity+contrast"), "objective"]
    assert len(leads) == 2
    assert [row["objective"] for row in table] == pytest.approx(leads, abs=1e-4)
    best = json.loads((run / RECORD_NAME).read_text())["best_objective"]
    assert best == pytest.approx(max(leads), abs=1e-4)
    fused = fuse_as_mertens(scene.pair.exposures)
    assert scene.score(fused, COMPARED_METRICS) == scene.mertens


def test_scenes_too_small_for_the_criterion_are_refused(held_out_root):
    config = ValidationConfig(every=1, metric="fidelity+contrast")
    with pytest.raises(DataError, match="at least 161 pixels"):
        read_scenes(held_out_root, config, trained_on=())


def test_mertens_itself_has_no_lead_and_a_shortfall_outweighs_a_lead():
    mertens = {"MEF-SSIM": 0.97, "Qabf": 0.7, "MS-SSIM": 0.8, "VIFF": 0.8, "AG": 5.0}
    assert lead_over_mertens(mertens, mertens) == 0
    ahead = {name: value * 1.01 for name, value in mertens.items()}
    assert lead_over_mertens(ahead, mertens) == pytest.approx(0.01)
    assert lead_over_mertens(mertens | {"VIFF": 0.84, "Qabf": 0.69}, mertens) < 0
    assert lead_over_mertens(mertens | {"AG": 9.0}, mertens) == 0  # sharpness alone is no lead
    assert set(COMPARED_METRICS) < set(name_metrics("fidelity+contrast"))


def test_mertens_of_equal_exposures_is_the_exposure():
    picture = np.random.default_rng(3).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    fused = fuse_as_mertens([picture, picture])
    assert np.abs(fused.astype(int) - picture).max() <= 2


def test_drawn_triples_are_in_colour(data_root, blend_file):
    config = load_config(blend_file, ["data.motion=0"])
    dataset = TripleDataset(data_root, config.data, seed=1, length=2)
    triples = torch.stack([dataset[index][:3] for index in range(2)])
    picture = draw_triples(start_network(config), triples)
    assert picture.shape == (2 * 176, 4 * 176, 3)
    expected = (triples[1, 2] * 255).permute(1, 2, 0).numpy()
    np.testing.assert_allclose(picture[176:, 352:528], expected, rtol=0, atol=0.51)


def test_the_preset_is_of_losses_and_optimiser_and_the_config_survives_a_dump(blend_file, tmp_path):
    config = load_config(blend_file, ["reading=authors", "loss.tasks=1"])
    assert config.data.lightness == "rgb"
    assert config.loss.output_sigma_px == 50
    assert config.network.dilations == (1, 2)
    copy = tmp_path / "copy.toml"
    copy.write_text(dump_config(config))
    assert load_config(copy) == config


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data.lightness=cielab"], "expected data.lightness = 'rgb'"),
        (["optim.start=average"], "optim.start"),
        (["optim.precision=bfloat16"], "optim.precision = 'float32'"),
        (["network.encoders=tied"], "encoders"),
        (["data.full_well=[0, 80000]"], "electrons in full_well, got [0.0, 80000.0]"),
        (["data.gap_ev=[3, 1]"], "EV in gap_ev, got [3.0, 1.0]"),
    ],
)
def test_a_mixture_of_architectures_or_a_wrong_range_is_refused(blend_file, overrides, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        load_config(blend_file, overrides)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data.lightness=rgb"], "got 'rgb' with 'hyperp-mb'"),
        (["loss.highlights=0.1"], "loss.highlights and loss.truth only"),
        (["data.exposures=[2, 3]"], "data.exposures = [2, 2]"),
        (["data.truth=true"], "no data.truth without"),
        (["optim.start=luma", "optim.start_weights=x"], "only with 'pyramid-blend'"),
        (["network.saliency=false"], "saliency"),
        (["loss.tasks=0"], "a weight above 0"),
        (["loss.tasks=0", "loss.fidelity=1", "loss.fidelity_from_step=5"], "from the first step"),
    ],
)
def test_the_papers_network_takes_no_rgb_and_a_loss_must_weigh_something(
    config_file, overrides, said
):
    with pytest.raises(ConfigError, match=re.escape(said)):
        load_config(config_file, overrides)
