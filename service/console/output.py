"""Writes the outcome of a command: pictures, and for programmes one JSON value on a line."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

PIPE = Path("-")
"""Standard input or output, where a command takes a file."""

CommandFunction = TypeVar("CommandFunction", bound=Callable[..., Any])


def json_option(function: CommandFunction) -> CommandFunction:
    """Declare `--json`, the argument `as_json` of a command."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Write the outcome as JSON to standard output."
    )(function)


def write_json(document: object) -> None:
    """Write one JSON value on a line of standard output."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")


def write_picture(content: bytes, out: Path) -> None:
    """Write a picture to a file, whole or not at all, or to standard output.

    Args:
        content: The encoded picture.
        out: Path of the file; `PIPE` for standard output.

    Raises:
        OSError: It cannot be written.
    """
    if out == PIPE:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    from expofuse.files.writing.destination import open_destination

    with open_destination(out) as file:
        file.write(content)
