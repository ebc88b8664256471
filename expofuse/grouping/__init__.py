"""Finds the brackets in the files of a whole shoot."""

from expofuse.grouping.files import group_files
from expofuse.grouping.frame import BracketMark, Frame
from expofuse.grouping.group import group_frames
from expofuse.grouping.groups import Bracket, Groups, Single
from expofuse.grouping.headers import read_frames

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
