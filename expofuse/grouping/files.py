"""Finds the brackets in a folder of files."""

from collections.abc import Iterable
from pathlib import Path

from expofuse.grouping.frame import FrameKind
from expofuse.grouping.group import group_frames
from expofuse.grouping.groups import Groups
from expofuse.grouping.headers import read_frames

PICTURE_SUFFIXES = frozenset(
    (
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".avif", ".heic",
        ".heif", ".hif", ".bmp", ".3fr", ".arw", ".cr2", ".cr3", ".dng", ".erf", ".fff", ".iiq",
        ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".ori", ".pef", ".raf", ".raw",
        ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
    )
)  # fmt: skip
"""Files with other suffixes, films and sidecars for instance, are not looked at."""


def list_pictures(root: Path, *, without: Path | None = None) -> list[Path]:
    """The pictures below a folder, in the order of their names; hidden files and folders apart.

    Args:
        root: The folder.
        without: A folder that is left out.

    Raises:
        OSError: The folder is not there or cannot be read.
    """
    found: list[Path] = []
    left_out = None if without is None else without.resolve()
    for entry in sorted(root.iterdir()):
        if entry.name.startswith((".", "@")):
            continue
        if entry.is_dir():
            if entry.resolve() != left_out:
                found += list_pictures(entry, without=without)
        elif entry.suffix.lower() in PICTURE_SUFFIXES and entry.is_file():
            found.append(entry)
    return found


def group_files(
    paths: Iterable[Path], root: Path | None = None, *, prefer: FrameKind = "picture"
) -> Groups:
    """Find the brackets among files by their headers, and by their content where those say nothing.

    Args:
        paths: The files.
        root: Folder of the shoot, to which the names in the answer are relative.
        prefer: Which of a raw file and the picture beside it is used.

    Returns:
        See `group_frames`.
    """
    listed = list(paths)
    frames = read_frames(listed, root)
    if all(one.fault or one.light_ev is not None for one in frames):
        return group_frames(frames, prefer=prefer)
    from expofuse.grouping.content import Contents  # OpenCV, which headers alone do without

    files = {frame.name: path for frame, path in zip(frames, listed, strict=True)}
    return group_frames(frames, prefer=prefer, contents=Contents(files))
