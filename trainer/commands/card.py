"""`python -m trainer card`: the model card, and the scores and texts that go into it."""

import argparse
import math
import sys
from pathlib import Path

from model.manifest import PARAMETERS_NAME, Evaluation, Manifest, read_manifest, write_manifest
from trainer.commands.arguments import Commands
from trainer.errors import RunError
from trainer.evaluation.report.summary import MethodSummary, Summary, read_summary
from trainer.metrics import GUARDS, MEASURES
from trainer.release.description import apply_description, load_description
from trainer.release.model_card import write_card

SCORE_DECIMALS = 6


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser("card", help="write the model card of a weights version")
    parser.add_argument("weights", type=Path, help="weights/<name>-<version>")
    parser.add_argument(
        "--evaluation",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="SUMMARY",
        help="summary.json of an evaluation of these weights; recorded in the manifest first",
    )
    parser.add_argument("--dataset", help="what to call its data set (default: its folder's name)")
    parser.add_argument(
        "--about", type=Path, help="TOML file with summary, intended_use and limits; the same"
    )
    parser.set_defaults(run_command=run_command)


def run_command(options: argparse.Namespace) -> int:
    """Record what the options give, then write the card."""
    manifest = before = read_manifest(options.weights)
    recorded: set[tuple[str, str | None]] = set()
    for path in options.evaluation:
        manifest = record_evaluation(manifest, read_summary(path), dataset=options.dataset)
        key = _key(manifest.evaluation[-1])
        if key in recorded:
            raise RunError(
                f"expected evaluations of different data sets, got two of '{key[0]}' with align "
                f"{key[1]}; name one of them by a call of its own with --dataset"
            )
        recorded.add(key)
    if options.about is not None:
        manifest = apply_description(manifest, load_description(options.about))
    if manifest != before:
        write_manifest(manifest, options.weights)
    write_card(options.weights)
    return 0


def record_evaluation(
    manifest: Manifest, summary: Summary, *, dataset: str | None = None
) -> Manifest:
    """Take the scores of these weights, and of the methods beside them, into the manifest.

    The column is found by the hash of the parameters, and must have been fused with the manifest's
    own rule of chroma and reference exposure. A method that was scored on other scenes is left out.

    Args:
        manifest: Manifest of the weights.
        summary: What an evaluation found.
        dataset: Name of the data set; None takes the summary's.

    Returns:
        The manifest with this evaluation in the place of an earlier one of the same data set.

    Raises:
        RunError: The evaluation is of other weights or other rules, or it has no finite score.
    """
    ours = _find_column(manifest, summary)
    count = summary.counts[ours]
    others = [label for label in summary.means if label not in (ours, manifest.label)]
    left_out = [label for label in others if not summary.have_same_scenes(label, ours)]
    if left_out:
        sys.stderr.write(
            f"left out, not scored on the same {count} scenes: {', '.join(left_out)}\n"
        )
    peers = [label for label in others if label not in left_out]
    scores = _finite(summary, ours)
    if not scores:
        raise RunError(f"expected scores of '{manifest.label}' in the evaluation, found none")
    # Without a picture of every scene these weights have no rank, nor has who has the same scenes.
    names = {ours: manifest.label} | {label: label for label in peers}
    ranks = {
        name: summary.mean_rank[label]
        for label, name in names.items()
        if label in summary.mean_rank
    }
    how = f", reduced to {summary.max_side_px} px" if summary.max_side_px else ""
    how += ", darkest and brightest exposure" if summary.exposures == "ends" else ""
    how += ", ghosts left" if summary.methods[ours].ghosts == "off" else ""
    evaluation = Evaluation.model_validate(
        {
            "dataset": (dataset or summary.dataset) + how,
            "pairs": count,
            "scores": scores,
            "methods": {label: _finite(summary, label) for label in peers},
            "ranks": {
                label: round(rank, SCORE_DECIMALS)
                for label, rank in ranks.items()
                if math.isfinite(rank)
            },
            "lower_is_better": tuple(
                name for name in scores if name in MEASURES and not MEASURES[name].higher_is_better
            ),
            "align": summary.methods[ours].align,
        }
    )
    kept = [one for one in manifest.evaluation if _key(one) != _key(evaluation)]
    return manifest.model_copy(update={"evaluation": (*kept, evaluation)})


def _key(evaluation: Evaluation) -> tuple[str, str | None]:
    """What a manifest has one evaluation of."""
    return evaluation.dataset, evaluation.align


def _find_column(manifest: Manifest, summary: Summary) -> str:
    """Label of these weights' column; of several the one with the service's own options."""
    parameters = manifest.files[PARAMETERS_NAME].sha256
    columns = [
        label
        for label, method in summary.methods.items()
        if method.parameters_sha256 == parameters
        and (method.chroma, method.reference) == (manifest.chroma, manifest.reference)
        and label in summary.means
    ]
    if not columns:
        there = ", ".join(name for name, one in summary.methods.items() if one.kind == "weights")
        raise RunError(
            f"expected an evaluation of '{manifest.label}' with chroma {manifest.chroma} and "
            f"reference {manifest.reference}, its weights columns are: {there or 'none'}"
        )
    return min(columns, key=lambda label: _count_departures(summary.methods[label]))


def _count_departures(method: MethodSummary) -> int:
    """How many options differ from the service's defaults."""
    return (method.align != "auto") + (method.ghosts == "off")


def _finite(summary: Summary, label: str) -> dict[str, float]:
    """Means of the metrics, then of the guards."""
    means = summary.means[label] | summary.guards.get(label, {})
    return {
        name: round(means[name], SCORE_DECIMALS)
        for name in (*summary.metrics, *GUARDS)
        if name in means and math.isfinite(means[name])
    }
