"""Commands that a message tells people to run: for the same stack as the command that they ran."""

import re
from shlex import quote

import click

_OPTIONS = "impact_cli.follow_up"
_COMMAND = re.compile(
    r"(?<![\w/.-])impact (?="
    r"(?:corrections|deploy|events|price|rates|replay|reprice|revert-drift|rollup|token|usage)\b)"
)


def remember(profile: str | None, stack: str | None) -> None:
    """Note which profile and stack the command was given."""
    given = {"--profile": profile, "--stack": stack}
    text = "".join(f"{name}={quote(value)} " for name, value in given.items() if value)
    click.get_current_context().meta[_OPTIONS] = text


def same_stack(message: str) -> str:
    """Add the profile and the stack to each command of a message."""
    context = click.get_current_context(silent=True)
    options = context.meta.get(_OPTIONS, "") if context else ""
    return _COMMAND.sub(lambda found: found[0] + options, message)
