"""Command line of the trainer: `python -m trainer train | export`."""

import argparse
import sys
from pathlib import Path

from model.errors import FusionError
from trainer.config import load_config
from trainer.export import export
from trainer.train import train


def main(arguments: list[str] | None = None) -> int:
    """Run one command; a typed error ends it with one sentence and exit code 2."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "train":
            config = load_config(options.config, options.set)
            run = options.out or Path("runs") / options.config.stem
            train(config, options.data, run, stop_after=options.stop_after)
        else:
            export(options.run, options.target, chroma=options.chroma, reference=options.reference)
    except FusionError as error:
        sys.stderr.write(f"{error.code}: {error.message}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trainer", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train", help="train a network; resumes a run that was begun")
    training.add_argument(
        "config", type=Path, help="TOML file, e.g. trainer/configs/hyperp-mb.toml"
    )
    training.add_argument("--data", type=Path, required=True, help="folder with manifest.csv")
    training.add_argument("--out", type=Path, help="run folder (default: runs/<config's name>)")
    training.add_argument(
        "--set", action="append", default=[], metavar="GROUP.KEY=VALUE", help="override one key"
    )
    training.add_argument(
        "--stop-after", type=int, metavar="STEPS", help="checkpoint and end early"
    )
    exporting = commands.add_parser("export", help="turn a run into a weights version")
    exporting.add_argument("run", type=Path, help="run folder")
    exporting.add_argument("target", type=Path, help="weights/<name>-<version>")
    exporting.add_argument(
        "--chroma", choices=["mean", "weighted"], default="mean", help="rule that fuses a* and b*"
    )
    exporting.add_argument(
        "--reference",
        choices=["under", "over"],
        default="over",
        help="exposure onto which the other is warped",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
