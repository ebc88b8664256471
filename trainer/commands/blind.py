"""`python -m trainer blind`: compare methods without knowing which is which."""

import argparse
import sys
from pathlib import Path

from trainer.commands.arguments import Commands, at_least, names
from trainer.errors import DataError
from trainer.evaluation.blind.comparison import read_key, write_comparison
from trainer.evaluation.blind.judgement import (
    JUDGEMENT_NAME,
    NO_PREFERENCE,
    read_judgements,
    reveal,
)


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "blind", help="draw sheets on which methods are letters; --reveal reads what was thought"
    )
    parser.add_argument(
        "folder", type=Path, help="folder of an evaluation; with --reveal that of the comparison"
    )
    parser.add_argument("--methods", type=names, default=(), help="two or more, comma-separated")
    parser.add_argument("--out", type=Path, help="folder of the sheets")
    parser.add_argument("--seed", type=at_least(0), default=0, help="of the orders (default: 0)")
    parser.add_argument("--scenes", type=names, help="names, comma-separated (default: all)")
    parser.add_argument(
        "--reveal", action="store_true", help=f"join the filled {JUDGEMENT_NAME} with the key"
    )
    parser.set_defaults(run_command=run_command)


def run_command(options: argparse.Namespace) -> int:
    """Draw the sheets, or reveal who is behind the letters."""
    if options.reveal:
        key = read_key(options.folder)
        sys.stdout.write(reveal(read_judgements(options.folder), key.letters))
        return 0
    if options.out is None:
        raise DataError("expected --out, the folder of the sheets, got none")
    key = write_comparison(
        options.folder, options.out, options.methods, seed=options.seed, scenes=options.scenes
    )
    sys.stdout.write(
        f"{len(key.letters)} sheets. Fill in {JUDGEMENT_NAME}: a letter or {NO_PREFERENCE} as "
        "preferred, what is better and worse in words; a capital letter by itself is a picture.\n"
    )
    return 0
