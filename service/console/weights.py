"""What `expofuse weights` does: lists, verifies and shows weights versions."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from expofuse.bundled_weights import locate_weights
from model.errors import WeightsError
from model.manifest import Manifest, count_parameters, read_manifest
from model.release.manifest_tables import format_score, group_data, tabulate_scores
from service.console.exits import EXIT_FAILED, EXIT_MISUSED, CommandError
from service.console.output import write_json
from service.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from model.release.verify import CheckResult

LISTED_METRICS = ("MEF-SSIM", "Qabf")
DEFAULT_MARK, LOADED_MARK = "*", "+"


class WeightsCommandError(CommandError):
    """What was asked for is not there; the message is one sentence."""

    def __init__(self, message: str) -> None:
        super().__init__(message, EXIT_MISUSED, code="weights")


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


def list_weights(folder: Path | None, *, as_json: bool = False) -> None:
    """Print the versions that are there, and which of them the service would load.

    Args:
        folder: Where weights lie; None for where the service looks.
        as_json: One JSON value instead of a table.

    Raises:
        WeightsCommandError: There is no such folder, it holds no versions, or a setting is wrong.
    """
    settings = _read_settings()
    default, *others = (directory.resolve() for directory in settings.weights_directories)
    marks = dict.fromkeys(others, LOADED_MARK) | {default: DEFAULT_MARK}
    found = _find_versions(folder or settings.weights_dir)
    if as_json:
        write_json([_list_as_json(one, marks.get(one.directory.resolve(), "")) for one in found])
        return
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


def _list_as_json(one: _Listed, mark: str) -> dict[str, object]:
    manifest = one.manifest
    if manifest is None:
        return {"version": one.directory.name, "fault": one.fault}
    return {
        "version": manifest.label,
        "architecture": manifest.network.architecture,
        "parameters": one.parameters,
        "size_bytes": sum(entry.size_bytes for entry in manifest.files.values()),
        "is_default": mark == DEFAULT_MARK,
        "is_loaded": mark != "",
    }


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


def verify_weights_versions(
    version: str | None, folder: Path | None, *, as_json: bool = False
) -> int:
    """Check one version, or all; print what passed and what did not.

    Args:
        version: A name and version, or a path with a `/`; None for all that are there.
        folder: Where weights lie; None for where the service looks.
        as_json: One JSON value instead of lines.

    Returns:
        Exit code: 0, or 1 when a version did not pass.

    Raises:
        WeightsCommandError: There is no such folder or version, or a setting is wrong.
    """
    settings = _read_settings()
    if version is None:
        found = _find_versions(folder or settings.weights_dir)
        directories = [one.directory for one in found]
    else:
        directories = [_locate(version, folder, settings)]
    from service.console.verifying import verify_wholly  # loads what computes, unlike all else here

    outcomes: dict[str, object] = {}
    has_failed = False
    for directory in directories:
        label = directory.resolve().name
        results = list(verify_wholly(directory)) if as_json else []
        if as_json:
            outcomes[label] = [_verify_as_json(one) for one in results]
        else:
            results = _print_results(label, verify_wholly(directory))
        faults = [one.fault for one in results if one.fault is not None]
        if faults:
            more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
            sys.stderr.write(f"expofuse: '{label}' did not pass: {faults[0]}{more}\n")
        has_failed = has_failed or bool(faults)
    if as_json:
        write_json(outcomes)
    return EXIT_FAILED if has_failed else 0


def _print_results(label: str, results: Iterable["CheckResult"]) -> list["CheckResult"]:
    """Print each result as it comes."""
    _write([label])
    printed = []
    for one in results:
        _write([f"  {_name_state(one):8}{one.name}"])
        printed.append(one)
    return printed


def _name_state(result: "CheckResult") -> str:
    return "passed" if result.has_passed else "failed" if result.was_run else "not run"


def _verify_as_json(result: "CheckResult") -> dict[str, object]:
    return {"check": result.name, "state": _name_state(result), "fault": result.fault}


def show_weights(version: str, folder: Path | None, *, as_json: bool = False) -> None:
    """Print what a version's manifest says.

    Args:
        version: A name and version, or a path with a `/`.
        folder: Where weights lie; None for where the service looks.
        as_json: The manifest itself.

    Raises:
        WeightsCommandError: There is no such version, its manifest is broken, or a setting is
            wrong.
    """
    directory = _locate(version, folder, _read_settings())
    try:
        manifest = read_manifest(directory)
        if as_json:
            _write([manifest.model_dump_json(indent=2)])
            return
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


def _read_settings() -> Settings:
    try:
        return load_settings()
    except SettingsError as cause:
        raise WeightsCommandError(str(cause)) from cause


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


def _locate(version: str, folder: Path | None, settings: Settings) -> Path:
    """The directory of the version that was asked for, by the same rule as `EXPOFUSE_WEIGHTS`."""
    folder = folder or settings.weights_dir
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
