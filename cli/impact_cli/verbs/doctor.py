"""`impact doctor`: is everything all right?"""

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from impact_cli.follow_up import same_stack
from impact_cli.records import to_json
from impact_cli.target import Target, with_target

if TYPE_CHECKING:
    from impact_cli.doctor import Finding

MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "fault": ("✗", "red")}
"""How a level is shown on a terminal."""


@click.command()
@click.option("--quiet", is_flag=True, help="Print only what is not all right: nothing if all is. For cron.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of part, level, message and action.")
@with_target
def command(quiet: bool, as_json: bool, target: Target) -> int:
    """Look at every part of a running stack: what is wrong, and what to do about it.

    The API and its tokens, this machine's clock, and with AWS credentials the stack, its settings, tables,
    schedules, rollup, queues, fx rates, prices, alarms and senders. It changes nothing. Exit code 0: all is
    well, or there are warnings at most; 1: there is a fault, or something could not be looked at.

    \b
    Examples:
      impact doctor
      impact doctor --stack impact-test --json
      0 7 * * * impact doctor --quiet       # a line of a crontab: it mails what is not all right
    """
    from impact_cli.doctor import FAULT, OK
    from impact_cli.doctor_parts import examine

    report = examine(target, datetime.now(UTC))
    rows = [
        (part, finding)
        for part, findings in report.items()
        for finding in findings
        if not quiet or finding.level != OK
    ]
    if as_json:
        print(to_json([_record(part, finding) for part, finding in rows]))
    elif rows:
        _print(rows)
    return 1 if any(finding.level == FAULT for _, finding in rows) else 0


def _record(part: str, finding: "Finding") -> dict[str, str | None]:
    action = finding.action and same_stack(finding.action)
    return {"part": part, "level": finding.level, "message": finding.message, "action": action}


def _print(rows: "list[tuple[str, Finding]]") -> None:
    widest = max(len(part) for part, _ in rows)
    for part, finding in rows:
        click.echo(f"{_mark(finding.level)}  {part:{widest}}  {finding.message}")
    to_do = [(part, finding.action) for part, finding in rows if finding.action]
    if to_do:
        click.echo("\nWhat to do:")
    for part, action in to_do:
        click.echo(f"  {part:{widest}}  {same_stack(action)}")


def _mark(level: str) -> str:
    """The level: a coloured sign on a terminal, a word elsewhere."""
    if not sys.stdout.isatty():
        return f"{level:7}"
    sign, colour = MARKS[level]
    return click.style(sign, fg=colour, bold=True)
