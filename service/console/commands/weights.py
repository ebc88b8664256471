"""`expofuse weights`: lists, verifies and shows versions of weights."""

from pathlib import Path

import click

from service.console.exits import explaining
from service.console.output import CommandFunction, json_option


def _dir_option(function: CommandFunction) -> CommandFunction:
    return click.option(
        "--dir",
        "folder",
        type=click.Path(path_type=Path),
        help="Where weights lie. Default: where the service looks.",
    )(function)


@click.group("weights")
def command() -> None:
    """List, verify or show the versions of weights.

    \b
    Examples:
      expofuse weights list
      expofuse weights verify --all
      expofuse weights show pyramid-blend-2.1.0 --json

    Exit codes: 0 done, 1 a version did not pass, 2 misused, or no such version.
    """


@command.command("list")
@_dir_option
@json_option
def list_versions(folder: Path | None, as_json: bool) -> None:
    """List the versions that are there."""
    with explaining(as_json=as_json):
        from service.console.weights import list_weights

        list_weights(folder, as_json=as_json)


@command.command("verify")
@click.argument("version", required=False, metavar="NAME-VERSION")
@click.option("--all", "is_all", is_flag=True, help="Every version that is there.")
@_dir_option
@json_option
def verify_versions(version: str | None, is_all: bool, folder: Path | None, as_json: bool) -> int:
    """Check the schema, the hashes and the network's answer."""
    if (version is None) != is_all:
        raise click.UsageError("expected either NAME-VERSION, or a path with a /, or --all")
    with explaining(as_json=as_json):
        from service.console.weights import verify_weights_versions

        return verify_weights_versions(version, folder, as_json=as_json)


@command.command("show")
@click.argument("version", metavar="NAME-VERSION")
@_dir_option
@json_option
def show_version(version: str, folder: Path | None, as_json: bool) -> None:
    """Show what a version's manifest says; with --json the manifest itself."""
    with explaining(as_json=as_json):
        from service.console.weights import show_weights

        show_weights(version, folder, as_json=as_json)
