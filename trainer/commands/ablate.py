"""`python -m trainer ablate`: train, score and report the arms of a file of studies."""

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from trainer.ablation.document import write_document
from trainer.ablation.folders import Folders
from trainer.ablation.plan import USUAL_PAIRS, PlannedArm, collect_jobs, plan_arms, select_arms
from trainer.ablation.results import (
    StudyResult,
    collect_results,
    read_commands,
    read_sessions,
    write_results,
)
from trainer.ablation.run import Request, train_jobs
from trainer.ablation.studies import EvaluationOptions, read_studies
from trainer.commands.arguments import Commands
from trainer.errors import ConfigError
from trainer.evaluation import list_pairs
from trainer.metrics import METRICS, PAPER_METRICS

DEFAULT_STUDIES = Path("trainer/configs/ablation.toml")
DEFAULT_METRICS = (*PAPER_METRICS, "MEF-SSIM")


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "ablate", help="train and compare the arms of a file of studies; resumes what was begun"
    )
    parser.add_argument("studies", type=Path, nargs="?", default=DEFAULT_STUDIES, help="TOML file")
    parser.add_argument("--data", type=Path, required=True, help="training data, see `train`")
    parser.add_argument(
        "--pairs",
        action="append",
        required=True,
        metavar="[NAME=]DIR",
        help="pairs to score on, see `evaluate`; with a name for studies that ask for it",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of runs and scores")
    parser.add_argument("--docs", type=Path, help="folder of the document (default: --out)")
    parser.add_argument("--steps", type=int, help="steps of every arm that sets none of its own")
    parser.add_argument(
        "--study", action="append", default=[], metavar="NAME", help="only this one"
    )
    parser.add_argument("--arm", action="append", default=[], metavar="NAME", help="only this one")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="GROUP.KEY=VALUE",
        help="override the base config for every arm",
    )
    parser.add_argument(
        "--metrics",
        type=_split,
        default=DEFAULT_METRICS,
        help="names, comma-separated (default: the paper's ten and MEF-SSIM)",
    )
    parser.add_argument("--only-pairs", type=_split, help="names, comma-separated (default: all)")
    parser.add_argument("--max-side-px", type=int, help="reduce the pairs first: quick")
    parser.add_argument("--workers", type=int, default=1, help="arms at a time (default: 1)")
    parser.add_argument(
        "--document-only",
        action="store_true",
        help="train and score nothing: write the document of what is done, and of each --study",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    parser.set_defaults(run_command=run_command)


def run_command(options: argparse.Namespace) -> int:
    """Run the ablation as the options say; 1 when an arm failed."""
    if options.workers < 1:
        raise ConfigError(f"expected at least one worker, got {options.workers}")
    unknown = sorted(set(options.metrics) - METRICS.keys())
    if unknown:
        raise ConfigError(f"expected metrics of {', '.join(METRICS)}, got {', '.join(unknown)}")
    folders = Folders(options.out)
    overrides = [*options.set]
    if options.steps is not None:
        overrides.append(f"optim.steps={options.steps}")
    studies = read_studies(options.studies)
    planned = plan_arms(studies, options.studies.parent, overrides, runs=folders.runs)
    chosen = select_arms(planned, options.study, options.arm)
    jobs = collect_jobs(chosen)
    request = Request(
        data_root=options.data,
        pairs=parse_pairs(options.pairs),
        folders=folders,
        metrics=tuple(options.metrics),
        names=options.only_pairs,
        max_side_px=options.max_side_px,
    )
    _name_missing_pairs(chosen, request.pairs)
    if options.dry_run:
        for job in jobs:
            labels = ", ".join(trial.label for trial in job.trials)
            sys.stdout.write(f"{job.name}: {job.config.optim.steps} steps, scored as {labels}\n")
        return 0
    commands = read_commands(folders)
    failures: dict[str, str] = {}
    asked = {one.study.name for one in chosen}
    if options.document_only:
        asked = set(options.study)
    else:
        failures = train_jobs(jobs, request, workers=options.workers)
        commands = list(dict.fromkeys([*commands, _describe_command(options)]))
    results = collect_results(planned, folders, failures, asked=asked)
    facts = _gather_facts(results, commands, request, planned)
    write_results(folders, results, facts, commands)
    path = write_document(options.docs or options.out, results, facts)
    sys.stdout.write(f"{path}\n")
    return 1 if failures else 0


def parse_pairs(items: Sequence[str]) -> dict[str, Path]:
    """Folders of pairs by name; one without a name is that of every study that names none.

    Raises:
        ConfigError: A name stands twice, or the usual pairs are missing.

    Example:
        >>> sorted(parse_pairs(["eval", "handheld=other"]))
        ['handheld', 'pairs']
    """
    pairs: dict[str, Path] = {}
    for item in items:
        name, separator, folder = item.partition("=")
        if not separator:
            name, folder = USUAL_PAIRS, item
        if name in pairs:
            raise ConfigError(f"expected one folder of pairs named '{name}', got two")
        pairs[name] = Path(folder)
    if USUAL_PAIRS not in pairs:
        raise ConfigError("expected --pairs DIR besides the named ones, got none")
    return pairs


def _name_missing_pairs(chosen: Sequence[PlannedArm], pairs: Mapping[str, Path]) -> None:
    missing = sorted({one.trial.pairs for one in chosen} - pairs.keys())
    for name in missing:
        studies = sorted({one.study.name for one in chosen if one.trial.pairs == name})
        sys.stderr.write(f"{', '.join(studies)}: not scored without --pairs {name}=DIR\n")


def _gather_facts(
    results: Sequence[StudyResult],
    commands: Sequence[str],
    request: Request,
    planned: Sequence[PlannedArm],
) -> dict[str, str]:
    """What holds for the whole ablation; no path of this machine."""
    names = dict.fromkeys(arm.run for result in results for arm in result.arms if arm.steps)
    records = [request.folders.read_record(name) for name in names]
    sessions = [session for record in records for session in read_sessions(record)]
    seconds = sum(float(session["elapsed_s"]) for session in sessions)
    rules = {"blend" if one.config.is_blend else "mean" for one in planned}
    usual = EvaluationOptions().model_dump() | {"chroma": " or ".join(sorted(rules))}
    title = "Commands" if len(commands) > 1 else "Command"
    facts = {title: ", ".join(f"`{one}`" for one in commands)} if commands else {}
    facts |= {
        "Code": ", ".join(sorted({session["commit"] for session in sessions})) or "unknown",
        "Hardware": "; ".join(sorted({session["device"] for session in sessions})),
        "Software": "; ".join(sorted({_describe_software(session) for session in sessions})),
        "Steps of each arm": describe_steps(results),
        "Trainings": f"{len(names)}, {seconds / 60:.0f} minutes of processes in all",
        "Scored with": ", ".join(f"`{key}={value}`" for key, value in usual.items())
        + " where an arm says nothing else",
    }
    for name, folder in request.pairs.items():
        count = len(request.names or list_pairs(folder))
        key = "Pairs" if name == USUAL_PAIRS else f"Pairs `{name}`"
        size = f", reduced to {request.max_side_px} pixels" if request.max_side_px else ""
        facts[key] = f"{count} of `{folder.resolve().name}`{size}"
    return facts


def describe_steps(results: Sequence[StudyResult]) -> str:
    """Steps of the arms that have taken any, and which studies have others than most.

    Example:
        >>> describe_steps([])
        'none'
    """
    studies: dict[str, list[str]] = {}
    for result in results:
        taken = sorted({arm.steps for arm in result.arms if arm.steps})
        studies.setdefault(", ".join(map(str, taken)), []).append(result.study.name)
    studies.pop("", None)
    if not studies:
        return "none"
    usual, *others = sorted(studies, key=lambda steps: -len(studies[steps]))
    return "; ".join([usual, *(f"{steps} in {', '.join(studies[steps])}" for steps in others)])


def _describe_software(session: Mapping[str, str]) -> str:
    return f"Python {session['python']}, torch {session['torch']}"


def _describe_command(options: argparse.Namespace) -> str:
    """The command, with folders of this machine by what they are."""
    words = ["python", "-m", "trainer", "ablate"]
    studies: Path = options.studies
    words.append(studies.name if studies.is_absolute() else studies.as_posix())
    words += ["--data", "DATA"]
    for item in options.pairs:
        name, separator, _ = item.partition("=")
        words += ["--pairs", f"{name}={name.upper()}" if separator else "PAIRS"]
    words += ["--out", "OUT"]
    for option, values in (
        ("--docs", [] if options.docs is None else ["DOCS"]),
        ("--study", options.study),
        ("--arm", options.arm),
        ("--steps", [] if options.steps is None else [str(options.steps)]),
        ("--set", options.set),
        ("--metrics", [",".join(options.metrics)] if options.metrics != DEFAULT_METRICS else []),
        ("--only-pairs", [",".join(options.only_pairs)] if options.only_pairs else []),
        ("--max-side-px", [str(options.max_side_px)] if options.max_side_px else []),
        ("--workers", [str(options.workers)]),
    ):
        for value in values:
            words += [option, value]
    return shlex.join(words)


def _split(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
