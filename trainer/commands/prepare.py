"""`python -m trainer prepare`: one's own photographs as training data."""

import argparse
import json
import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import get_args

from trainer.commands.arguments import Commands, at_least
from trainer.config import DataConfig
from trainer.data.preparation.brackets import Grouping
from trainer.data.preparation.prepare import Preparation, prepare
from trainer.data.preparation.scenes import MIN_SIDE_PX
from trainer.data.preparation.tables import REPORT_NAME
from trainer.pool import count_cores

NOTHING_ACCEPTED = 2


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "prepare", help="turn a tree of photographed brackets into training data"
    )
    parser.add_argument("tree", type=Path, metavar="DIR", help="top of the photographs")
    parser.add_argument("--out", type=Path, required=True, help="data root to write")
    parser.add_argument(
        "--by",
        choices=get_args(Grouping),
        default="auto",
        help="what makes a bracket: a folder, EXIF time and exposure, or whichever fits",
    )
    parser.add_argument(
        "--licence", type=_line, default="own photographs", help="licence of the photographs"
    )
    parser.add_argument("--source", type=_line, help="where they come from (default: DIR's name)")
    parser.add_argument(
        "--validate-share", type=_share, default=0.1, help="share of the scenes not trained on"
    )
    parser.add_argument(
        "--max-side-px",
        type=at_least(MIN_SIDE_PX),
        default=1024,
        help="reduce the longer side to this",
    )
    parser.add_argument(
        "--workers",
        type=at_least(0),
        default=count_cores(),
        help="processes (default: one for each core); 0: none but this one",
    )
    parser.set_defaults(run_command=run_command)


def run_command(options: argparse.Namespace) -> int:
    """Prepare as the options say; 2 when no scene was accepted."""
    done = prepare(
        options.tree,
        options.out,
        by=options.by,
        licence=options.licence,
        source=options.source,
        validate_share=options.validate_share,
        max_side_px=options.max_side_px,
        workers=options.workers,
    )
    sys.stdout.write(describe(done, options.licence))
    return 0 if done.uses else NOTHING_ACCEPTED


def describe(done: Preparation, licence: str) -> str:
    """What was done, in a few lines, and what training on it asks for."""
    uses = Counter(done.uses.values())
    shares = ", ".join(f"{uses[use]} {use}" for use in dict.fromkeys(("train", "validate", *uses)))
    lines = [f"accepted: {len(done.uses)} ({shares})"]
    for reason, count in done.refused.most_common():
        lines.append(f"refused, {reason}: {count}")
    if done.reused or done.removed:
        lines.append(f"unchanged since the last call: {done.reused}; removed: {done.removed}")
    if done.ignored:
        listed = ", ".join(f"{suffix} ({count})" for suffix, count in sorted(done.ignored.items()))
        lines.append(f"files passed over: {listed}")
    lines.append(f"a line for each scene: {REPORT_NAME}")
    if done.uses and not licence.startswith(DataConfig().licences):
        consent = json.dumps([licence], ensure_ascii=False)
        lines.append(f"training on these asks for --set {shlex.quote(f'data.licences={consent}')}")
    return "\n".join(lines) + "\n"


def _line(text: str) -> str:
    if not text.strip() or len(text.splitlines()) != 1:
        raise argparse.ArgumentTypeError("expected one line of text")
    return text.strip()


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"expected at least 0 and less than 1, got {text}")
    return share
