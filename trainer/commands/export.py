"""`python -m trainer export`: a finished run to a weights version."""

import argparse
from pathlib import Path
from typing import get_args

from model.exposure import Reference
from model.lightness.definition import ChromaRule
from trainer.commands.arguments import Commands
from trainer.release.description import load_description
from trainer.release.export import Checkpoint, export


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser("export", help="turn a run into a weights version")
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("target", type=Path, help="weights/<name>-<version>")
    parser.add_argument(
        "--chroma",
        choices=get_args(ChromaRule),
        help="rule that fuses a* and b* (default: mean); not for a network that blends colour",
    )
    parser.add_argument(
        "--reference",
        choices=get_args(Reference),
        default="over",
        help="exposure onto which the other is warped",
    )
    parser.add_argument(
        "--checkpoint",
        choices=get_args(Checkpoint),
        help="default: the best on the validation scenes where the run has any, else the last",
    )
    parser.add_argument(
        "--about", type=Path, help="TOML file with summary, intended_use and limits"
    )
    parser.set_defaults(run_command=run_command)


def run_command(options: argparse.Namespace) -> int:
    """Export as the options say."""
    export(
        options.run,
        options.target,
        chroma=options.chroma,
        reference=options.reference,
        checkpoint=options.checkpoint,
        description=load_description(options.about) if options.about else None,
    )
    return 0
