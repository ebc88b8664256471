"""Reads `CHANGELOG.md`; `python -m deploy.release.changelog 1.0.0` prints a version's changes."""

import re
import sys
from dataclasses import dataclass
from datetime import date

from deploy.release.version import ROOT

CHANGELOG = ROOT / "CHANGELOG.md"
UNRELEASED = "Unreleased"
KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
"""Headings of Keep a Changelog, version 1.1.0."""

_HEADING = re.compile(r"^## \[(.+?)\](?: - (\S+))?$", re.MULTILINE)
_KIND = re.compile(r"^### (.+)$", re.MULTILINE)


class ChangelogError(ValueError):
    """The file has not the form of Keep a Changelog, or not the version."""


@dataclass(frozen=True, slots=True)
class Section:
    """What one version changes.

    Attributes:
        released: The day; none of what is not released.
        text: Its lines, without the heading.
    """

    released: date | None
    text: str


def read_sections(text: str) -> dict[str, Section]:
    """Sections by their versions, newest first.

    Raises:
        ChangelogError: A heading, a day or a kind of change is not as it should be.

    Example:
        >>> list(read_sections("## [Unreleased]"))
        ['Unreleased']
    """
    headings = list(_HEADING.finditer(text))
    if [one[1] for one in headings[:1]] != [UNRELEASED]:
        raise ChangelogError(f"expected [{UNRELEASED}] as the first heading")
    sections: dict[str, Section] = {}
    for heading, following in zip(headings, [*headings[1:], None], strict=True):
        version, day = heading[1], heading[2]
        if version in sections:
            raise ChangelogError(f"expected [{version}] once")
        if (day is None) != (version == UNRELEASED):
            raise ChangelogError(f"expected a day for every version but {UNRELEASED}: {version}")
        body = text[heading.end() : following.start() if following else None]
        if unknown := set(_KIND.findall(body)).difference(KINDS):
            raise ChangelogError(f"expected one of {', '.join(KINDS)}, got {', '.join(unknown)}")
        sections[version] = Section(_read_day(day), body.strip())
    return sections


def _read_day(day: str | None) -> date | None:
    try:
        return date.fromisoformat(day) if day else None
    except ValueError as cause:
        raise ChangelogError(f"expected a day as 2026-11-29, got {day}") from cause


def read_changes(version: str) -> Section:
    """The section of a version.

    Raises:
        ChangelogError: There is none, or it is empty.
    """
    section = read_sections(CHANGELOG.read_text()).get(version)
    if section is None or not section.text:
        raise ChangelogError(f"CHANGELOG.md says nothing of {version}")
    return section


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m deploy.release.changelog VERSION")
    sys.stdout.write(read_changes(sys.argv[1]).text + "\n")
