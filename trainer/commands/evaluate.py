"""`python -m trainer evaluate`: weights beside other methods on a folder of pairs."""

import argparse
from pathlib import Path

from trainer.commands.arguments import Commands, at_least, names
from trainer.evaluation.methods.others import METHODS
from trainer.evaluation.methods.weights import WeightsMethod
from trainer.evaluation.run import evaluate

WEIGHTS_FOLDER = Path("weights")


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "evaluate", help="score weights beside other methods; resumes what was begun"
    )
    parser.add_argument("pairs_dir", type=Path, help="folder with a sub-folder for each pair")
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
        "--methods", type=names, default=(), help=f"computed on the spot: {','.join(METHODS)}"
    )
    parser.add_argument("--peers", action="store_true", help="score <pair>/peers/<method>.* too")
    parser.add_argument(
        "--metrics",
        type=names,
        help="names, comma-separated, none: guards only (default: all); guards are always taken",
    )
    parser.add_argument("--pairs", type=names, help="names, comma-separated (default: all)")
    parser.add_argument(
        "--max-side-px",
        type=at_least(16),
        help="reduce the exposures first: quick, not full resolution",
    )
    parser.add_argument("--align", choices=("auto", "off"), default="auto")
    parser.add_argument("--ghosts", choices=("auto", "off"), default="auto")
    parser.add_argument(
        "--workers", type=at_least(1), help="processes (default: one for each core)"
    )
    parser.add_argument("--no-report", action="store_true", help="scores and summary only")
    parser.set_defaults(run_command=run_command)


def run_command(options: argparse.Namespace) -> int:
    """Evaluate as the options say; 2 when nothing could be scored."""
    summary = evaluate(
        options.pairs_dir,
        options.out,
        weights=[
            WeightsMethod(resolve_weights(name), align=options.align, ghosts=options.ghosts)
            for name in options.weights
        ],
        methods=options.methods,
        use_peers=options.peers,
        metrics=options.metrics,
        max_side_px=options.max_side_px,
        pairs=options.pairs,
        workers=options.workers,
        report=not options.no_report,
    )
    return 0 if summary.pairs else 2


def resolve_weights(name: str) -> Path:
    """A weights directory: a path as given, or a name looked up below `./weights`.

    Example:
        >>> resolve_weights("hyperp-mb-1.1.0").as_posix()
        'weights/hyperp-mb-1.1.0'
        >>> resolve_weights("./mine-1.0.0").as_posix()
        'mine-1.0.0'
    """
    return Path(name) if "/" in name else WEIGHTS_FOLDER / name
