"""The named stages of one request and the time each of them took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

Stage = Literal["receive", "decode", "align", "queue", "fuse", "encode"]


class StageTimes:
    """A stopwatch for the stages of one request.

    Example:
        >>> times = StageTimes()
        >>> times.record("queue", 0.25)
        >>> times.server_timing()
        'receive;dur=0.0, decode;dur=0.0, align;dur=0.0, queue;dur=250.0, fuse;dur=0.0, \
encode;dur=0.0'
    """

    def __init__(self) -> None:
        self.seconds: dict[Stage, float] = {}

    @contextmanager
    def measure(self, stage: Stage) -> Iterator[None]:
        """Time a block; a block that raises is timed too."""
        begin = time.monotonic()
        try:
            yield
        finally:
            self.record(stage, time.monotonic() - begin)

    def record(self, stage: Stage, seconds: float) -> None:
        """Note a time that was taken elsewhere."""
        self.seconds[stage] = seconds

    def server_timing(self) -> str:
        """The value of a `Server-Timing` header: every stage in order, in milliseconds."""
        return ", ".join(
            f"{stage};dur={self.seconds.get(stage, 0.0) * 1000:.1f}" for stage in get_args(Stage)
        )
