"""`expofuse version`: prints the version."""

import sys

import click

from service.console.output import json_option, write_json


@click.command("version")
@json_option
def command(as_json: bool) -> None:
    """Print the version of the package.

    \b
    Examples:
      expofuse version
      expofuse version --json
    """
    from expofuse.package_version import package_version

    if as_json:
        write_json({"version": package_version()})
    else:
        sys.stdout.write(f"expofuse {package_version()}\n")
