"""What the modules behind the command line share."""

import argparse
from collections.abc import Callable
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""Where a command adds its parser."""


def at_least(low: int) -> Callable[[str], int]:
    """Type of an argument that is a whole number not below `low`."""

    def number(text: str) -> int:
        value = int(text)
        if value < low:
            raise argparse.ArgumentTypeError(f"expected at least {low}, got {value}")
        return value

    return number


def names(text: str) -> tuple[str, ...]:
    """Type of an argument that is a list of names, separated by commas.

    Example:
        >>> names("ours, theirs,")
        ('ours', 'theirs')
    """
    return tuple(name.strip() for name in text.split(",") if name.strip())
