"""`expofuse fuse`: fuses the exposures of one scene, here or through a service."""

import sys
from pathlib import Path

import click

from service.console.engines import Exposure, open_engine, tell_picture
from service.console.exits import explaining
from service.console.options import (
    OptionValue,
    fuse_options,
    make_choices,
    server_option,
)
from service.console.output import PIPE, json_option, write_picture

PAIR_AND_PICTURE = 3
"""How many files are named without `-o`."""


@click.command("fuse")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE..."
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="Where the picture goes; - for standard output.",
)
@server_option
@fuse_options
@json_option
def command(
    files: tuple[Path, ...],
    out: Path | None,
    server: str | None,
    as_json: bool,
    **values: OptionValue,
) -> None:
    """Fuse the exposures of one scene: two to nine files, in any order.

    One of them may be - for standard input. Without -o, two exposures and then the picture.

    \b
    Examples:
      expofuse fuse dark.jpg bright.jpg -o fused.jpg
      expofuse fuse a.nef b.nef c.nef -o fused.tif --bit-depth 16 --align require
      expofuse fuse dark.jpg bright.jpg -o fused.jpg --server http://127.0.0.1:8000
      ssh camera cat b.jpg | expofuse fuse a.jpg - -o - --format png > fused.png

    Exit codes: 0 done, 1 a file, the fusion or the service failed, 2 misused.
    """
    choices = make_choices(values)
    exposures, out = _tell_apart(files, out)
    with explaining(as_json=as_json):
        inputs = _read_pipe(exposures)
        with open_engine(server) as engine:
            picture = engine.fuse(inputs, choices.named_for(out))
        write_picture(picture.content, out)
    tell_picture(picture, out, {"options": choices.given()}, as_json=as_json)


def _tell_apart(files: tuple[Path, ...], out: Path | None) -> tuple[tuple[Path, ...], Path]:
    if out is None:
        if len(files) != PAIR_AND_PICTURE:
            # Not the last one, as in `cp`: `expofuse fuse *.jpg` would write over an exposure.
            raise click.UsageError("expected -o OUT, or two exposures and OUT")
        files, out = files[:-1], files[-1]
    if files.count(PIPE) > 1:
        raise click.UsageError("expected one exposure from standard input, got several '-'")
    return files, out


def _read_pipe(files: tuple[Path, ...]) -> list[Exposure]:
    return [sys.stdin.buffer.read() if path == PIPE else path for path in files]
