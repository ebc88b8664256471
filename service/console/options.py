"""The options of a fusion on the command line, the same for every command that fuses."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import PurePath
from typing import get_args

import click
from pydantic import TypeAdapter

from expofuse.files.formats import (
    OUTPUT_DEPTHS,
    OUTPUT_FORMATS,
    MetadataMode,
    OutputDepth,
    OutputFormat,
    ProfileMode,
    Subsampling,
)
from model.exposure import AlignMode, CropMode, GhostsMode
from service.console.output import CommandFunction

EXAMPLE_URL = "http://127.0.0.1:8000"

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
SUFFIX_BY_FORMAT: dict[OutputFormat, str] = {
    "jpeg": ".jpg",
    "png": ".png",
    "tiff": ".tif",
    "webp": ".webp",
    "avif": ".avif",
    "jxl": ".jxl",
}


OptionValue = str | int | bool | None
"""Of an option on the command line; None where it was not given."""


@dataclass(frozen=True, slots=True)
class FuseChoices:
    """What was chosen for a fusion; None leaves the choice to whoever fuses.

    The attributes are the options of `expofuse.fuse`.
    """

    weights: str | None = None
    align: AlignMode | None = None
    ghosts: GhostsMode | None = None
    crop: CropMode | None = None
    reference: int | None = None
    format: OutputFormat | None = None
    quality: int | None = None
    bit_depth: OutputDepth | None = None
    subsampling: Subsampling | None = None
    progressive: bool | None = None
    metadata: MetadataMode | None = None
    profile: ProfileMode | None = None

    def given(self) -> dict[str, str | int | bool]:
        """The options that were chosen, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def named_for(self, path: PurePath) -> "FuseChoices":
        """With the format that a file's name asks for, where none was chosen."""
        named = FORMAT_BY_SUFFIX.get(path.suffix.lower())
        return self if self.format else replace(self, format=named)


_CHOICES = TypeAdapter(FuseChoices)


def make_choices(values: Mapping[str, OptionValue]) -> FuseChoices:
    """The choices of a command line.

    Args:
        values: Of the options of `fuse_options`, as click gives them.
    """
    numbers = {
        name: None if values[name] in (None, "auto") else int(str(values[name]))
        for name in ("reference", "bit_depth")
    }
    return _CHOICES.validate_python({**values, **numbers})


def fuse_options(function: CommandFunction) -> CommandFunction:
    """Declare the options of a fusion; `make_choices` reads them."""
    for add in reversed(_OPTIONS):
        function = add(function)
    return function


def server_option(function: CommandFunction) -> CommandFunction:
    """Declare `--server`, and the name that it had first."""
    return click.option(
        "--server",
        "--url",
        "server",
        metavar="URL",
        help=f"Fuse through the service there, for example {EXAMPLE_URL}.",
    )(function)


def prefer_option(function: CommandFunction) -> CommandFunction:
    """Declare `--prefer`."""
    return click.option(
        "--prefer",
        type=click.Choice(["picture", "raw"]),
        default="picture",
        show_default=True,
        help="Which is used where a camera wrote a raw file and a picture of the same frame.",
    )(function)


_OPTIONS = (
    click.option(
        "--weights",
        metavar="NAME-VERSION",
        help="A bundled version, a path with a /, or what the service has loaded.",
    ),
    click.option("--align", type=click.Choice(get_args(AlignMode)), help="Default: auto."),
    click.option("--ghosts", type=click.Choice(get_args(GhostsMode)), help="Default: auto."),
    click.option(
        "--crop",
        type=click.Choice(get_args(CropMode)),
        help="common: cut the picture to what all exposures cover. Default: none.",
    ),
    click.option(
        "--reference",
        type=click.Choice(["auto", *"123456789"]),
        help="Number of the file that stays where it is. Default: auto.",
    ),
    click.option(
        "--format",
        type=click.Choice(OUTPUT_FORMATS),
        help="Default: by the picture's name, else that of the first file.",
    ),
    click.option("--quality", type=click.IntRange(1, 100), help="Of JPEG, WebP, AVIF and JPEG XL."),
    click.option(
        "--bit-depth",
        type=click.Choice([str(depth) for depth in OUTPUT_DEPTHS]),
        help="Default: that of the files.",
    ),
    click.option(
        "--subsampling",
        type=click.Choice(get_args(Subsampling)),
        help="Of the chroma of JPEG and AVIF.",
    ),
    click.option(
        "--progressive",
        is_flag=True,
        default=None,
        help="A JPEG that shows itself coarse first.",
    ),
    click.option(
        "--metadata",
        type=click.Choice(get_args(MetadataMode)),
        help="EXIF of the reference: keep it, without the place, or none. Default: keep.",
    ),
    click.option(
        "--profile",
        type=click.Choice(get_args(ProfileMode)),
        help="keep: the reference's colour profile. Default: srgb.",
    ),
)
