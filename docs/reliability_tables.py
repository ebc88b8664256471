"""Writes the tables of `reliability.md` from the records of `bench/results`."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trainer.markdown import draw_table

RESULTS = Path(__file__).parents[1] / "bench" / "results"
PLACE = re.compile(r"<!-- (\w+) -->\n.*?<!-- end -->", re.DOTALL)
NOT_MEASURED = "Not measured yet."
Record = Mapping[str, Any]


def fill_tables(page: str, results: Path = RESULTS) -> str:
    """The page with every table as the records have it.

    Args:
        page: Text with places for tables: a comment with the name, whatever stands there, and
            a comment `end`.
        results: Folder of the records.
    """

    def fill(place: re.Match[str]) -> str:
        lines = "\n".join(_write(place[1], results))
        return f"<!-- {place[1]} -->\n{lines}\n<!-- end -->"

    return PLACE.sub(fill, page)


def _write(name: str, results: Path) -> Iterator[str]:
    suite, write = TABLES[name]
    path = results / f"{suite}.json"
    if not path.exists():
        yield NOT_MEASURED
        return
    record = json.loads(path.read_text(encoding="utf-8"))
    machine = record["machine"]
    yield (
        f"[{path.name}](../bench/results/{path.name}): commit {record['commit']}, "
        f"{machine['cores']} cores ({machine['cpu']}), load "
        f"{machine['load_average'][0]} at the end.\n"
    )
    yield from write(record["facts"])
    if name == suite and path.with_suffix(".svg").exists():
        yield f"\n![Curves of the record](../bench/results/{suite}.svg)"


def write_faults(facts: Record) -> Iterator[str]:
    """A row for each fault."""
    rows = []
    left_out = []
    for one in facts["faults"]:
        if "skipped" in one:
            left_out.append(f"{one['name']} ({one['skipped']})")
            continue
        rows.append(
            (
                one["what"],
                str(one["sent"]),
                str(one["answered"]),
                str(one["refused"]),
                _count(one["others"]),
                str(one["lost"]),
                str(one["answered_twice"]),
                str(one["wrong_pictures"]),
                f"{one['longest_silence_s']:.2f} s",
                "not" if one["recovered_s"] is None else f"{one['recovered_s']:.1f} s",
                *_compare(one["before"], one["after"]),
                str(one["ended_processes"]),
                _count(one["ends"]),
            )
        )
    names = (
        "fault", "sent", "200", "503", "others", "lost", "twice", "wrong", "silent", "back after",
        "processes", "MiB", "files", "ended", "those who did it",
    )  # fmt: skip
    yield from draw_table(names, rows)
    if left_out:
        yield f"\nNot done: {'; '.join(left_out)}."


def _count(counts: Record) -> str:
    return ", ".join(f"{name}: {count}" for name, count in counts.items()) or "0"


def _compare(before: Record, after: Record | None) -> tuple[str, str, str]:
    """Processes, memory and files before and after."""

    def tell(weight: Record | None, field: str) -> str:
        if weight is None:
            return "?"
        value = weight[field]
        return str(sum(value.values())) if isinstance(value, dict) else f"{value:.0f}"

    fields = ("processes", "memory_mib", "open_files")
    processes, memory, files = (
        f"{tell(before, field)} to {tell(after, field)}" for field in fields
    )
    return processes, memory, files


def write_load(facts: Record) -> Iterator[str]:
    """A row for each level of load."""
    capacity = facts["capacity"]
    shares = ", ".join(
        f"{100 * share:.0f} % of {name} ({capacity['core_s_per_request'][name]:.2f} core-s each)"
        for name, share in capacity["shares"].items()
    )
    yield f"Capacity: {capacity['requests_per_s']:.2f} requests a second of {shares}.\n"
    kinds = list(capacity["shares"])
    rows = [
        (
            f"{level['times_capacity']:g}",
            f"{level['offered_per_s']:.2f}",
            f"{level['goodput_per_s']:.2f}",
            f"{level['goodput_megapixels_per_s']:.1f}",
            *(_ranks(level["latency_by_kind_s"][kind]) for kind in kinds),
            str(level["refused"]),
            _waits(level["retry_after_s"]),
            f"{level['lost']}; {level['other']}; {level['wrong_pictures']}",
            f"{100 * level['client_share_of_core_time']:.0f} %",
        )
        for level in facts["levels"]
    ]
    latencies = (f"{kind}: p50; p95; p99, s (number)" for kind in kinds)
    names = ("times capacity", "sent a second", "answered a second", "MP a second", *latencies)
    ends = (
        "503",
        "Retry-After: p50; most, s",
        "lost; others; wrong",
        "clients' share of the cores",
    )
    yield from draw_table((*names, *ends), rows)


def _ranks(found: Record | None) -> str:
    if found is None:
        return "none"
    return f"{found['p50']:.2f}; {found['p95']:.2f}; {found['p99']:.2f} ({found['count']})"


def _waits(found: Record | None) -> str:
    return "" if found is None else f"{found['p50']:g}; {found['max']:g}"


def write_neighbours(facts: Record) -> Iterator[str]:
    """What large requests of others cost a small one."""
    found = facts["small_beside_large"]
    yield f"{found['small']}, alone and beside {found['large']}, in turn.\n"
    rows = [
        ("alone", _ranks(found["alone_s"]), "", ""),
        (
            "beside",
            _ranks(found["beside_s"]),
            _spread(found["ratio_of_medians"]),
            _spread(found["ratio_of_p95"]),
        ),
    ]
    names = ("small requests", "p50; p95; p99, s (number)", "ratio of medians", "ratio of p95")
    yield from draw_table(names, rows)
    if found["refused_beside"]:
        yield f"\n{found['refused_beside']} were refused beside the large ones."


def _spread(values: Record | None) -> str:
    if values is None:
        return ""
    return f"{values['median']:.1f} ({values['min']:.1f} to {values['max']:.1f})"


def write_soak(facts: Record) -> Iterator[str]:
    """A row for each process."""
    yield (
        f"{facts['minutes']:g} minutes, {facts['sent']} requests: {facts['answered']} answered, "
        f"{facts['refused']} refused, {facts['lost']} lost, {facts['other']} others, "
        f"{facts['wrong_pictures']} wrong.\n"
    )
    rows = []
    for name, found in facts["processes"].items():
        for kind in ("private", "resident"):
            trend = found[f"{kind}_mib"]
            rows.append(
                (
                    name,
                    kind,
                    f"{trend['first']:.0f} to {trend['last']:.0f}",
                    f"{trend['least']:.0f} to {trend['most']:.0f}",
                    f"{trend['slope_per_hour']:.1f}",
                    f"{100 * trend['largest_deviation']:.0f} %",
                    "yes" if trend["is_flat"] else "no",
                    " to ".join(map(str, found["open_files"])),
                    str(found["restarts"]),
                )
            )
    names = (
        "process", "memory", "MiB, first to last tenth", "least to most", "MiB an hour", "deviates",
        "flat", "files, first to most", "restarts",
    )  # fmt: skip
    yield from draw_table(names, rows)


TABLES = {
    "faults": ("faults", write_faults),
    "load": ("load", write_load),
    "neighbours": ("load", write_neighbours),
    "soak": ("soak", write_soak),
}
"""The suite whose record a table is of, and what writes it."""
