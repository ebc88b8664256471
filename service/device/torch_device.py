"""What the device worker asks torch for on CUDA; imported where the device is one of CUDA alone."""

import torch

from service.device import backend


def classify_error(error: Exception) -> backend.FailureKind:
    """Tell the kinds of failure apart that torch reports.

    CUDA's errors other than out-of-memory are sticky: every later call fails too, so the process
    has to end. Where not torch's allocator but CUDA itself lacks memory, for a kernel's code or a
    graph, it is an error of the device with these words.
    """
    causes = (error, error.__cause__)
    if any(isinstance(cause, torch.OutOfMemoryError) for cause in causes):
        return "memory"
    if any(
        isinstance(cause, torch.AcceleratorError) and "out of memory" in str(cause)
        for cause in causes
    ):
        return "memory"
    if any(isinstance(cause, torch.AcceleratorError) for cause in causes):
        return "device"
    return backend.classify_error(error)


def free_memory() -> None:
    """Give the allocator's cached device memory back before a smaller attempt."""
    torch.cuda.empty_cache()


def measure_memory() -> int:
    """Bytes of device memory that torch's allocator holds, used or cached, of all devices."""
    return sum(_count_reserved(index) for index in range(torch.cuda.device_count()))


def _count_reserved(index: int) -> int:
    """As `torch.cuda.memory_reserved`, which puts all other counts in order each time."""
    stats = torch.cuda.memory_stats_as_nested_dict(index)
    reserved: int = stats["reserved_bytes"]["all"]["current"] if stats else 0
    return reserved
