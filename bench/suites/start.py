"""Times the start of the service and weighs what it holds when idle and what it needs installed."""

from __future__ import annotations

import sys
import time
import tomllib
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bench.measurement import describe_values
from bench.processes import (
    MIB,
    list_family,
    read_family_core_time,
    read_memory,
    read_memory_by_role,
)
from bench.repository import ROOT
from bench.running_service import watched_service
from bench.scope import Outcome, Scope

SETTLE_S = 1.0
"""Seconds after the start at which it counts as idle."""

EXTRA = "service"
BLOCK_BYTES = 512


def run(scope: Scope) -> Outcome:
    """Start the service some times; weigh the environment once."""
    ready_s: list[float] = []
    core_s: list[float] = []
    idle_mib: list[float] = []
    kind, by_role = "pss", {}
    for _ in range(scope.starts):
        with watched_service() as service:
            ready_s.append(service.ready_s)
            core_s.append(read_family_core_time(service.pid))
            time.sleep(SETTLE_S)
            memory = read_memory(list_family(service.pid))
            idle_mib.append(memory.mib)
            kind, by_role = memory.kind, read_memory_by_role(service.pid)
    installed = weigh_environment()
    return Outcome(
        [],
        headline=f"  ready after {min(ready_s):.2f} s or more, {max(idle_mib):.0f} MiB when idle, "
        f"{installed['service_mib']} MiB installed",
        facts={
            "starts": scope.starts,
            "ready_s": describe_values(ready_s),
            "core_s_until_ready": describe_values(core_s),
            "idle_memory_mib": describe_values(idle_mib),
            "idle_memory_kind": kind,
            "idle_memory_by_process_mib": by_role,
            "installed": installed,
        },
    )


def weigh_environment() -> dict[str, object]:
    """Size on disk of what the service needs, and of the whole environment that runs this.

    What it needs are the requirements of `pyproject.toml`, its extra for the service, and all that
    those ask for in turn, as far as they are installed here.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"][EXTRA]]
    needed, missing = find_needed(wanted)
    sizes = {name: weigh(found) for name, found in needed.items()}
    largest = sorted(sizes, key=lambda name: sizes[name], reverse=True)[:8]
    prefix = Path(sys.prefix)
    whole = None if sys.prefix == sys.base_prefix else sum(_on_disk(prefix.rglob("*"))) / MIB
    return {
        "service_mib": round(sum(sizes.values()), 1),
        "distributions": len(sizes),
        "largest_mib": {name: round(sizes[name], 1) for name in largest},
        "missing": missing,
        "whole_environment_mib": None if whole is None else round(whole, 1),
    }


def find_needed(wanted: Iterable[str]) -> tuple[dict[str, Distribution], list[str]]:
    """All distributions that requirements lead to, and those that are not installed.

    Args:
        wanted: Requirements as `pyproject.toml` writes them.
    """
    found: dict[str, Distribution] = {}
    missing: set[str] = set()
    seen: set[tuple[str, str]] = set()
    left = [(Requirement(one), "") for one in wanted]
    while left:
        requirement, extra = left.pop()
        name = str(canonicalize_name(requirement.name))
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        for asked in ("", *requirement.extras):
            if (name, asked) in seen:
                continue
            seen.add((name, asked))
            try:
                one = distribution(name)
            except PackageNotFoundError:
                missing.add(name)
                continue
            found[name] = one
            left += [(Requirement(text), asked) for text in one.requires or ()]
    return found, sorted(missing)


def weigh(one: Distribution) -> float:
    """Size on disk of the files of a distribution, in MiB."""
    return sum(_on_disk(Path(str(file.locate())) for file in one.files or ())) / MIB


def _on_disk(paths: Iterable[Path]) -> Iterable[int]:
    for path in paths:
        if path.is_file() and not path.is_symlink():
            yield path.stat().st_blocks * BLOCK_BYTES
