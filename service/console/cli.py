"""The console script `expofuse`: one module of `service/console/commands` for each command.

A command is imported when it is called, and imports for itself what the others do not need. So each
of them starts fast, and `fuse` runs where the service's own dependencies are not installed.
"""

import importlib
import os
import sys
from collections.abc import Sequence

import click
from click.exceptions import NoArgsIsHelpError

from service.console.exits import EXIT_FAILED, EXIT_INTERRUPTED, CommandError

SUMMARIES = {
    "fuse": "Fuse the exposures of one scene.",
    "batch": "Find the brackets of a folder and fuse each of them.",
    "group": "Find the brackets of a folder and write them as JSON.",
    "compare": "Draw exposures and their fusion side by side, with histograms.",
    "serve": "Serve over HTTP until SIGTERM.",
    "health": "Ask a service whether it is ready.",
    "doctor": "Say what is wrong with this installation, and how to mend it.",
    "weights": "List, verify or show the versions of weights.",
    "keys": "Add, list or revoke the API keys of a service.",
    "jobs": "Have a service fuse exposures, and fetch the picture later.",
    "version": "Print the version.",
}
"""Every command with its first sentence: `--help` need not load the commands to list them."""

PROGRAM = "expofuse"


class CommandTable(click.Group):
    """Finds a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, in the order of `--help`."""
        return list(SUMMARIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name; None where there is none."""
        if cmd_name not in SUMMARIES:
            return None
        module = importlib.import_module(f"service.console.commands.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(SUMMARIES.items()))


@click.group(cls=CommandTable, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Multi-exposure image fusion, here and as a service.

    Every command tells more by --help. Exit codes: 0 done, 1 failed, 2 misused, 3 some brackets of
    a batch failed, 130 interrupted.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Without the programme's name; None takes the process's own.

    Returns:
        Exit code, see `service.console.exits`.
    """
    try:
        given = None if arguments is None else list(arguments)
        result = cli.main(given, prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
    except CommandError as error:
        error.tell()
        return error.exit_code
    except click.UsageError as error:
        return _explain_misuse(error)
    except click.ClickException as error:
        return CommandError.of(error).tell()
    except (click.Abort, KeyboardInterrupt):
        sys.stderr.write(f"{PROGRAM}: interrupted\n")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader, `head` for one, has seen enough. What is left must not be written at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    return result if isinstance(result, int) else 0


def _explain_misuse(error: click.UsageError) -> int:
    path = error.ctx.command_path if error.ctx else PROGRAM
    message = error.format_message()
    if isinstance(error, NoArgsIsHelpError):
        sys.stdout.write(f"{message}\n")
    else:
        sys.stderr.write(f"{PROGRAM}: {message}\ntry: {path} --help\n")
    return error.exit_code
