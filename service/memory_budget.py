"""Lowers the budgets until all of them together fit the memory that there is."""

import logging

from service.processes.control_groups import find_memory_bytes
from service.settings import MIB, LimitSettings

BYTES_PER_MEGAPIXEL = 9_000_000
"""Shared memory of one megapixel in flight: two exposures and the picture, three bytes each."""

PRIVATE_BYTES_PER_MEGAPIXEL = 40_000_000
"""Memory of codec processes and worker for one megapixel in flight, at its dearest: two AVIF files
that are decoded at once take 20 MB a megapixel each, one that is written 30. JPEG takes less than
1, a progressive one 12, WebP 8, PNG and TIFF 5."""

LOOP_BYTES = 128 * MIB
WORKER_BYTES = 128 * MIB
CODEC_BYTES = 128 * MIB
"""What a process takes while nothing is in flight, 50 to 65 MiB, and what it keeps of what it has
freed."""

MEMORY_SHARE = 0.9
"""What of the memory is counted on; the rest is left to the system and to what is not foreseen."""

LEAST_MEGAPIXELS = 1.0
LEAST_BYTES = 4 << 20
"""No budget is lowered below these: a service that can do nothing is of no use."""

logger = logging.getLogger(__name__)


def sum_bounds(limits: LimitSettings, *, codec_processes: int) -> int:
    """Bytes of memory that the service takes at most within its budgets.

    Args:
        limits: The budgets.
        codec_processes: Number of codec processes.
    """
    return _sum_idle(codec_processes) + round(_sum_variable(limits))


def fit_memory(limits: LimitSettings, *, codec_processes: int) -> LimitSettings:
    """Lower the budgets of megapixels, bodies and pictures to the memory there is, and say so.

    Args:
        limits: As set; `memory_bytes` None takes what the machine or the container has.
        codec_processes: Number of codec processes.

    Returns:
        The limits that are enforced and published, with `memory_bytes`.
    """
    memory_bytes = limits.memory_bytes or find_memory_bytes()
    limits = limits.model_copy(update={"memory_bytes": memory_bytes})
    room = memory_bytes * MEMORY_SHARE - _sum_idle(codec_processes)
    factor = max(room, 0.0) / _sum_variable(limits)
    if factor >= 1:
        return limits
    megapixels = max(LEAST_MEGAPIXELS, limits.max_megapixels_in_flight * factor)
    upload_bytes = max(LEAST_BYTES, round(limits.max_upload_bytes * factor))
    lowered: dict[str, float] = {
        "max_megapixels_in_flight": min(limits.max_megapixels_in_flight, megapixels),
        "max_megapixels": min(limits.max_megapixels, megapixels),
        "max_upload_bytes": min(limits.max_upload_bytes, upload_bytes),
        "max_body_bytes": min(limits.max_body_bytes, upload_bytes),
        "max_response_bytes": min(
            limits.max_response_bytes, max(LEAST_BYTES, round(limits.max_response_bytes * factor))
        ),
    }
    logger.warning(
        "memory is smaller than the sum of the budgets; they are lowered. Give the container "
        "more, or set the budgets yourself",
        extra={"memory_mib": memory_bytes >> 20, **lowered},
    )
    return limits.model_copy(update=lowered)


def _sum_idle(codec_processes: int) -> int:
    return LOOP_BYTES + WORKER_BYTES + codec_processes * CODEC_BYTES


def _sum_variable(limits: LimitSettings) -> float:
    each = BYTES_PER_MEGAPIXEL + PRIVATE_BYTES_PER_MEGAPIXEL
    return (
        limits.max_megapixels_in_flight * each + limits.max_upload_bytes + limits.max_response_bytes
    )
