import csv
import json
import math

import cv2
import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from model.lightness.pipeline import LightnessPipeline
from model.lightness.torch_engine import TorchEngine, TorchNetwork
from model.lightness.torch_network import FusionNetwork
from model.release.torch_networks import load_network
from trainer.config import ValidationConfig, load_config
from trainer.data.triples import TripleDataset
from trainer.errors import DataError
from trainer.metrics import rgb_to_grey, score_fusion
from trainer.run.distributed import World
from trainer.run.initial_parameters import start_as_average
from trainer.run.preview import draw_triples
from trainer.run.selection import name_metrics
from trainer.run.train import train
from trainer.run.validation import Best, is_due, read_scenes, validate
from trainer.run_files import BEST_NAME, CHECKPOINT_NAME, CURVE_NAME, RECORD_NAME, VALIDATION_NAME

VALIDATION_METRICS = name_metrics("mef-ssim")

ALONE = World(rank=0, size=1, device=torch.device("cpu"))
OFTEN = ["validation.every=2", "validation.pairs=2", "validation.max_side_px=128"]
# A step that spoils the network at once, so that no validation after the first is better.
SPOILT = [*OFTEN, "optim.start=average", "optim.learning_rate=1.0", "optim.schedule=constant"]


def rows(run):
    with (run / VALIDATION_NAME).open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def checkpoint(run):
    return torch.load(run / CHECKPOINT_NAME, weights_only=True)


def record(run):
    return json.loads((run / RECORD_NAME).read_text())


def averaging_network(config_file):
    torch.manual_seed(3)
    network = FusionNetwork(load_config(config_file).network)
    start_as_average(network)
    return network


def test_a_scene_is_the_darkest_and_the_brightest_exposure_of_its_stack(held_out_root):
    (scene,) = read_scenes(held_out_root, ValidationConfig(every=1, pairs=1), trained_on=())
    assert scene.name == "stacks/door"
    under, over = (
        cv2.imread(str(held_out_root / scene.name / name))[..., ::-1]
        for name in ("02.png", "00.png")
    )
    np.testing.assert_array_equal(scene.pair.darkest, under)
    np.testing.assert_array_equal(scene.pair.brightest, over)
    np.testing.assert_array_equal(scene.greys[1], rgb_to_grey(np.ascontiguousarray(over)))


def test_scenes_are_spread_over_the_manifest_and_reduced(held_out_root):
    config = ValidationConfig(every=1, pairs=2, max_side_px=128)
    scenes = read_scenes(held_out_root, config, trained_on=())
    assert [scene.name for scene in scenes] == ["stacks/door", "stacks/lamp"]
    assert scenes[0].pair.darkest.shape == (96, 128, 3)
    everything = read_scenes(held_out_root, ValidationConfig(every=1, pairs=9), trained_on=())
    assert len(everything) == 4


def test_a_scene_that_is_trained_on_is_refused(held_out_root):
    config = ValidationConfig(every=1)
    with pytest.raises(DataError, match="stacks/hall"):
        read_scenes(held_out_root, config, trained_on=("hdri/room.hdr", "stacks/hall"))


def test_a_manifest_without_scenes_is_refused_only_when_they_are_asked_for(data_root, tmp_path):
    (tmp_path / "manifest.csv").write_text("path,kind,use\nhdri/room.hdr,hdri,train\n")
    assert read_scenes(tmp_path, ValidationConfig(), trained_on=()) == []
    with pytest.raises(DataError, match="found none"):
        read_scenes(tmp_path, ValidationConfig(every=5), trained_on=())
    with pytest.raises(DataError, match="at least two exposures"):
        read_scenes(data_root, ValidationConfig(every=5), trained_on=())


def test_validation_scores_what_the_pipeline_fuses(held_out_root, config_file):
    network = averaging_network(config_file)
    config = ValidationConfig(every=1, pairs=2, metric="mef-ssim+qabf")
    scenes = read_scenes(held_out_root, config, trained_on=())
    outcome = validate(network, scenes, config, ALONE)
    pipeline = LightnessPipeline(
        TorchEngine(TorchNetwork(network, device=ALONE.device)), chroma="mean"
    )
    scores = [
        score_fusion(scene.greys, rgb_to_grey(pipeline.fuse(scene.pair)), names=VALIDATION_METRICS)
        for scene in scenes
    ]
    for name in VALIDATION_METRICS:
        mean = sum(one[name] for one in scores) / len(scores)
        assert outcome.scores[name] == pytest.approx(mean, rel=1e-12)
    both = (outcome.scores["MEF-SSIM"] + outcome.scores["Qabf"]) / 2
    assert outcome.selection_score == pytest.approx(both, rel=1e-12)
    picture = outcome.pictures["stacks/door"]
    np.testing.assert_array_equal(picture[:, 400:], pipeline.fuse(scenes[0].pair))
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_an_averaging_network_validates_better_than_a_random_one(held_out_root, config_file):
    config = ValidationConfig(every=1)
    scenes = read_scenes(held_out_root, config, trained_on=())
    network = averaging_network(config_file)
    averaging = validate(network, scenes, config, ALONE).selection_score
    torch.manual_seed(3)
    random = validate(FusionNetwork(network.config), scenes, config, ALONE).selection_score
    assert averaging > random + 0.1


