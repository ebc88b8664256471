"""`expofuse group`: finds the brackets of a folder and writes them as JSON."""

import sys
from pathlib import Path
from typing import Literal

import click

from service.console.exits import explaining
from service.console.options import prefer_option


@click.command("group")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="Where the JSON goes. Default: standard output.",
)
@prefer_option
@click.option("--text", "is_text", is_flag=True, help="Lines for a person instead of JSON.")
@click.option("--json", "is_json", is_flag=True, help="JSON, as without any of these.")
def command(
    folder: Path,
    out: Path | None,
    prefer: Literal["picture", "raw"],
    is_text: bool,
    is_json: bool,
) -> None:
    """Find the brackets of a folder by the headers of its files; nothing is fused.

    The JSON lists the files of each bracket, and why every other file stands alone. Edit it: join,
    split, drop; then `batch --groups` takes it.

    \b
    Examples:
      expofuse group DCIM
      expofuse group DCIM -o groups.json
      expofuse batch DCIM -o fused --groups groups.json

    Exit codes: 0 done, 1 a file failed, 2 misused, or no such folder.
    """
    from service.console.shoot import describe_groups, find_groups

    if is_text and is_json:
        raise click.UsageError("expected --text or --json, got both")
    with explaining(as_json=is_json):
        groups = find_groups(folder, prefer=prefer)
        text = "\n".join([*describe_groups(groups), ""]) if is_text else groups.to_json()
        if out is None:
            sys.stdout.write(text)
            return
        from expofuse.files.writing.destination import open_destination

        with open_destination(out) as file:
            file.write(text.encode())
