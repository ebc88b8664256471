"""Runs `expofuse weights`: lists, verifies and shows weights versions."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from expofuse.bundled_weights import locate_weights
from model.errors import WeightsError
from model.manifest import Manifest, count_parameters, read_manifest
from model.release.manifest_tables import format_score, group_data, tabulate_scores
from service.settings import Settings, load_settings

LISTED_METRICS = ("MEF-SSIM", "Qabf")
DEFAULT_MARK, LOADED_MARK = "*", "+"


class WeightsCommandError(Exception):
    """What was asked for is not there; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class _Listed:
    """One folder of the weights directory: a version, or why it is none."""

    directory: Path
    manifest: Manifest | None
    parameters: int
    fault: str

    @property
    def order(self) -> tuple[str, tuple[int, ...]]:
        if self.manifest is None:
            return self.directory.name, ()
        return self.manifest.name, tuple(int(part) for part in self.manifest.version.split("."))


def run_weights_command(options: argparse.Namespace) -> int:
    """Run `expofuse weights` as the options say.

    Returns:
        Exit code: 0, or 1 when a version did not pass.

    Raises:
        WeightsCommandError: The directory or the version is not there, or its manifest is broken.
        SettingsError: The environment holds a setting that is none.
    """
    settings = load_settings()
    actions = {"list": _list, "verify": _verify, "show": _show}
    return actions[options.action](options, settings)


def _list(options: argparse.Namespace, settings: Settings) -> int:
    default, *others = (directory.resolve() for directory in settings.weights_directories)
    marks = dict.fromkeys(others, LOADED_MARK) | {default: DEFAULT_MARK}
    found = _find_versions(options.dir or settings.weights_dir)
    header = ["", "version", "architecture", "parameters", "size", "chroma", "reference"]
    rows = [[*header, "evaluated on", *LISTED_METRICS]]
    for one in found:
        rows.append([marks.get(one.directory.resolve(), ""), *_describe_listed(one)])
    _write(_align(rows))
    listed = {one.directory.resolve() for one in found}
    if default in listed:
        _write([f"{DEFAULT_MARK} what `expofuse serve` loads as the settings stand"])
    if listed.intersection(others):
        _write([f"{LOADED_MARK} what it loads besides, for requests that ask for it"])
    elsewhere = [f"'{directory.name}'" for directory in marks if directory not in listed]
    if elsewhere:
        names = ", ".join(elsewhere)
        _write([f"`expofuse serve` loads {names} as the settings stand: not listed"])
    return 0


def _describe_listed(one: _Listed) -> list[str]:
    manifest = one.manifest
    if manifest is None:
        return [one.directory.name, f"broken: {one.fault}"]
    latest = manifest.evaluation[-1] if manifest.evaluation else None
    size_bytes = sum(entry.size_bytes for entry in manifest.files.values())
    return [
        manifest.label,
        manifest.network.architecture,
        f"{one.parameters:,}",
        f"{size_bytes / 1e6:.2f} MB",
        manifest.chroma,
        manifest.reference,
        f"{latest.dataset}, {latest.pairs} pairs" if latest else "nothing yet",
        *(format_score(latest.scores.get(name) if latest else None) for name in LISTED_METRICS),
    ]


def _verify(options: argparse.Namespace, settings: Settings) -> int:
    if options.all:
        found = _find_versions(options.dir or settings.weights_dir)
        directories = [one.directory for one in found]
    else:
        directories = [_locate(options, settings)]
    outcomes = [_verify_one(directory) for directory in directories]
    return 0 if all(outcomes) else 1


def _verify_one(directory: Path) -> bool:
    """Print what passed and what did not; a sentence about the first fault goes to stderr."""
    from model.release.verify import (
        verify_weights,  # loads what computes, which nothing else here needs
    )

    label = directory.resolve().name
    _write([label])
    faults: list[str] = []
    for result in verify_weights(directory):
        state = "passed" if result.has_passed else "failed" if result.was_run else "not run"
        _write([f"  {state:8}{result.name}"])
        if result.fault is not None:
            faults.append(result.fault)
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        sys.stderr.write(f"expofuse: '{label}' did not pass: {faults[0]}{more}\n")
    return not faults