def test_best_counts_failures_and_never_takes_a_nan():
    best = Best().after(math.nan, 1)
    assert (best.step, best.failures) == (0, 1)
    best = best.after(0.5, 2).after(0.5, 3).after(0.4, 4)
    assert best == Best(score=0.5, step=2, failures=2)
    assert not best.is_hopeless(3)
    assert best.is_hopeless(2)
    assert not best.is_hopeless(0)


def test_a_validation_is_due_every_so_often_and_after_the_last_step():
    config = ValidationConfig(every=3)
    assert [step for step in range(1, 9) if is_due(config, step, 8)] == [3, 6, 8]
    assert not is_due(ValidationConfig(), 8, 8)


def test_a_resume_changes_nothing_with_validation_on(held_out_root, config_file, tmp_path):
    config = load_config(config_file, [*OFTEN, "validation.patience=9", "optim.steps=4"])
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(config, held_out_root, whole)
    train(config, held_out_root, parts, stop_after=3)
    with (parts / VALIDATION_NAME).open("a") as file:
        file.write("4,1,1,1\n")  # a killed process validated after its last checkpoint
    train(config, held_out_root, parts)
    first, second = checkpoint(whole), checkpoint(parts)
    for name, tensor in first["network"].items():
        assert torch.equal(tensor, second["network"][name]), name
    assert first["best"] == second["best"]
    for name in (VALIDATION_NAME, CURVE_NAME, BEST_NAME):
        assert (whole / name).read_bytes() == (parts / name).read_bytes(), name
    assert [row["step"] for row in rows(parts)] == [2, 4]


def test_validation_does_not_disturb_the_training(held_out_root, config_file, tmp_path):
    with_it, without = tmp_path / "with", tmp_path / "without"
    short = ["optim.steps=3", "run.log_every=1"]
    train(load_config(config_file, [*OFTEN, *short]), held_out_root, with_it)
    train(load_config(config_file, short), held_out_root, without)
    assert (with_it / CURVE_NAME).read_text() == (without / CURVE_NAME).read_text()
    assert not (without / VALIDATION_NAME).exists()
    assert not (without / BEST_NAME).exists()


def test_the_best_parameters_are_kept_with_their_step(held_out_root, config_file, tmp_path):
    config = load_config(config_file, [*SPOILT, "optim.steps=4"])
    run = tmp_path / "run"
    train(config, held_out_root, run)
    table = rows(run)
    best = max(table, key=lambda row: row["MEF-SSIM"])
    assert record(run)["best_step"] == best["step"]
    network = load_network(config.network, run / BEST_NAME, label="best")
    scenes = read_scenes(held_out_root, config.validation, trained_on=())
    outcome = validate(network, scenes, config.validation, ALONE)
    assert outcome.selection_score == pytest.approx(best["MEF-SSIM"], rel=1e-5)
    assert outcome.selection_score == pytest.approx(record(run)["best_objective"], rel=1e-12)


def test_patience_ends_a_run_that_no_longer_improves_and_the_run_is_complete(
    held_out_root, config_file, tmp_path
):
    config = load_config(config_file, [*SPOILT, "validation.patience=1", "optim.steps=40"])
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    ended = train(config, held_out_root, whole)
    assert ended < 40
    said = record(whole)
    assert said["stopped_early"]
    assert said["is_complete"]
    assert said["steps"] == ended
    assert said["best_step"] == ended - 2
    # What the first half learnt of failures decides in the second.
    train(config, held_out_root, parts, stop_after=ended - 1)
    assert not record(parts)["is_complete"]
    assert train(config, held_out_root, parts) == ended
    assert train(config, held_out_root, parts) == ended
    assert len(record(parts)["sessions"]) == 2


def test_tensorboard_shows_validation_scores_and_pictures(held_out_root, config_file, tmp_path):
    config = load_config(config_file, [*OFTEN, "optim.steps=2"])
    train(config, held_out_root, tmp_path / "run")
    tags = EventAccumulator(str(tmp_path / "run")).Reload().Tags()
    assert {f"validation/{name}" for name in VALIDATION_METRICS} <= set(tags["scalars"])
    assert set(tags["images"]) == {
        "validation/stacks/door",
        "validation/stacks/lamp",
        "training/triples",
    }


def test_drawn_triples_are_rows_of_under_correct_over_and_fused(data_root, config_file):
    config = load_config(config_file)
    dataset = TripleDataset(data_root, config.data, seed=1, length=2)
    triples = torch.stack([dataset[0], dataset[1]])
    network = averaging_network(config_file)
    picture = draw_triples(network, triples)
    assert picture.shape == (2 * 176, 4 * 176)
    cells = picture.reshape(2, 176, 4, 176).mean(axis=(1, 3))
    assert (cells[:, 0] < cells[:, 1]).all()
    assert (cells[:, 1] < cells[:, 2]).all()
    np.testing.assert_allclose(
        picture[:176, 176:352], triples[0, 1, 0].numpy() * 2.55, rtol=0, atol=0.51
    )
