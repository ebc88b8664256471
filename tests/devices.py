"""Finds GPUs for tests that need one and not torch."""

import ctypes

import pytest


def count_devices() -> int:
    """Devices that NVIDIA's driver shows."""
    count = ctypes.c_int()
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    driver.cuInit(0)
    driver.cuDeviceGetCount(ctypes.byref(count))
    return count.value


needs_device = pytest.mark.skipif(not count_devices(), reason="needs a CUDA device")
needs_no_device = pytest.mark.skipif(
    bool(count_devices()), reason="needs a machine without a CUDA device"
)
