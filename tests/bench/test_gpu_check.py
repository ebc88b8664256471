import json

import pytest

from bench import gpu_check


@pytest.mark.parametrize("name", gpu_check.WEIGHTS)
def test_every_version_is_timed_beside_mertens(name, monkeypatch):
    monkeypatch.setattr(gpu_check, "PRECISION", "float32")
    record = gpu_check.measure_weights(name, device="cpu", sizes_mp=[0.02], repeats=2)
    counts = [2] if name.startswith("hyperp") else [2, 5]
    assert list(record) == [f"{count} of 0.02 MP" for count in counts]
    for found in record.values():
        assert len(found["rounds"]["expofuse"]["wall_s"]["values"]) == 2
        assert found["ratios"][gpu_check.MERTENS]["wall"]["median"] > 0
        assert found["device_busy_ms"] is None
    json.dumps(record)


def test_the_status_is_that_of_the_tests(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu_check, "run_tests", lambda out: 3)
    monkeypatch.setattr(gpu_check, "SIZES_MP", (0.02,))
    monkeypatch.setattr(gpu_check, "PRECISION", "float32")
    assert gpu_check.main(["--device", "cpu", "--repeats", "1", "--out", str(tmp_path)]) == 3
    record = json.loads((tmp_path / "gpu.json").read_text())
    assert record["tests_exit_status"] == 3
    assert set(record["weights"]) == set(gpu_check.WEIGHTS)


@pytest.mark.slow
def test_the_gpu_tests_are_collected_and_reported(tmp_path, monkeypatch):
    # One file of those that hold some: to collect all takes minutes on a busy machine.
    monkeypatch.setattr(gpu_check, "TESTS", "tests/model/lightness/test_engines.py")
    monkeypatch.setattr(gpu_check, "TESTS_TIMEOUT_S", 900.0)
    assert gpu_check.run_tests(tmp_path) == 0
    assert "testcase" in (tmp_path / "gpu-tests.xml").read_text()
