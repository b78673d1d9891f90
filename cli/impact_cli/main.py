"""The entry point: which commands there are, and how each of them ends."""

import os
import sys
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click

from impact_cli.table import visible
from impact_client import ImpactError, Rejected

VERBS = {
    "What it costs": {
        "usage": "days and sum of a user, team, key or tag, or of the platform",
        "top": "users, teams, keys, tags, models or providers, dearest first",
        "day": "every user of a day",
    },
    "Down to the request": {
        "events": "the requests of a user's day",
        "explain": "how the figure of a user's day comes about",
        "tail": "events as they arrive",
    },
    "Files": {
        "export": "summaries or events as CSV, JSON Lines, FOCUS or Parquet; all that is held of a person",
    },
    "The stack": {
        "configure": "write down where the stack is, and its tokens",
        "send": "send a sample event",
        "doctor": "look at every part: what is wrong, and what to do",
        "token": "create, list and revoke tokens",  # nosec B105
        "link": "links with which people see their own usage",
        "name": "name users, teams and keys, with their cost centres",
        "rates": "list, store and correct fx rates",
        "price": "your own prices of models, and a second opinion",
        "reprice": "correct final days by the price book",
        "corrections": "how final days were corrected, by whom and why",
        "rollup": "recompute a day",
        "replay": "repeat failed calls of the dead-letter queues",
        "erase": "delete all that is held of a user",
        "put-back": "copy missing items from a restored table",
        "deploy": "deploy the stack, from a checkout",
        "revert-drift": "bring back what was changed by hand",
        "completion": "print the shell's completion script",
    },
}
"""By section of the help. The module of a command is imported when it is needed."""

INTERRUPTED = 130


class Verbs(click.Group):
    """Imports a command's module only when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for verbs in VERBS.values() for name in verbs]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = import_module(f"impact_cli.verbs.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section, verbs in VERBS.items():
            with formatter.section(section):
                formatter.write_dl(list(verbs.items()))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            close = get_close_matches(args[0], self.list_commands(ctx))
            if close and error.message.startswith("No such command"):
                error.message += f" Did you mean {' or '.join(close)}?"
            raise


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage. `impact COMMAND --help` has examples.",
)
@click.option("--profile", metavar="NAME", help="Profile of ~/.config/impact/config.toml.")
@click.option("--stack", metavar="NAME", help="Name of the stack.")
@click.version_option(package_name="impact-cli", message="impact %(version)s")
@click.pass_context
def cli(context: click.Context, profile: str | None, stack: str | None) -> None:
    """What AI chat costs, per user and day, from an Impact Service.

    \b
    Examples:
      impact configure                       # once: where the stack is, and its tokens
      impact usage alice --since 2026-11     # a user's month
      impact top models --since last-month   # where the money went
      impact export focus --since 2026-11 --output november.csv
      impact doctor                          # is everything all right?
    """
    context.obj = {"profile": profile, "stack": stack}
    if os.environ.get("NO_COLOR"):
        context.color = False


def main(arguments: list[str] | None = None) -> int:
    """Run a command, and return its exit code."""
    _prepare_streams()
    try:
        code = cli.main(arguments, prog_name="impact", standalone_mode=False)
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit) as error:
        # click itself ends with SystemExit: after a broken pipe, and after a completion.
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
            raise
        _write_no_more()
        return 0
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except Exception as error:
        message = _message(error)
        if message is None:
            raise
        click.echo(f"Error: {message}", err=True)
        if isinstance(error, OSError):
            _write_no_more()
        return 1
    return code if isinstance(code, int) else 0


def _prepare_streams() -> None:
    """Let an id stand in any terminal. Elsewhere it is UTF-8, as in the files that --output names.

    A stream that the caller has closed takes all and keeps nothing.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        stream = getattr(sys, name)
        stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")


def _message(error: Exception) -> str | None:
    """What to say to an error of the service, of AWS or of the machine; None for a fault of this command."""
    if isinstance(error, Rejected):
        reasons = [f"{reason.get('field')}: {reason.get('message')}" for reason in error.details]
        return f"{error} {'; '.join(reasons)}".rstrip()
    if isinstance(error, ImpactError):
        return str(error)
    if isinstance(error, OSError):
        what = visible(str(error.filename)) if error.filename else "The output"
        return f"{what} cannot be written or read: {error.strerror or error}."
    return _of_aws(error)


def _write_no_more() -> None:
    """Leave nothing for Python to write at its exit: that would fail again."""
    with suppress(OSError):
        sys.stdout.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _of_aws(error: Exception) -> str | None:
    """What to say to an error of boto3's; None for any other."""
    if "botocore" not in sys.modules:
        return None
    from botocore.exceptions import BotoCoreError, ClientError

    is_endpoint = isinstance(error, ValueError) and str(error).startswith("Invalid endpoint")
    if not (is_endpoint or isinstance(error, BotoCoreError | ClientError)):
        return None
    from impact_cli.deployed_stack import cannot_call

    return cannot_call(error)
