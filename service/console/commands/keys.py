"""`expofuse keys`: adds, lists and revokes the API keys of a service."""

from datetime import UTC, datetime
from pathlib import Path

import click

from service.console.exits import explaining
from service.console.output import CommandFunction, json_option


class MomentType(click.ParamType["datetime"]):
    """A date, or a date and a time; of UTC where no zone is named."""

    name = "date"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """The moment."""
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"expected a date such as 2027-01-31, got '{value}'", param, ctx)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _file_option(function: CommandFunction) -> CommandFunction:
    return click.option(
        "--file",
        "file",
        type=click.Path(path_type=Path),
        envvar="EXPOFUSE_KEYS__FILE",
        required=True,
        show_envvar=True,
        help="File of the keys, hashed.",
    )(function)


@click.group("keys")
def command() -> None:
    """Add, list or revoke the API keys of a service.

    They lie in the file that EXPOFUSE_KEYS__FILE names. A running service reads it anew within
    seconds of a change, or at once on SIGHUP.

    \b
    Examples:
      expofuse keys add "batch of the studio" --requests-per-minute 600
      expofuse keys add visitor --megapixels-per-minute 100 --concurrency 1 --expires 2027-01-31
      expofuse keys list
      expofuse keys revoke k7w2mzqa

    Exit codes: 0 done, 1 the file cannot be read or written, 2 misused, or no such key.
    """


@command.command("add")
@click.argument("name")
@click.option("--requests-per-minute", type=click.IntRange(1), help="Default: of the service.")
@click.option("--megapixels-per-minute", type=click.IntRange(1), help="Default: of the service.")
@click.option("--concurrency", type=click.IntRange(1), help="Requests at one time.")
@click.option("--expires", type=MomentType(), metavar="DATE", help="Default: never.")
@_file_option
@json_option
def add_key(
    name: str,
    requests_per_minute: int | None,
    megapixels_per_minute: int | None,
    concurrency: int | None,
    expires: datetime | None,
    file: Path,
    as_json: bool,
) -> None:
    """Add a key and print it, this once: the file holds its hash alone."""
    with explaining(as_json=as_json):
        from service.console.keys import KeyLimits, add_key

        limits = KeyLimits(requests_per_minute, megapixels_per_minute, concurrency)
        add_key(file, name, limits, expires, as_json=as_json)


@command.command("list")
@_file_option
@json_option
def list_keys(file: Path, as_json: bool) -> None:
    """List the keys, without their secrets, which nobody has."""
    with explaining(as_json=as_json):
        from service.console.keys import list_keys

        list_keys(file, as_json=as_json)


@command.command("revoke")
@click.argument("key_id", metavar="ID")
@_file_option
@json_option
def revoke_key(key_id: str, file: Path, as_json: bool) -> None:
    """Revoke a key; it stays in the list, so that its id is never given again."""
    with explaining(as_json=as_json):
        from service.console.keys import revoke_key

        revoke_key(file, key_id, as_json=as_json)
