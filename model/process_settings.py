"""Holds settings of the whole process while at least one thread computes under them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Generic, TypeVar

Found = TypeVar("Found")


class SharedSettings(Generic[Found]):
    """Settings of the process that several threads may hold at the same time.

    A context manager that saves settings, changes them and puts them back is wrong as soon as two
    threads overlap: the second one saves what the first one has changed, and puts that back for
    good. Here the first thread to come changes the settings, and the last one to go puts them back.

    Args:
        change: Makes the context manager that changes the settings and puts them back; what it
            yields is what every holder is given.
    """

    def __init__(self, change: Callable[[], AbstractContextManager[Found]]) -> None:
        self._change = change
        self._lock = threading.Lock()
        self._found: list[Found] = []
        self._restore = ExitStack()
        self._holders = 0

    @contextmanager
    def hold(self) -> Iterator[Found]:
        """Keep the settings changed within the block."""
        with self._lock:
            if self._holders == 0:
                self._found = [self._restore.enter_context(self._change())]
            self._holders += 1
        try:
            yield self._found[0]
        finally:
            with self._lock:
                self._holders -= 1
                if self._holders == 0:
                    self._restore.close()
