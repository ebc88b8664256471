import json
import subprocess
import time
from pathlib import Path

import pytest

from bench import gpu_check
from bench.repository import ROOT
from model.blend.torch_network import BlendNetwork


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


@pytest.mark.parametrize("status", [0, 3])
def test_the_status_is_that_of_the_tests_and_of_what_failed(monkeypatch, tmp_path, status):
    monkeypatch.setattr(gpu_check, "run_tests", lambda out: status)
    monkeypatch.setattr(gpu_check, "SIZES_MP", (0.02,))
    monkeypatch.setattr(gpu_check, "PRECISION", "float32")
    further = {"another": lambda device: {"device": device}, "broken": lambda device: 1 / 0}
    monkeypatch.setattr(gpu_check, "FURTHER", further)
    assert gpu_check.main(["--device", "cpu", "--repeats", "1", "--out", str(tmp_path)]) == (
        status or 1
    )
    record = json.loads((tmp_path / "gpu.json").read_text())
    assert record["tests_exit_status"] == status
    assert set(record["weights"]) == set(gpu_check.WEIGHTS)
    assert record["another"] == {"device": "cpu"}
    assert record["broken"] == {"failed": "ZeroDivisionError: division by zero"}


def test_the_kernels_are_measured_of_the_default_version(monkeypatch):
    given = []
    monkeypatch.setattr(gpu_check, "measure_pairs", lambda *these: given.append(these))
    gpu_check.measure_kernels("cpu")
    ((network, device),) = given
    assert isinstance(network, BlendNetwork)
    assert device.type == "cpu"


def test_every_test_that_needs_a_gpu_lies_where_they_are_sought():
    marked = [
        path.relative_to(ROOT)
        for path in (ROOT / "tests").rglob("test_*.py")
        if "pytest.mark.gpu" in path.read_text(encoding="utf-8") and path != Path(__file__)
    ]
    assert len(marked) > 5
    for path in marked:
        assert any(path.is_relative_to(sought) for sought in gpu_check.TESTS), path


def test_what_was_done_before_time_was_up_is_reported(monkeypatch, tmp_path):
    one = tmp_path / "test_slowly.py"
    one.write_text(
        "import time\nimport pytest\npytestmark = pytest.mark.gpu\n"
        f"def test_soon(): open({str(tmp_path / 'begun')!r}, 'w').close()\n"
        "def test_never(): time.sleep(600)\n"
    )
    wait = subprocess.Popen.wait

    def wait_for_the_second(process, timeout=None):
        if timeout != gpu_check.TESTS_TIMEOUT_S:
            return wait(process, timeout)
        while not (tmp_path / "begun").exists():
            assert process.poll() is None
            time.sleep(0.1)
        return wait(process, 2.0)

    monkeypatch.setattr(gpu_check, "TESTS", (str(one),))
    monkeypatch.setattr(gpu_check, "REPORT_TIMEOUT_S", 100.0)
    monkeypatch.setattr(subprocess.Popen, "wait", wait_for_the_second)
    assert gpu_check.run_tests(tmp_path) == 124
    assert 'name="test_soon"' in (tmp_path / "gpu-tests.xml").read_text()


@pytest.mark.slow
def test_the_gpu_tests_are_collected_and_reported(tmp_path, monkeypatch):
    # One file of those that hold some: to collect all takes minutes on a busy machine.
    monkeypatch.setattr(gpu_check, "TESTS", ("tests/model/lightness/test_engines.py",))
    monkeypatch.setattr(gpu_check, "TESTS_TIMEOUT_S", 900.0)
    assert gpu_check.run_tests(tmp_path) == 0
    assert "testcase" in (tmp_path / "gpu-tests.xml").read_text()
