"""`python -m trainer repackage`: a released version with another rule of chroma, as a patch."""

import argparse
from pathlib import Path
from typing import get_args

from model.lightness.definition import ChromaRule
from trainer.commands.arguments import Commands
from trainer.release.description import load_description
from trainer.release.repackage import repackage


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "repackage", help="write a weights version again with another rule of chroma"
    )
    parser.add_argument("source", type=Path, help="weights/<name>-<version>")
    parser.add_argument("target", type=Path, help="the same with a higher patch number")
    parser.add_argument(
        "--chroma", choices=get_args(ChromaRule), required=True, help="rule that fuses a* and b*"
    )
    parser.add_argument(
        "--about", type=Path, help="TOML file with summary, intended_use and limits"
    )
    parser.set_defaults(run_command=run_command)


def run_command(options: argparse.Namespace) -> int:
    """Repackage as the options say."""
    repackage(
        options.source,
        options.target,
        chroma=options.chroma,
        description=load_description(options.about) if options.about else None,
    )
    return 0
