"""Weights of either architecture become a pipeline, and its callers see no difference."""

import numpy as np
import pytest

from model.blend.cpu_engine import CpuEngine
from model.blend.pipeline import BlendPipeline
from model.blend.torch_network import BlendNetwork
from model.lightness.cpu_engine import CpuEngine as LightnessCpuEngine
from model.lightness.pipeline import LightnessPipeline
from model.lightness.torch_network import FusionNetwork
from model.manifest import NetworkConfig, PyramidBlendConfig
from model.pipeline import create_pipeline
from model.release.torch_networks import build_network
from model.release.weights import load_weights
from tests.model.laid import laid


@pytest.mark.parametrize(
    ("config", "expected"),
    [(NetworkConfig(width=2), FusionNetwork), (PyramidBlendConfig(width=2), BlendNetwork)],
)
def test_a_config_decides_the_network(config, expected):
    network = build_network(config)
    assert type(network) is expected
    assert network.config == config


def test_weights_decide_the_pipeline(weights_dir, blend_weights_dir):
    lightness = create_pipeline(load_weights(weights_dir), device="cpu", threads=1)
    blend = create_pipeline(load_weights(blend_weights_dir), device="cpu", threads=3)
    assert isinstance(lightness, LightnessPipeline)
    assert isinstance(lightness.engine, LightnessCpuEngine)
    assert isinstance(blend, BlendPipeline)
    assert isinstance(blend.engine, CpuEngine)
    assert blend.engine.threads == 3
    assert blend.preferred_batch % 3 == 0


@pytest.mark.parametrize("fixture", ["weights_dir", "blend_weights_dir"])
def test_one_driver_runs_either(request, fixture, make_scene, tilted):
    pipeline = create_pipeline(load_weights(request.getfixturevalue(fixture)), device="cpu")
    pair = make_scene(61, 131)
    out = np.zeros_like(pair.darkest)
    run = pipeline.begin(pair, laid(tilted), out)
    for windows in run.passes:
        assert windows
        groups = {}
        for window in windows:
            groups.setdefault(window.batch_key, []).append((run, window))
        for batch in groups.values():
            pipeline.fuse_windows(batch)
    assert np.array_equal(out, pipeline.fuse(pair, laid(tilted)))
    assert out.std() > 10


def test_a_device_that_is_not_there_is_told(blend_weights_dir):
    with pytest.raises(ValueError, match="got 'tpu'"):
        create_pipeline(load_weights(blend_weights_dir), device="tpu")


def test_a_chroma_rule_takes_the_place_of_the_manifests(loaded_weights, blend_weights_dir):
    assert loaded_weights.manifest.chroma == "mean"
    assert create_pipeline(loaded_weights, device="cpu", threads=1).chroma == "mean"
    for rule in ("weighted", "unclipped"):
        pipeline = create_pipeline(loaded_weights, device="cpu", threads=1, chroma=rule)
        assert pipeline.chroma == rule
    with pytest.raises(ValueError, match="no chroma rule for pyramid-blend"):
        create_pipeline(load_weights(blend_weights_dir), device="cpu", chroma="mean")
