"""Structured logs: one JSON object a line on standard error, with the request id where one is.

No log line ever blocks its caller: lines wait in a bounded queue for a thread that writes them, and
a line that finds the queue full is dropped and counted. So a standard error that nobody reads costs
lines, and not the service.
"""

import atexit
import contextvars
import json
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

request_id_of_context: contextvars.ContextVar[str | None] = contextvars.ContextVar(
    "request_id", default=None
)
"""The request that this task works for; set by `RequestContext`, read by every log line."""

MAX_WAITING_LINES = 4096
FLUSH_TIMEOUT_S = 1.0
"""How long the end of the process waits for lines that are not written yet."""

_PLAIN_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",  # uvicorn's second copy of its message, for terminals.
}


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON; what a caller passed as `extra` becomes fields.

    Names with an underscore in front are a library's own marks on its records, and are left out.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Format one record."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, object] = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        request_id = request_id_of_context.get()
        if request_id is not None:
            line["request_id"] = request_id
        for name, value in vars(record).items():
            if name not in _PLAIN_ATTRIBUTES and not name.startswith("_"):
                line[name] = value
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class NonBlockingHandler(logging.Handler):
    """Hands lines to a thread that writes them; drops and counts what does not fit.

    Args:
        write: Writes bytes; it may block for as long as it likes.
        max_waiting: Lines that may wait for it.
    """

    def __init__(
        self, write: Callable[[bytes], object], *, max_waiting: int = MAX_WAITING_LINES
    ) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self._write = write
        self._lines: queue.Queue[bytes] = queue.Queue(max_waiting)
        self._dropped = 0
        self._said_dropped = 0
        self._thread: threading.Thread | None = None

    @property
    def dropped(self) -> int:
        """Lines that were dropped so far."""
        return self._dropped

    def emit(self, record: logging.LogRecord) -> None:
        """Take one record; the calling thread only formats it."""
        if self._thread is None:
            # Not before the first line: a process that forks must not inherit half a thread.
            self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
            self._thread.start()
        try:
            self._lines.put_nowait(self.format(record).encode() + b"\n")
        except queue.Full:
            self._dropped += 1

    def flush_within(self, timeout_s: float) -> None:
        """Wait until every line is written, but no longer than that."""
        deadline = time.monotonic() + timeout_s
        while self._lines.unfinished_tasks and time.monotonic() < deadline:
            time.sleep(0.005)

    def _run(self) -> None:
        while True:
            line = self._lines.get()
            with suppress(OSError):  # Standard error is closed: nobody is left to read it.
                self._write(line)
                self._say_dropped()
            self._lines.task_done()

    def _say_dropped(self) -> None:
        dropped = self._dropped
        if dropped > self._said_dropped:
            record = logging.makeLogRecord(
                {
                    "name": __name__,
                    "levelno": logging.WARNING,
                    "levelname": "WARNING",
                    "msg": "log lines were dropped",
                    "lines": dropped - self._said_dropped,
                }
            )
            self._said_dropped = dropped
            self._write(self.format(record).encode() + b"\n")


def count_dropped_lines() -> int:
    """Lines that this process could not write so far."""
    handlers = logging.getLogger().handlers
    return sum(one.dropped for one in handlers if isinstance(one, NonBlockingHandler))


def flush_logs() -> None:
    """Wait a moment for the lines of this process that are not written yet."""
    for one in logging.getLogger().handlers:
        if isinstance(one, NonBlockingHandler):
            one.flush_within(FLUSH_TIMEOUT_S)


def configure_logs(level: str) -> None:
    """Send every log line of this process to standard error as JSON.

    Args:
        level: Least severe level that is written: `debug`, `info`, `warning` or `error`.
    """
    handler = NonBlockingHandler(_write_to_standard_error)
    atexit.register(flush_logs)
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    # Its line holds the raw path and the client's address; RequestContext writes ours instead.
    logging.getLogger("uvicorn.access").disabled = True


def _write_to_standard_error(line: bytes) -> None:
    # Not through sys.stderr: a thread that is blocked in it would hold its lock at the exit.
    view = memoryview(line)
    while view:
        view = view[os.write(sys.stderr.fileno(), view) :]
