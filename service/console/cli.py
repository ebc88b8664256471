"""The console script `expofuse`: serve, fuse, weights, version.

A command imports for itself what the others do not need. So each of them starts fast, and `fuse`
runs where the service's own dependencies are not installed.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias, get_args

from expofuse.files.formats import (
    OUTPUT_DEPTHS,
    OUTPUT_FORMATS,
    MetadataMode,
    OutputFormat,
    ProfileMode,
    Subsampling,
)
from model.errors import FusionError
from model.exposure import AlignMode, CropMode, GhostsMode

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

FORMAT_BY_SUFFIX: dict[str, OutputFormat] = {
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".png": "png",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".webp": "webp",
    ".avif": "avif",
    ".jxl": "jxl",
}
EXAMPLE_URL = "http://127.0.0.1:8000"
EXIT_FAILED = 1
EXIT_MISUSED = 2
PAIR_AND_PICTURE = 3
"""How many files are named without `-o`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Without the programme's name; None takes the process's own.

    Returns:
        Exit code: 0, 1 when it failed, 2 when it was misused.
    """
    parsed = _make_parser().parse_args(arguments)
    commands = {"serve": _serve, "fuse": _fuse, "weights": _weights, "version": _version}
    try:
        exit_code = commands[parsed.command](parsed)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader, `head` for one, has seen enough. What is left must not be written at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    return exit_code


def _version(parsed: argparse.Namespace) -> int:
    from expofuse.package_version import package_version

    sys.stdout.write(f"expofuse {package_version()}\n")
    return 0


def _serve(parsed: argparse.Namespace) -> int:
    from service.logs import configure_logs
    from service.server import StartError, run_server
    from service.settings import SettingsError, load_settings

    try:
        settings = load_settings()
    except SettingsError as error:
        return _complain(str(error), EXIT_MISUSED)
    configure_logs(settings.log_level)
    try:
        run_server(settings)
    except StartError as error:
        return _complain(str(error), EXIT_FAILED)
    return 0


def _fuse(parsed: argparse.Namespace) -> int:
    """Fuse in this process, or through a running service when its URL is given."""
    from service.console.client import ClientError

    if parsed.out is None:
        if len(parsed.files) != PAIR_AND_PICTURE:
            # Not the last one, as in `cp`: `expofuse fuse *.jpg` would write over an exposure.
            return _complain("expected -o OUT, or two exposures and OUT", EXIT_MISUSED)
        *parsed.files, parsed.out = parsed.files
    image_format = parsed.format or FORMAT_BY_SUFFIX.get(parsed.out.suffix.lower())
    run = _fuse_here if parsed.url is None else _fuse_there
    try:
        picture, summary = run(parsed, image_format)
        parsed.out.write_bytes(picture)
    except (ClientError, OSError) as error:
        return _complain(str(error), EXIT_FAILED)
    except FusionError as error:
        return _complain(error.message, EXIT_FAILED)
    sys.stdout.write(f"{'; '.join(summary)}\n")
    return 0


def _fuse_here(
    parsed: argparse.Namespace, image_format: OutputFormat | None
) -> tuple[bytes, tuple[str, str, str]]:
    from expofuse.bundled_weights import DEFAULT_WEIGHTS
    from expofuse.files.reading.vips import configure_libvips
    from expofuse.front_door import fuse

    configure_libvips()  # This process is ours alone, and is to print nothing of a file's contents.
    picture, report = fuse(
        parsed.files,
        weights=parsed.weights or DEFAULT_WEIGHTS,
        align=parsed.align or "auto",
        ghosts=parsed.ghosts or "auto",
        crop=parsed.crop or "none",
        reference=None if parsed.reference in (None, "auto") else int(parsed.reference),
        format=image_format,
        quality=parsed.quality,
        bit_depth=parsed.bit_depth,
        subsampling=parsed.subsampling,
        progressive=parsed.progressive,
        metadata=parsed.metadata,
        profile=parsed.profile,
        return_report=True,
    )
    return picture, (report.weights, report.describe_alignment(), report.describe_order())


def _fuse_there(
    parsed: argparse.Namespace, image_format: OutputFormat | None
) -> tuple[bytes, tuple[str, str, str]]:
    from service.console.client import fuse_files

    answer = fuse_files(
        parsed.files,
        url=parsed.url,
        image_format=image_format,
        quality=parsed.quality,
        bit_depth=parsed.bit_depth,
        subsampling=parsed.subsampling,
        progressive=parsed.progressive,
        metadata=parsed.metadata,
        profile=parsed.profile,
        align=parsed.align,
        ghosts=parsed.ghosts,
        crop=parsed.crop,
        reference=parsed.reference,
        weights=parsed.weights,
    )
    return answer.picture, (answer.weights, answer.alignment, answer.exposure_order)


def _weights(parsed: argparse.Namespace) -> int:
    from service.console.weights import WeightsCommandError, run_weights_command
    from service.settings import SettingsError

    try:
        return run_weights_command(parsed)
    except (WeightsCommandError, SettingsError) as error:
        return _complain(str(error), EXIT_MISUSED)


def _complain(sentence: str, exit_code: int) -> int:
    sys.stderr.write(f"expofuse: {sentence}\n")
    return exit_code


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="expofuse", description="Multi-exposure image fusion, here and as a service."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="serve until SIGTERM; settings from EXPOFUSE_ variables")
    commands.add_parser("version", help="print the version")
    _add_weights_parser(commands)
    fuse = commands.add_parser("fuse", help="fuse files, here or through a running service")
    fuse.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="the exposures, two to nine, in any order; without -o two, and then the picture",
    )
    fuse.add_argument("-o", "--out", type=Path, help="where the picture goes")
    fuse.add_argument("--url", help="fuse through the service there, for example " + EXAMPLE_URL)
    fuse.add_argument(
        "--format",
        choices=OUTPUT_FORMATS,
        help="default: by the picture's name, else that of the first file",
    )
    fuse.add_argument("--quality", type=int, help="of JPEG, WebP, AVIF and JPEG XL, 1 to 100")
    fuse.add_argument(
        "--bit-depth",
        type=int,
        choices=OUTPUT_DEPTHS,
        help="default: that of the files",
    )
    fuse.add_argument(
        "--subsampling", choices=get_args(Subsampling), help="of the chroma of JPEG and AVIF"
    )
    fuse.add_argument(
        "--progressive",
        action="store_true",
        default=None,
        help="a JPEG that shows itself coarse first",
    )
    fuse.add_argument(
        "--metadata",
        choices=get_args(MetadataMode),
        help="EXIF of the reference: keep it, without the place, or none; default: keep",
    )
    fuse.add_argument(
        "--profile", choices=get_args(ProfileMode), help="keep: the reference's colour profile"
    )
    fuse.add_argument("--align", choices=get_args(AlignMode), help="default: auto")
    fuse.add_argument("--ghosts", choices=get_args(GhostsMode), help="default: auto")
    fuse.add_argument(
        "--crop",
        choices=get_args(CropMode),
        help="common: cut the picture to what all exposures cover; default: none",
    )
    fuse.add_argument(
        "--reference",
        choices=["auto", *"123456789"],
        help="number of the file that stays where it is; default: auto",
    )
    fuse.add_argument(
        "--weights",
        metavar="NAME-VERSION",
        help="a bundled version, a path with a /, or what the service at URL has loaded",
    )
    return parser


def _add_weights_parser(commands: Subparsers) -> None:
    """Declare the arguments of `expofuse weights`."""
    parser = commands.add_parser("weights", help="list, verify or show the weights versions")
    actions = parser.add_subparsers(dest="action", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--dir", type=Path, help="where weights lie; default: where the service looks"
    )
    actions.add_parser("list", parents=[shared], help="the versions that are there")
    verify = actions.add_parser(
        "verify", parents=[shared], help="check the schema, the hashes and the network's answer"
    )
    chosen = verify.add_mutually_exclusive_group(required=True)
    chosen.add_argument("version", nargs="?", metavar="NAME-VERSION", help="or a path with a /")
    chosen.add_argument("--all", action="store_true", help="every version that is there")
    show = actions.add_parser("show", parents=[shared], help="what a version's manifest says")
    show.add_argument("version", metavar="NAME-VERSION", help="or a path with a /")
    show.add_argument("--json", action="store_true", help="the manifest as JSON")
