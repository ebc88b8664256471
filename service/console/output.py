"""Writes the outcome of a command for programmes: one JSON value on a line."""

import json
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

CommandFunction = TypeVar("CommandFunction", bound=Callable[..., Any])


def json_option(function: CommandFunction) -> CommandFunction:
    """Declare `--json`, the argument `as_json` of a command."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Write the outcome as JSON to standard output."
    )(function)


def write_json(document: object) -> None:
    """Write one JSON value on a line of standard output."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
