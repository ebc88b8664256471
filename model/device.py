"""Finds the device that a setting names, and the precision that the device computes in."""

from typing import Literal

import torch

Precision = Literal["float32", "bfloat16", "float16"]

PRECISIONS: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def resolve_device(device: str) -> str:
    """Turn the device setting into a device that is there.

    Args:
        device: `auto`, `cpu`, `cuda` or `cuda:N`.

    Returns:
        `cpu` or `cuda:N`; `auto` takes the first CUDA device and the CPU where there is none.

    Raises:
        ValueError: The device is none of these, or this machine has no such device.

    Example:
        >>> resolve_device("cpu")
        'cpu'
    """
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return "cuda:0" if available else "cpu"
    if device == "cpu":
        return device
    kind, _, number = device.partition(":")
    index = number or "0"
    if kind != "cuda" or not index.isdecimal():
        raise ValueError(f"expected auto, cpu or cuda:N as the device, got '{device}'")
    if int(index) >= available:
        raise ValueError(f"expected a device below cuda:{available}, got '{device}'")
    return f"cuda:{int(index)}"


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
