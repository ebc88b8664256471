"""`expofuse compare`: draws exposures and their fusion side by side."""

import sys
from pathlib import Path

import click

from model.exposure import MAX_EXPOSURES, MIN_EXPOSURES
from service.console.exits import explaining
from service.console.output import json_option, write_json


@click.command("compare")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="EXPOSURE... RESULT"
)
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Where the sheet goes: PNG, or JPEG by its suffix.",
)
@json_option
def command(files: tuple[Path, ...], out: Path, as_json: bool) -> None:
    """Draw exposures and their fusion side by side, with histograms.

    The last file is the fusion, whoever made it. The exposures are shown from dark to bright.

    \b
    Examples:
      expofuse compare dark.jpg bright.jpg fused.jpg -o sheet.png
      expofuse compare a.nef b.nef c.nef fused.tif -o sheet.jpg

    Exit codes: 0 done, 1 a file failed, 2 misused.
    """
    *exposures, result = files
    if not MIN_EXPOSURES <= len(exposures) <= MAX_EXPOSURES:
        raise click.UsageError(
            f"expected {MIN_EXPOSURES} to {MAX_EXPOSURES} exposures and their fusion, "
            f"got {len(files)} files"
        )
    with explaining(as_json=as_json):
        from expofuse.files.writing.destination import open_destination
        from service.console.comparison import draw_comparison, encode_sheet

        sheet = draw_comparison(exposures, result)
        with open_destination(out) as file:
            file.write(encode_sheet(sheet, out.suffix))
    if as_json:
        write_json({"sheet": out.as_posix(), "width": sheet.width, "height": sheet.height})
    else:
        sys.stdout.write(f"{out}\n")
