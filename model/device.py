"""Finds the device that a setting names, and the precision that the device computes in."""

import ctypes
import os
from importlib.util import find_spec
from typing import Literal

from model.errors import DeviceError

Precision = Literal["float32", "bfloat16", "float16"]


def resolve_device(device: str) -> str:
    """Turn the device setting into a device that is there.

    Args:
        device: `auto`, `cpu`, `cuda` or `cuda:N`.

    Returns:
        The device that is there; for `auto` the first CUDA device, or the CPU where there is
        none. It is `cpu` or `cuda:N`.

    Raises:
        DeviceError: The device is none of these, this machine has no such device, or it is one of
            CUDA and torch is not installed.

    Example:
        >>> resolve_device("cpu")
        'cpu'
    """
    if device == "cpu":
        return device
    if device == "auto":
        return "cuda:0" if has_torch() and _count_cuda_devices() else "cpu"
    kind, _, number = device.partition(":")
    index = number or "0"
    if kind != "cuda" or not index.isdecimal():
        raise DeviceError(f"expected auto, cpu or cuda:N as the device, got '{device}'")
    if not has_torch():
        raise DeviceError(
            f"expected torch for the device '{device}', it is not installed: "
            "pip install 'expofuse[cuda]' does it"
        )
    available = _count_cuda_devices()
    if int(index) >= available:
        raise DeviceError(f"expected a device below cuda:{available}, got '{device}'")
    return f"cuda:{int(index)}"


def has_torch() -> bool:
    """PyTorch is installed, which CUDA needs and the CPU does not; it is not imported."""
    try:
        return find_spec("torch") is not None
    except ImportError:
        return False


def _count_cuda_devices() -> int:
    # torch takes a second and 150 MiB to say that a machine has no driver
    if not _has_cuda_driver():
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _has_cuda_driver() -> bool:
    """NVIDIA's driver is there; it says nothing of devices."""
    try:
        ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        return False
    return True


def choose_precision(device: str, asked: Precision | Literal["auto"] = "auto") -> Precision:
    """The precision of feature maps on a device.

    Args:
        device: `cpu` or `cuda:N`.
        asked: What is wanted on CUDA; `auto` takes float16 there. The CPU computes in float32.

    Returns:
        The precision.

    Example:
        >>> choose_precision("cpu", "float16"), choose_precision("cuda:0")
        ('float32', 'float16')
    """
    if device == "cpu":
        return "float32"
    return "float16" if asked == "auto" else asked
