import subprocess
import sys

import pytest
import torch

from model import device as devices
from model.device import resolve_device


def set_devices(monkeypatch, count):
    """Let this machine have a driver and so many devices."""
    monkeypatch.setattr(devices, "_has_cuda_driver", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


@pytest.mark.parametrize(
    ("count", "device", "expected"),
    [
        (0, "auto", "cpu"),
        (2, "auto", "cuda:0"),
        (2, "cpu", "cpu"),
        (2, "cuda", "cuda:0"),
        (2, "cuda:1", "cuda:1"),
    ],
)
def test_resolve_device_finds_the_device(monkeypatch, count, device, expected):
    set_devices(monkeypatch, count)
    assert resolve_device(device) == expected


@pytest.mark.parametrize(
    ("count", "device", "message"),
    [
        (0, "cuda:0", "below cuda:0"),
        (2, "cuda:2", "below cuda:2"),
        (2, "cuda:x", "auto, cpu or cuda:N"),
        (2, "mps", "auto, cpu or cuda:N"),
        (2, "", "auto, cpu or cuda:N"),
    ],
)
def test_resolve_device_refuses_what_is_not_there(monkeypatch, count, device, message):
    set_devices(monkeypatch, count)
    with pytest.raises(ValueError, match=message):
        resolve_device(device)


@pytest.mark.skipif(devices._has_cuda_driver(), reason="needs a machine without a CUDA driver")
def test_a_machine_without_a_driver_does_not_load_torch_to_find_that_out():
    code = (
        "from model.device import resolve_device as f; import sys; f('auto'); print(*sys.modules)"
    )
    asked = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert "torch" not in asked.stdout.split()
