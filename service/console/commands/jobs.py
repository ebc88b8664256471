"""`expofuse jobs`: has a service fuse exposures while nobody waits on a connection."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from service.console.exits import explaining
from service.console.options import OptionValue, fuse_options, make_choices
from service.console.output import CommandFunction, json_option, write_json, write_picture
from service.console.own_url import find_own_url

if TYPE_CHECKING:
    from expofuse.answers import JobStatus
    from expofuse.client import Client


def _server_option(function: CommandFunction) -> CommandFunction:
    return click.option(
        "--server", "--url", "server", metavar="URL", help="Default: EXPOFUSE_PORT of 127.0.0.1."
    )(function)


def _job_argument(function: CommandFunction) -> CommandFunction:
    return click.argument("job_id", metavar="ID")(function)


@click.group("jobs")
def command() -> None:
    """Have a service fuse exposures, and fetch the picture later.

    A job outlives this command, the connection and the service: what was accepted is fused. Its id
    is a secret: whoever knows it may fetch the picture.

    \b
    Examples:
      job=$(expofuse jobs submit dark.jpg bright.jpg --server http://127.0.0.1:8000)
      expofuse jobs show "$job"
      expofuse jobs fetch "$job" -o fused.jpg --wait
      expofuse jobs cancel "$job"
      expofuse jobs list

    Exit codes: 0 done, 1 the job or the service failed, 2 misused.
    """


@command.command("submit")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE..."
)
@click.option("--webhook", metavar="URL", help="What the service calls when the job is over.")
@_server_option
@fuse_options
@json_option
def submit_job(
    files: tuple[Path, ...],
    webhook: str | None,
    server: str | None,
    as_json: bool,
    **values: OptionValue,
) -> None:
    """Send the exposures of one scene, and print the id of the job."""
    from service.console.clients import make_client_options

    options = make_client_options(make_choices(values))
    with explaining(as_json=as_json), _asking(server) as client:
        job = client.submit(files, webhook=webhook, **options)
    if as_json:
        _write_status(job)
    else:
        sys.stdout.write(f"{job.id}\n")


@command.command("list")
@_server_option
@json_option
def list_jobs(server: str | None, as_json: bool) -> None:
    """List the jobs of your API key, the last accepted first."""
    with explaining(as_json=as_json), _asking(server) as client:
        jobs = client.jobs()
    if as_json:
        write_json({"jobs": [job.model_dump(mode="json") for job in jobs]})
        return
    for job in jobs:
        sys.stdout.write(f"{job.id}  {_describe(job)}\n")


@command.command("show")
@_job_argument
@_server_option
@json_option
def show_job(job_id: str, server: str | None, as_json: bool) -> None:
    """Say how far a job is."""
    with explaining(as_json=as_json), _asking(server) as client:
        job = client.job(job_id)
    if as_json:
        _write_status(job)
    else:
        sys.stdout.write(f"{_describe(job)}\n")


@command.command("fetch")
@_job_argument
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Where the picture goes; - for standard output.",
)
@click.option("--wait", "waits", is_flag=True, help="Until the job is over.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(0.1), help="Seconds of --wait.")
@_server_option
@json_option
def fetch_picture(
    job_id: str,
    out: Path,
    waits: bool,
    timeout_s: float | None,
    server: str | None,
    as_json: bool,
) -> None:
    """Fetch the picture of a job that is done; it stays until it is cancelled or expires."""
    from service.console.engines import picture_of, tell_picture

    if timeout_s is not None and not waits:
        raise click.UsageError("expected --wait with --timeout")
    with explaining(as_json=as_json):
        with _asking(server) as client:
            if waits:
                client.wait(job_id, timeout_s=timeout_s)
            picture = picture_of(client.result(job_id))
        write_picture(picture.content, out)
    tell_picture(picture, out, {}, as_json=as_json)


@command.command("cancel")
@_job_argument
@_server_option
@json_option
def cancel_job(job_id: str, server: str | None, as_json: bool) -> None:
    """Cancel a job that waits or runs; remove one that is over, with its picture."""
    with explaining(as_json=as_json), _asking(server) as client:
        client.cancel(job_id)
    if as_json:
        write_json({"cancelled": job_id})


@contextmanager
def _asking(server: str | None) -> Iterator["Client"]:
    from service.console.clients import explaining_client, open_client

    with open_client(server or find_own_url()) as client, explaining_client():
        yield client


def _write_status(job: "JobStatus") -> None:
    write_json(job.model_dump(mode="json"))


def _describe(job: "JobStatus") -> str:
    """A job on one line."""
    parts: list[str] = [job.state]
    if job.stage is not None:
        parts.append(f"{job.stage} ({100 * job.progress:.0f} %)")
    if job.place:
        parts.append(f"place {job.place}")
    if job.expected_s is not None:
        parts.append(f"expected in {job.expected_s:.0f} s")
    if job.problem is not None:
        parts.append(job.problem.detail)
    return "; ".join([*parts, f"accepted {job.accepted_at:%Y-%m-%d %H:%M:%S%z}"])
