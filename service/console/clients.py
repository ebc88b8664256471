"""Opens the client of a service for a command, and tells its errors as a command tells them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from service.console.exits import EXIT_FAILED, EXIT_MISUSED, CommandError
from service.console.options import FuseChoices

if TYPE_CHECKING:
    from expofuse.client import Client, FuseOptions


@contextmanager
def open_client(server: str) -> Iterator["Client"]:
    """Open a client for the length of a `with`; its calls belong into `explaining_client`.

    Args:
        server: URL of the service.

    Raises:
        CommandError: The client's library is not installed, or the URL is none.
    """
    try:
        from expofuse.client import Client
    except ImportError as cause:
        raise CommandError.of_missing("client", "to ask a service") from cause
    with explaining_client():
        client = Client(server)
    with client:
        yield client


@contextmanager
def explaining_client() -> Iterator[None]:
    """Turn the client's errors into the end of a command, or of a bracket.

    Raises:
        CommandError: The service refused, failed, or could not be reached.
    """
    from expofuse.client import ClientError, NoAnswerError, UsageError

    try:
        yield
    except ClientError as cause:
        exit_code = EXIT_MISUSED if isinstance(cause, UsageError) else EXIT_FAILED
        silent = "no-answer" if isinstance(cause, NoAnswerError) else "unexpected-answer"
        code = getattr(cause, "code", "") or silent
        raise CommandError(str(cause), exit_code, code=code) from cause


def make_client_options(choices: FuseChoices) -> "FuseOptions":
    """The choices as the client takes them."""
    return {
        "weights": choices.weights,
        "align": choices.align,
        "ghosts": choices.ghosts,
        "crop": choices.crop,
        "reference": choices.reference,
        "format": choices.format,
        "quality": choices.quality,
        "bit_depth": choices.bit_depth,
        "subsampling": choices.subsampling,
        "progressive": choices.progressive,
        "metadata": choices.metadata,
        "profile": choices.profile,
    }
