import json
import time

import pytest

from bench import gpu_files
from bench.measurement import OURS
from expofuse.files.device.jpeg import CPU
from tests.devices import needs_no_device


def test_files_are_timed_beside_the_cpu():
    record = gpu_files.measure_files(
        CPU, sizes_mp=[0.02], service_sizes_mp=[], repeats=2, budget_s=0.0
    )
    assert record["files"] == {}  # Nothing begins after the budget.
    assert record["damaged"] is None
    codec = gpu_files.DeviceJpeg(CPU, min_pixels=1)
    record = gpu_files.time_codec(codec, codec, gpu_files.take_still(0.02), repeats=2)
    for work in ("decode a pair", "encode"):
        rounds = record[work]["rounds"]
        assert all(len(one["wall_s"]["values"]) == 2 for one in rounds.values())
        assert record[work]["ratios"][gpu_files.CPU_WAY]["wall"]["median"] > 0
    assert record["likeness"]["decoded_by"] == "done"
    assert record["likeness"]["decoded_max"] == 0
    json.dumps(record)


def test_it_is_counted_how_many_damaged_files_each_refuses():
    found = gpu_files.count_refusals(CPU, count=40)
    assert found["takes_the_sound_one"]
    assert 10 < found["by us"] < 40
    assert found["by the device"] == found["by both"] == 0  # libjpeg-turbo's warnings are printed.


@needs_no_device
def test_refusals_that_cannot_be_counted_are_told():
    assert "non-zero exit status" in gpu_files.count_refusals("cuda:0")["left_out"]


@needs_no_device
def test_without_a_device_the_record_says_so():
    record = gpu_files.measure_files("cuda:0")
    assert "cuda:0" in record["left_out"]


@pytest.mark.e2e
@pytest.mark.slow
@needs_no_device
def test_services_are_loaded_and_one_that_does_not_start_is_told(monkeypatch):
    monkeypatch.setattr(gpu_files, "ROUNDS", 1)
    record = gpu_files.measure_services(
        "auto", sizes_mp=[0.02], round_s=1.0, end_s=time.monotonic() + 300
    )
    (one,) = record[gpu_files.CPU_WAY]["rounds"]
    assert one["requests_per_s"] > 0
    assert one["core_s_per_request"] > 0
    assert one["others"] == {}
    assert record[gpu_files.CPU_WAY]["jpegs"]["decode done"] == 0
    assert "nvImageCodec to use the device 'cuda:0'" in record[OURS]["left_out"]
    assert record["ratios"] == {}
    json.dumps(record)


def test_rates_are_compared_round_by_round():
    ours = {"rounds": [{"pair": "12 MP", "round": n, "requests_per_s": 6.0 * n} for n in (1, 2)]}
    other = {"rounds": [{"pair": "12 MP", "round": 1, "requests_per_s": 4.0}]}
    found = {OURS: ours, gpu_files.CPU_WAY: other}
    assert gpu_files._compare_rates(found) == {"12 MP": [1.5]}
