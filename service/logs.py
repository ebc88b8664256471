"""Structured logs: one JSON object a line on standard error, with the request id where one is."""

import contextvars
import json
import logging
import sys
from datetime import UTC, datetime

request_id_of_context: contextvars.ContextVar[str | None] = contextvars.ContextVar(
    "request_id", default=None
)
"""The request that this task works for; set by `RequestContext`, read by every log line."""

_PLAIN_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",  # uvicorn's second copy of its message, for terminals.
}


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON; what a caller passed as `extra` becomes fields."""

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
            if name not in _PLAIN_ATTRIBUTES:
                line[name] = value
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure_logs(level: str) -> None:
    """Send every log line of this process to standard error as JSON.

    Args:
        level: Least severe level that is written: `debug`, `info`, `warning` or `error`.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    # Its line holds the raw path and the client's address; RequestContext writes ours instead.
    logging.getLogger("uvicorn.access").disabled = True