def _show(options: argparse.Namespace, settings: Settings) -> int:
    directory = _locate(options, settings)
    try:
        manifest = read_manifest(directory)
        if options.json:
            _write([manifest.model_dump_json(indent=2)])
            return 0
        parameters = count_parameters(manifest, directory)
    except WeightsError as cause:
        raise WeightsCommandError(cause.message) from cause
    sections = {
        "Network": _describe_network(manifest, parameters),
        "Files": _align(
            [name, f"{entry.size_bytes:,} bytes", f"SHA-256 {entry.sha256}"]
            for name, entry in manifest.files.items()
        ),
        "Training": _describe_training(manifest),
        "Data": _describe_data(manifest),
        "Evaluation": _describe_evaluation(manifest) or ["not evaluated yet"],
        "Limits": list(manifest.limits),
    }
    _write([f"{manifest.name} {manifest.version}", *filter(None, [manifest.summary])])
    if manifest.intended_use:
        _write(["", f"Intended use: {manifest.intended_use}"])
    for title, lines in sections.items():
        if lines:
            _write(["", title, *(f"  {line}".rstrip() for line in lines)])
    return 0


def _describe_network(manifest: Manifest, parameters: int) -> list[str]:
    fewest, most = manifest.accepted_exposures
    field = manifest.receptive_field
    rows = [[key, str(value)] for key, value in manifest.network.model_dump().items()]
    rows += [
        ["parameters", f"{parameters:,}"],
        ["receptive_field", "the whole picture" if field is None else f"{field} pixels"],
        ["size_multiple", str(manifest.size_multiple)],
        ["exposures", str(fewest) if fewest == most else f"{fewest} to {most}"],
        ["chroma", manifest.chroma],
        ["reference", f"the {manifest.reference} exposure"],
    ]
    return _align(rows)


def _describe_training(manifest: Manifest) -> list[str]:
    training = manifest.training
    rows = [["steps", f"{training.steps:,}"]]
    if training.exported_step is not None:
        rows.append(["exported", f"{training.checkpoint}, after step {training.exported_step:,}"])
    if training.started_from:
        rows.append(["started from", training.started_from])
    rows += [
        ["seed", str(training.seed)],
        ["commit", training.commit],
        ["hardware", training.device],
    ]
    return [*_align(rows), "config:", *(f"  {line}" for line in training.config.splitlines())]


def _describe_data(manifest: Manifest) -> list[str]:
    return _align(
        [str(len(group.sources)), group.kind, group.licence, "from " + ", ".join(group.origins)]
        for group in group_data(manifest.training.data)
    )


def _describe_evaluation(manifest: Manifest) -> list[str]:
    lines: list[str] = []
    for evaluation in manifest.evaluation:
        align = f", align={evaluation.align}" if evaluation.align else ""
        table = tabulate_scores(manifest, evaluation)
        lines += [f"{evaluation.dataset}, means over {evaluation.pairs} pairs{align}"]
        lines += _align([table.header, *table.rows])
    return lines


def _find_versions(weights_dir: Path) -> list[_Listed]:
    if not weights_dir.is_dir():
        raise WeightsCommandError(
            f"expected a directory with weights at {weights_dir}, found none; "
            "say where they are with --dir or EXPOFUSE_WEIGHTS_DIR"
        )
    folders = [path for path in weights_dir.iterdir() if path.is_dir() and path.name[0] not in "._"]
    if not folders:
        raise WeightsCommandError(f"expected weights versions in {weights_dir}, found none")
    return sorted((_inspect(folder) for folder in folders), key=lambda one: one.order)


def _inspect(directory: Path) -> _Listed:
    try:
        manifest = read_manifest(directory)
        return _Listed(directory, manifest, count_parameters(manifest, directory), "")
    except WeightsError as error:
        return _Listed(directory, None, 0, error.message)


def _locate(options: argparse.Namespace, settings: Settings) -> Path:
    """The directory of the version that was asked for, by the same rule as `EXPOFUSE_WEIGHTS`."""
    version: str = options.version
    folder: Path = options.dir or settings.weights_dir
    directory = locate_weights(version, folder)
    if directory.is_dir():
        return directory
    there = ", ".join(one.directory.name for one in _find_versions(folder))
    raise WeightsCommandError(f"expected a weights version, got '{version}'; there are: {there}")


def _align(rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows as lines with aligned columns; a short row's last cell may be as long as it is."""
    table = [list(row) for row in rows]
    widest = max((len(row) for row in table), default=0)
    widths = [
        max((len(row[column]) for row in table if len(row) > column + 1), default=0)
        for column in range(widest)
    ]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()
        for row in table
    ]


def _write(lines: Iterable[str]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
