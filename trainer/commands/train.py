"""`python -m trainer train`: one run from its config file."""

import argparse
from pathlib import Path

from trainer.commands.arguments import Commands
from trainer.config import load_config
from trainer.run.train import train


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser("train", help="train a network; resumes a run that was begun")
    parser.add_argument("config", type=Path, help="TOML file, see trainer/configs/")
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.csv")
    parser.add_argument(
        "--out", type=Path, help="run folder (default: runs/<config file, no .toml>)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="GROUP.KEY=VALUE", help="override one key"
    )
    parser.add_argument("--stop-after", type=int, metavar="STEPS", help="checkpoint and end early")
    parser.set_defaults(run_command=run_command)


def run_command(options: argparse.Namespace) -> int:
    """Train as the options say."""
    config = load_config(options.config, options.set)
    run = options.out or Path("runs") / options.config.stem
    train(config, options.data, run, stop_after=options.stop_after)
    return 0
