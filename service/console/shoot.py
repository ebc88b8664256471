"""Finds the brackets that `group` and `batch` work on: in a folder, or in a list of groups."""

from pathlib import Path

from expofuse.errors import GroupsError
from expofuse.grouping import Groups, Single, group_files
from expofuse.grouping.files import list_pictures
from expofuse.grouping.frame import FrameKind
from service.console.exits import EXIT_MISUSED, CommandError


def find_groups(
    folder: Path, *, prefer: FrameKind = "picture", without: Path | None = None
) -> Groups:
    """Find the brackets among the pictures below a folder.

    Args:
        folder: Of the shoot; file names in the answer are relative to it.
        prefer: Which of a raw file and the picture beside it is used.
        without: A folder below it that is left out, with all its pictures: results lie there.

    Raises:
        CommandError: There is no such folder.
    """
    try:
        paths = list_pictures(folder, without=without)
    except NotADirectoryError as cause:
        raise CommandError(f"expected a folder, '{folder}' is a file", EXIT_MISUSED) from cause
    except FileNotFoundError as cause:
        raise CommandError(f"expected a folder, there is no '{folder}'", EXIT_MISUSED) from cause
    return group_files(paths, folder, prefer=prefer)


def read_groups(file: Path, folder: Path) -> Groups:
    """Read what `expofuse group` wrote and a person may have edited.

    Args:
        file: The JSON.
        folder: To which its file names are relative.

    Returns:
        The groups; what the folder holds besides is not in them.

    Raises:
        CommandError: It cannot be read, is of another form, or names a file that is not there.
    """
    try:
        groups = Groups.from_json(file.read_bytes())
    except OSError as cause:
        raise CommandError(f"{cause.strerror}: '{file}'", EXIT_MISUSED, code="file") from cause
    except GroupsError as cause:
        raise CommandError(cause.message, EXIT_MISUSED, code=cause.code) from cause
    missing = [
        name for one in groups.brackets for name in one.names if not (folder / name).is_file()
    ]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise CommandError(
            f"expected the files that '{file}' names, there is no '{missing[0]}'{more}",
            EXIT_MISUSED,
            code="file",
        )
    return groups


def describe_groups(groups: Groups) -> list[str]:
    """The groups as lines for a person."""
    lines = []
    for number, bracket in enumerate(groups.brackets, 1):
        lines.append(f"bracket {number}: {bracket.reason or 'as listed'}")
        lines += [f"  {name}" for name in bracket.names]
    if groups.singles:
        lines.append(f"{len(groups.singles)} in no bracket")
        lines += [f"  {_describe_single(one)}" for one in groups.singles]
    return lines


def _describe_single(single: Single) -> str:
    return f"{single.name}: {single.reason}" if single.reason else single.name
