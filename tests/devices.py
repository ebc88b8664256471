"""Finds GPUs for tests that need one and not torch, and takes them away."""

import ctypes

import pytest

from expofuse.files.device.jpeg import DeviceJpeg


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


def lose_device(device: DeviceJpeg) -> None:
    """Give it codecs that exist and refuse every picture: they are for a device, and have none."""
    library = device._library
    options = {
        "device_id": library.NVIMGCODEC_DEVICE_CPU_ONLY,
        "backends": [library.Backend(library.BackendKind.HYBRID_CPU_GPU)],
    }
    device._decoder = library.Decoder(**options)
    device._encoder = library.Encoder(**options)
