"""Says when a codec process has worked enough: after many calls, or when it has grown.

Libraries that decode a hundred kinds of damaged file leak now and then, and a heap that held a
large picture stays in pieces. A process that is replaced before that matters costs a start in the
background.
"""

from dataclasses import dataclass

from service.processes.memory import measure_private_bytes


@dataclass(frozen=True, slots=True)
class WearLimits:
    """After what a codec process is replaced by a new one.

    Attributes:
        calls: Calls that it has answered.
        growth_bytes: Private memory beyond what it had when it was warmed up.
    """

    calls: int = 1000
    growth_bytes: int = 1 << 28


class Wear:
    """What one process has been through.

    Args:
        limits: After what it is worn.
    """

    def __init__(self, limits: WearLimits) -> None:
        self._limits = limits
        self._calls = 0
        self._least_bytes: int | None = None

    def begin(self, pid: int | None) -> None:
        """A new process is warmed up."""
        self._calls = 0
        self._least_bytes = measure_private_bytes(pid)

    def count_call(self) -> None:
        """It has answered a call."""
        self._calls += 1

    def is_worn(self, pid: int | None) -> bool:
        """The process should be replaced; asked while it is idle."""
        if self._calls >= self._limits.calls:
            return True
        now_bytes = measure_private_bytes(pid)
        if now_bytes is None or self._least_bytes is None:
            return False
        return now_bytes - self._least_bytes > self._limits.growth_bytes
