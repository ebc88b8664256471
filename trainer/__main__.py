"""Command line of the trainer: `python -m trainer COMMAND`; each command is a module."""

import argparse
import sys

from model.errors import FusionError
from trainer.commands import ablate, blind, card, evaluate, export, prepare, repackage, train
from trainer.commands.arguments import Commands

COMMANDS = (prepare, train, export, repackage, card, evaluate, blind, ablate)


def create_parser() -> tuple[argparse.ArgumentParser, Commands]:
    """The parser of the command line, and the parsers of its commands."""
    parser = argparse.ArgumentParser(prog="python -m trainer", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        command.add_parser(commands)
    return parser, commands


def main(arguments: list[str] | None = None) -> int:
    """Run one command; a typed error ends it with one sentence and exit code 2."""
    parser, _ = create_parser()
    options = parser.parse_args(arguments)
    try:
        exit_code: int = options.run_command(options)
    except FusionError as error:
        sys.stderr.write(f"{error.code}: {error.message}\n")
        return 2
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
