"""Measures speed and memory, beside others that do the same; the suites of `bench/suites`.

python -m bench                         # every suite
python -m bench request align           # some of them
python -m bench --quick                 # small versions, two minutes on two cores
python -m bench load soak faults        # how reliable it is: only when they are named
python -m bench faults --only NAME      # one fault; NAME as the record has it
python -m bench soak --minutes 5        # another length than half an hour

Writes SUITE.json, and SUITE.svg where there are curves, to `bench/results`; small versions go to
`bench/results/quick`. The settings of the environment apply to the service (`EXPOFUSE_WEIGHTS`,
`EXPOFUSE_DEVICE`, ...).
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from dataclasses import replace
from pathlib import Path

from bench.measurement import CLOCKS, OURS, Measurement
from bench.plots import write_plot
from bench.repository import ROOT
from bench.scope import FULL, QUICK, Outcome, Scope
from bench.timing import make_document
from expofuse.bundled_weights import DEFAULT_WEIGHTS, locate_weights

SUITES = ("request", "align", "fuse", "codec", "service", "start", "peers")
RELIABILITY = ("load", "soak", "faults")
"""Suites that run only when they are named: an hour of a machine that does nothing else."""

RESULTS = ROOT / "bench" / "results"


def main(argv: list[str] | None = None) -> None:
    """Run the suites that were asked for, one after the other."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    known = (*SUITES, *RELIABILITY)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(known)}")
    parser.add_argument("--quick", action="store_true", help="small versions of them")
    parser.add_argument("--repeats", type=int, help="counted rounds")
    parser.add_argument("--weights", default=DEFAULT_WEIGHTS, help="NAME-VERSION, or a path")
    parser.add_argument("--minutes", type=float, help="length of the soak")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="one fault")
    parser.add_argument("--out", type=Path, help="folder of the results")
    options = parser.parse_args(argv)
    unknown = sorted(set(options.suites) - set(known))
    if unknown:
        parser.error(f"expected suites of {', '.join(known)}, got {', '.join(unknown)}")
    if options.repeats is not None and options.repeats < 1:
        parser.error(f"expected at least one repeat, got {options.repeats}")
    scope = replace(QUICK if options.quick else FULL, weights_dir=locate_weights(options.weights))
    if options.repeats is not None:
        repeats = options.repeats
        scope = replace(scope, repeats=repeats, curve_repeats=repeats, load_rounds=repeats)
    if options.minutes is not None:
        scope = replace(scope, soak_minutes=options.minutes)
    scope = replace(scope, only_faults=tuple(options.only))
    out = options.out or (RESULTS / "quick" if options.quick else RESULTS)
    for suite in dict.fromkeys(options.suites or SUITES):
        begin_s = time.monotonic()
        outcome = run_suite(suite, scope, out)
        print(f"\n{suite}: {time.monotonic() - begin_s:.0f} s, {out / suite}.json")
        if outcome.headline:
            print(outcome.headline)
        for measurement in outcome.measurements:
            print(summarise(measurement))


def run_suite(suite: str, scope: Scope, out: Path) -> Outcome:
    """Run one suite and write its record and its plot.

    Args:
        suite: One of `SUITES` or `RELIABILITY`.
        scope: How much is measured.
        out: Folder of the results.
    """
    outcome: Outcome = importlib.import_module(f"bench.suites.{suite}").run(scope)
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(make_document(make_record(suite, scope, outcome)), indent=1)
    (out / f"{suite}.json").write_text(text + "\n", encoding="utf-8")
    if outcome.curves:
        write_plot(out / f"{suite}.svg", f"{suite}, {scope.name}", outcome.curves)
    return outcome


def make_record(suite: str, scope: Scope, outcome: Outcome) -> dict[str, object]:
    """What a suite found, in the form of `bench/record.schema.json`."""
    return {
        "suite": suite,
        "scope": scope.name,
        "repeats": scope.repeats,
        "curve_repeats": scope.curve_repeats,
        "measurements": [one.describe() for one in outcome.measurements],
        "curves": [curve.describe() for curve in outcome.curves],
        "facts": outcome.facts,
    }


def summarise(measurement: Measurement) -> str:
    """One line: our time and core time, and the ratio to every other way."""
    described = measurement.describe()
    ours = measurement.rounds[OURS]
    medians = [sorted(getattr(cost, clock) for cost in ours)[len(ours) // 2] for clock in CLOCKS]
    line = f"  {measurement.name}: {medians[0]:.3f} s, core {medians[1]:.3f} s"
    ratios = described["ratios"]
    assert isinstance(ratios, dict)
    for way, ratio in ratios.items():
        line += f"; {ratio['wall']['median']:.2f} of {way}" if "wall" in ratio else ""
    for way, reason in measurement.skipped.items():
        line += f"; {way}: {reason}"
    return line


if __name__ == "__main__":
    main()
