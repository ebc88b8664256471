"""Writes the pages that repeat what the code knows: problems, metrics, the trainer's commands.

The tables of `reliability.md` repeat records of `bench/results`; its text stays as it is.

python -m docs.write_reference  # `make docs` does; a test compares the pages with the code
"""

import argparse
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from prometheus_client.metrics_core import Metric

from docs.reliability_tables import fill_tables
from expofuse.bundled_weights import DEFAULT_WEIGHTS
from service.lifecycle import Service
from service.problem_types import CLIENT_LEFT_STATUS, PROBLEM_TYPES, type_of
from service.served_weights import ServedWeights, WorkerInfo
from service.settings import Settings
from trainer.__main__ import create_parser
from trainer.markdown import draw_table

DOCS = Path(__file__).parent
MANY_VALUES = 8
"""A label with more values than this is described in words."""

PROBLEMS_HEAD = """\
# Problems

Every error is answered as a problem document (RFC 9457, `application/problem+json`):

```json
{
  "type": "/problems/bad-option",
  "title": "An option is not accepted",
  "status": 422,
  "detail": "expected the option 'align' once, got it twice",
  "request_id": "0e7c2b9f6d3a4c1e"
}
```

The `type` never changes for one kind of problem, so programs should look at it and not at the
words. It is a path of the service: `curl http://127.0.0.1:8000/problems/bad-option` prints what
stands below, a browser gets it as a page, and `Accept: application/json` as data. `GET /problems`
lists all types. The `detail` says what was expected and what came; the `request_id` is also in the
header `X-Request-Id` and in every log line of the request.
"""

METRICS_HEAD = """\
# Metrics

`GET /metrics` answers in the text format of Prometheus, or the port `EXPOFUSE_METRICS_PORT` where
that is set. Times are in seconds. A histogram has the series `_bucket`, `_sum` and `_count`; a
counter only grows, until the service is started again. What to look at first:
[guides/operators.md](guides/operators.md).
"""

COMMANDS_HEAD = """\
# Commands of the trainer

`make venv-dev` installs what they need; `.venv/bin/python -m trainer COMMAND --help` prints the
same. What they do and how they go together: [guides/trainers.md](guides/trainers.md) and
[training.md](training.md). A command ends with 0 when it is done, and with 2 and one sentence when
something is wrong with what it was given.
"""


def main() -> None:
    """Write all pages."""
    for name, text in write_pages().items():
        (DOCS / name).write_text(text)


def write_pages() -> Mapping[str, str]:
    """Each page's text by its name below `docs`."""
    return {
        "problems.md": "\n".join([PROBLEMS_HEAD, *_write_problems()]),
        "metrics.md": "\n".join([METRICS_HEAD, *_write_metrics()]),
        "trainer-commands.md": "\n".join([COMMANDS_HEAD, *_write_commands()]),
        "reliability.md": fill_tables((DOCS / "reliability.md").read_text()),
    }


def _write_problems() -> Iterator[str]:
    for code, row in PROBLEM_TYPES.items():
        never = ", never sent" if row.status == CLIENT_LEFT_STATUS else ""
        retry = ", with `Retry-After`" if row.may_retry else ""
        yield f"## {code}\n"
        yield f"**{row.title}.** Type `{type_of(code)}`, status {row.status}{never}{retry}.\n"
        yield f"{row.meaning}\n"
        yield f"*What to do.* {row.remedy}\n"


def collect_metrics() -> list[Metric]:
    """Every metric of a service that has one weights version."""
    metrics = Service(Settings(), worker_command=()).metrics
    name, _, version = DEFAULT_WEIGHTS.rpartition("-")
    served = ServedWeights(name, version, "pyramid-blend", "", "over", "float32")
    metrics.show_weights(WorkerInfo((served,), "cpu"))
    return list(metrics.registry.collect())


def _write_metrics() -> Iterator[str]:
    rows = []
    for metric in collect_metrics():
        suffix = {"counter": "_total", "info": "_info"}.get(metric.type, "")
        name = f"`{metric.name}{suffix}`"
        rows.append((name, metric.type, _tell_labels(metric), metric.documentation))
    yield from draw_table(("metric", "kind", "labels", "meaning"), rows)
    yield ""


def _tell_labels(metric: Metric) -> str:
    """The labels of a metric with their values, as far as these are few and the same everywhere."""
    values: dict[str, dict[str, None]] = {}
    for sample in metric.samples:
        for label, value in sample.labels.items():
            if label != "le":
                values.setdefault(label, {})[value] = None
    return "; ".join(f"`{label}`{_tell_values(label, found)}" for label, found in values.items())


def _tell_values(label: str, values: Iterable[str]) -> str:
    listed = list(values)
    if label == "name" and "max_jobs" in listed:
        return ": as in `GET /limits`"
    if label in ("weights", "name", "version", "device", "precision", "default"):
        return ""
    if len(listed) > MANY_VALUES:
        return ": `fused`, `unsettled` or the code of a [problem](problems.md)"
    return ": " + ", ".join(f"`{value}`" for value in listed)


def _write_commands() -> Iterator[str]:
    _, commands = create_parser()
    helps = {one.dest: one.help for one in commands._choices_actions}
    for name, parser in commands.choices.items():
        yield f"## {name}\n"
        yield f"{_sentence(helps[name] or '')}\n"
        arguments = [one for one in parser._actions if not isinstance(one, argparse._HelpAction)]
        rows = [(_tell_argument(one), _tell_meaning(one)) for one in arguments]
        yield from draw_table(("argument", "meaning"), rows)
        yield ""


def _tell_argument(argument: argparse.Action) -> str:
    """An argument as it is written, with its choices, or a name for its value."""
    shown = argument.metavar if isinstance(argument.metavar, str) else argument.dest.upper()
    if argument.choices is not None:
        shown = ", ".join(map(str, argument.choices))
    if not argument.option_strings:
        return f"`{shown}`"
    value = "" if argument.nargs == 0 else f" {shown}"
    return f"`{argument.option_strings[-1]}{value}`"


def _tell_meaning(argument: argparse.Action) -> str:
    meaning = (argument.help or "").replace("%%", "%")
    is_plain = isinstance(argument.default, str | int | float)
    if is_plain and not isinstance(argument.default, bool) and "default" not in meaning:
        meaning += f" (default: {argument.default})"
    if argument.required and argument.option_strings:
        meaning += " (required)"
    return meaning.replace("<", "&lt;").replace("*", "\\*")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


if __name__ == "__main__":
    main()
