import logging
import subprocess
import sys

import pytest

from expofuse.package_version import package_version
from service import lifecycle
from service.errors import ChildStartError, SharedMemoryError, WorkerStoppedError
from service.lifecycle import Service, fit_limits
from service.memory_budget import BYTES_PER_MEGAPIXEL
from service.settings import CodecSettings, LimitSettings, Settings
from tests.service.backends import backend_command, copying, failing_warm_up

LIMITS = LimitSettings(max_megapixels=50, max_megapixels_in_flight=150)


def test_limits_that_fit_are_kept():
    assert fit_limits(LIMITS, 200 * BYTES_PER_MEGAPIXEL) is LIMITS


def test_a_small_shared_memory_lowers_the_budget_and_says_so(caplog):
    with caplog.at_level(logging.WARNING):
        fitted = fit_limits(LIMITS, 64 * 2**20)
    assert fitted.max_megapixels_in_flight == pytest.approx(6.7, abs=0.1)
    assert fitted.max_megapixels == fitted.max_megapixels_in_flight
    assert fitted.max_jobs == LIMITS.max_jobs
    assert "--shm-size" in caplog.text


def test_hardly_any_shared_memory_stops_the_start_and_says_what_to_do(monkeypatch):
    monkeypatch.setattr("service.processes.shared_memory.shared_memory_free_bytes", lambda: 2**20)
    with pytest.raises(SharedMemoryError, match="--shm-size"):
        fit_limits(LIMITS, 2**20)


async def test_a_worker_that_does_not_come_up_stops_everything():
    settings = Settings(codec=CodecSettings(processes=1), log_level="error")
    service = Service(settings, backend_command(failing_warm_up))
    with pytest.raises(ChildStartError, match="cuda:7"):
        await service.start()
    assert service.codec.alive == 0
    assert not service.status.is_ready
    with pytest.raises(WorkerStoppedError, match="never ready"):
        _ = service.info


async def test_blocks_of_a_service_that_was_killed_are_swept_at_start(monkeypatch):
    calls = []
    monkeypatch.setattr(lifecycle, "sweep_stale_blocks", lambda: calls.append(1) or 3)
    service = Service(
        Settings(codec=CodecSettings(processes=1), log_level="error"), backend_command(copying)
    )
    await service.start()
    await service.stop()
    assert calls == [1]


def test_the_version_is_a_version():
    assert package_version()[0].isdigit()


def test_importing_the_server_loads_neither_torch_nor_opencv_nor_a_decoder():
    script = (
        "import sys, service.console.cli;"
        "print(sorted({'torch', 'cv2', 'onnxruntime', 'pyvips'} & sys.modules.keys()))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ended.stdout.strip() == "[]", ended.stderr
