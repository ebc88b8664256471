"""Finds the brackets in the files of a whole shoot.

Names are imported on first use: grouping by facts alone loads no library that reads files.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from expofuse.grouping.files import group_files
    from expofuse.grouping.frame import BracketMark, Frame
    from expofuse.grouping.group import group_frames
    from expofuse.grouping.groups import Bracket, Groups, Single
    from expofuse.grouping.headers import read_frames

_HOME = {
    "Bracket": "expofuse.grouping.groups",
    "BracketMark": "expofuse.grouping.frame",
    "Frame": "expofuse.grouping.frame",
    "Groups": "expofuse.grouping.groups",
    "Single": "expofuse.grouping.groups",
    "group_files": "expofuse.grouping.files",
    "group_frames": "expofuse.grouping.group",
    "read_frames": "expofuse.grouping.headers",
}

__all__ = [
    "Bracket",
    "BracketMark",
    "Frame",
    "Groups",
    "Single",
    "group_files",
    "group_frames",
    "read_frames",
]


def __getattr__(name: str) -> object:
    """Import a public name from its module on first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'expofuse.grouping' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
