"""The measurements of a device, with the GPU's kernels computed on the CPU."""

import json

import pytest
import torch

from bench import device
from bench.device import NO_GRAPHS, OPERATIONS, Share, describe_shares
from bench.measurement import OURS
from bench.repository import ROOT
from model.release.torch_networks import build_loaded
from model.release.weights import load_weights
from tests.model.host_launcher import HostLauncher, compile_kernels
from tests.torch_devices import needs_cuda

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network():
    return build_loaded(load_weights(ROOT / "weights" / "pyramid-blend-2.1.0"))


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(device, "GOALS_MS", {0.02: 2.0})
    monkeypatch.setattr(device, "COPY_BYTES", 2**16)
    monkeypatch.setattr(device, "TIMES", 1)
    monkeypatch.setattr(device, "ROUNDS", 2)


def test_pairs_are_measured_in_every_way(network, monkeypatch, tmp_path):
    launcher = HostLauncher(compile_kernels(tmp_path))
    monkeypatch.setattr(device, "find_launcher", lambda device: launcher)
    record = device.measure_pairs(network, CPU)
    assert all(speed > 0 for speed in record["roof_gb_per_s"].values())
    pair = record["pairs"]["0.02 MP"]
    assert list(pair["rounds"]) == [OURS, NO_GRAPHS, OPERATIONS]
    assert len(pair["rounds"][OURS]["wall_s"]["values"]) == 2
    assert set(pair["ratios"]) == {NO_GRAPHS, OPERATIONS}
    assert set(pair["look_ms"]) == {"graph", "one by one", "graph, channels last"}
    assert pair["peak_device_mib"] is None
    assert {"add_band", "blend_pixels_uint8"} <= set(launcher.launched)
    json.dumps(record)


def test_without_kernels_torch_s_operations_are_measured(network):
    pair = device.measure_pairs(network, CPU)["pairs"]["0.02 MP"]
    assert list(pair["rounds"]) == [OPERATIONS]
    assert pair["look_ms"] == {}
    assert "kernels" not in pair


def test_where_the_profiler_sees_nothing_the_rest_is_measured(network, monkeypatch):
    monkeypatch.setattr(device, "profile_device", lambda work, device: [])
    pair = device.measure_pairs(network, CPU)["pairs"]["0.02 MP"]
    assert list(pair["rounds"]) == [OPERATIONS]
    assert "kernels" not in pair


def test_a_profile_is_summed_up_beside_goal_and_roof():
    shares = [
        Share("blend_pixels_uint8", 4, 1.25),
        Share("Memcpy HtoD (Pinned -> Device)", 8, 1.0),
        Share("Memcpy DtoD (Device -> Device)", 8, 0.25),
        Share("Memcpy DtoH (Device -> Pinned)", 4, 0.5),
    ]
    roof = {"within the device, read and written": 3000.0}
    found = describe_shares(shares, goal_ms=1.4, least_bytes=75e6, moved_bytes=150e6, roof=roof)
    assert found["computed_ms"] == 1.5
    assert not found["is_within_goal"]
    assert (found["to_device_ms"], found["to_host_ms"], found["busy_ms"]) == (1.0, 0.5, 3.0)
    assert (found["least_gb_per_s"], found["moved_gb_per_s"]) == (50.0, 100.0)
    assert found["share_of_copy"] == 0.033333
    assert found["kernels"][0] == {"name": "blend_pixels_uint8", "calls": 4, "ms": 1.25}


@pytest.mark.gpu
@needs_cuda
def test_on_cuda_a_profile_names_every_kernel(network):
    record = device.measure_pairs(network, torch.device("cuda:0"))
    pair = record["pairs"]["0.02 MP"]
    named = " ".join(share["name"] for share in pair["kernels"])
    for name in ("reduce_pixels_uint8", "reduce_planes", "add_band", "blend_pixels_uint8"):
        assert name in named
    assert 0 < pair["computed_ms"] < pair["busy_ms"]
    assert pair["peak_device_mib"] > 0
