"""`python -m trainer evaluate`: weights beside other methods on a folder of scenes."""

import argparse
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from model.exposure import GhostsMode
from trainer.commands.arguments import Commands, at_least, names
from trainer.evaluation.methods.computed import METHODS
from trainer.evaluation.methods.runs import RunMethod
from trainer.evaluation.methods.weights import AlignOption, WeightsMethod
from trainer.evaluation.run import evaluate

WEIGHTS_FOLDER = Path("weights")


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "evaluate", help="score weights beside other methods; resumes what was begun"
    )
    parser.add_argument("scenes_dir", type=Path, help="folder with a sub-folder for each scene")
    parser.add_argument("--out", type=Path, required=True, help="folder of scores and report")
    parser.add_argument(
        "--weights",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME-VERSION",
        help="names below ./weights, or paths; the first is compared with all others",
    )
    parser.add_argument(
        "--runs",
        nargs="+",
        action="extend",
        default=[],
        metavar="[LABEL=]DIR",
        help="run folders of networks that are not served, see `trainer.peers`",
    )
    parser.add_argument(
        "--methods", type=names, default=(), help=f"computed on the spot: {','.join(METHODS)}"
    )
    parser.add_argument("--peers", action="store_true", help="score <scene>/peers/<method>.* too")
    parser.add_argument(
        "--metrics",
        type=names,
        help="names, comma-separated, none: guards only (default: all); guards are always taken",
    )
    parser.add_argument("--scenes", type=names, help="names, comma-separated (default: all)")
    parser.add_argument(
        "--max-side-px",
        type=at_least(16),
        help="reduce the exposures first: quick, not full resolution",
    )
    parser.add_argument(
        "--exposures",
        choices=("all", "ends"),
        default="all",
        help="of each scene; ends: the darkest and the brightest (default: all)",
    )
    for option in ("--align", "--ghosts"):
        parser.add_argument(
            option,
            nargs="+",
            choices=("auto", "off"),
            default=["auto"],
            help="of the weights; of two values each is a column (default: auto)",
        )
    parser.add_argument(
        "--workers", type=at_least(1), help="processes (default: one for each core)"
    )
    parser.add_argument("--no-report", action="store_true", help="scores and summary only")
    parser.set_defaults(run_command=run_command)


def run_command(options: argparse.Namespace) -> int:
    """Evaluate as the options say; 2 when nothing could be scored."""
    summary = evaluate(
        options.scenes_dir,
        options.out,
        weights=[
            *make_columns(options.weights, aligns=options.align, ghosts=options.ghosts),
            *map(read_run, options.runs),
        ],
        methods=options.methods,
        use_peers=options.peers,
        metrics=options.metrics,
        exposures=options.exposures,
        max_side_px=options.max_side_px,
        scenes=options.scenes,
        workers=options.workers,
        report=not options.no_report,
    )
    return 0 if summary.scenes else 2


def make_columns(
    names: Sequence[str], *, aligns: Sequence[AlignOption], ghosts: Sequence[GhostsMode]
) -> list[WeightsMethod]:
    """The columns of all weights with all values of the options.

    An option of which several values are asked for stands in the label.

    Example:
        >>> [one.label for one in make_columns(["a-1.0.0"], aligns=["off"], ghosts=["auto", "off"])]
        ['a-1.0.0-ghosts-auto', 'a-1.0.0-ghosts-off']
    """
    columns: list[WeightsMethod] = []
    for name, align, ghost in product(names, dict.fromkeys(aligns), dict.fromkeys(ghosts)):
        directory = resolve_weights(name)
        label = directory.resolve().name
        label += f"-align-{align}" if len(set(aligns)) > 1 else ""
        label += f"-ghosts-{ghost}" if len(set(ghosts)) > 1 else ""
        columns.append(WeightsMethod(directory, label, align, ghost))
    return columns


def read_run(item: str) -> RunMethod:
    """A run folder, maybe with the label of its column before it."""
    label, _, folder = item.rpartition("=")
    return RunMethod(Path(folder), label)


def resolve_weights(name: str) -> Path:
    """A weights directory: a path as given, or a name looked up below `./weights`.

    Example:
        >>> resolve_weights("hyperp-mb-1.1.0").as_posix()
        'weights/hyperp-mb-1.1.0'
        >>> resolve_weights("./mine-1.0.0").as_posix()
        'mine-1.0.0'
    """
    return Path(name) if "/" in name else WEIGHTS_FOLDER / name
