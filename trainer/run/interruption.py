"""A polite end: SIGTERM and SIGINT let the running step finish."""

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

SIGNALS = (signal.SIGTERM, signal.SIGINT)

Handler = Callable[[int, FrameType | None], object] | int | None


class StopRequest:
    """Take note of a stop signal instead of dying of it, while the context is open.

    Python delivers signals to the main thread alone; in any other nothing is caught.

    Attributes:
        signal_name: The first signal that came, None before it.
    """

    def __init__(self) -> None:
        self.signal_name: str | None = None
        self._previous: dict[signal.Signals, Handler] = {}

    @property
    def is_set(self) -> bool:
        """A signal has come."""
        return self.signal_name is not None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal_name = self.signal_name or signal.Signals(number).name


def ignore_stop_signals(index: int) -> None:
    """Make a process that prepares triples deaf to stop signals.

    A stop signal to the process group, as torchrun, a terminal or an init system sends it, would
    kill it in the middle of the step that is to be finished. It ends with the loader.

    Args:
        index: Number of the process.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
