"""Exit codes of `expofuse`, and the errors that lead to them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from model.errors import FusionError
from service.console.output import write_json

EXIT_FAILED = 1
"""It was tried and did not succeed."""

EXIT_MISUSED = 2
"""The command line, a setting or a list of brackets is not what it should be; nothing was done."""

EXIT_PARTLY = 3
"""Some brackets of a batch failed, all others are done."""

EXIT_INTERRUPTED = 130
"""By the keyboard."""

EXIT_SIGNALLED = 128
"""With the number of the signal added: it ended at once, as shells tell of it."""


class CommandError(Exception):
    """Ends a command; the message is one sentence.

    Args:
        message: What was expected and what came.
        exit_code: Of the process.
        code: Stable word for the kind of error, of `--json`.
        as_json: Tell it on standard output as JSON too.
    """

    def __init__(
        self,
        message: str,
        exit_code: int = EXIT_FAILED,
        *,
        code: str = "failed",
        as_json: bool = False,
    ) -> None:
        super().__init__(message)
        self.message, self.exit_code, self.code, self.as_json = message, exit_code, code, as_json

    @classmethod
    def of(cls, error: click.ClickException) -> "CommandError":
        """The same as one of click's errors."""
        return cls(error.format_message(), error.exit_code)

    @classmethod
    def of_missing(cls, extra: str, purpose: str) -> "CommandError":
        """The error of what is not installed.

        Args:
            extra: Of the package.
            purpose: What it is needed for, as in `to ask a service`.
        """
        return cls(
            f"expected the extra '{extra}' {purpose}, it is not installed: "
            f"pip install 'expofuse[{extra}]' does it",
            code="not-installed",
        )

    def tell(self) -> int:
        """Write it where a person, and a programme, look for it; returns the exit code."""
        if self.as_json:
            write_json({"error": {"code": self.code, "message": self.message}})
        sys.stderr.write(f"expofuse: {self.message}\n")
        return self.exit_code


@contextmanager
def explaining(*, as_json: bool = False) -> Iterator[None]:
    """Turn the errors of this project, of files and of a service into the end of a command.

    Args:
        as_json: The command was called with `--json`.

    Raises:
        CommandError: One of them was raised.
    """
    try:
        yield
    except CommandError as error:
        error.as_json = as_json
        raise
    except BrokenPipeError:
        raise
    except FAILURES as error:
        raise CommandError(say_failure(error), code=name_failure(error), as_json=as_json) from error


FAILURES = (CommandError, FusionError, OSError, MemoryError, ValueError)
"""What fusing may raise, here and through a service, where the input is at fault or the machine."""


def say_failure(error: BaseException) -> str:
    """One sentence about one of `FAILURES`."""
    if isinstance(error, MemoryError):
        return "there was not enough memory"
    if isinstance(error, OSError) and error.strerror:
        place = f": '{error.filename}'" if error.filename else ""
        return f"{error.strerror}{place}"
    return str(error)


def name_failure(error: BaseException) -> str:
    """A stable word for the kind of one of `FAILURES`."""
    if isinstance(error, OSError):
        return "file"
    if isinstance(error, MemoryError):
        return "memory"
    code = getattr(error, "code", "")
    return code if isinstance(code, str) and code else "failed"
