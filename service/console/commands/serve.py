"""`expofuse serve`: runs the service."""

import click

from service.console.exits import EXIT_MISUSED, EXIT_SIGNALLED, CommandError


@click.command("serve")
def command() -> int:
    """Serve over HTTP until SIGTERM.

    Everything is set by environment variables that begin with EXPOFUSE_, see docs/settings.md. The
    log is JSON, one object a line, on standard error.

    \b
    Examples:
      expofuse serve
      EXPOFUSE_PORT=9000 EXPOFUSE_DEVICE=cpu expofuse serve

    SIGTERM and SIGINT let accepted jobs finish, a second one ends it at once; SIGHUP reads again
    what can be read again, the certificate for one.

    Exit codes: 0 stopped as asked, 1 it could not start, 2 a setting is wrong, 128 and the number
    of the signal where a second one ended it.
    """
    try:
        from service.logs import configure_logs
        from service.server import StartError, run_server
        from service.settings import SettingsError, load_settings
    except ImportError as cause:
        raise CommandError(
            f"expected the extra 'service', '{cause.name}' is not installed: "
            "pip install 'expofuse[service]' does it",
            code="not-installed",
        ) from cause
    try:
        settings = load_settings()
    except SettingsError as cause:
        raise CommandError(str(cause), EXIT_MISUSED) from cause
    configure_logs(settings.log_level)
    try:
        second = run_server(settings)
    except StartError as cause:
        raise CommandError(str(cause)) from cause
    return 0 if second is None else EXIT_SIGNALLED + second
