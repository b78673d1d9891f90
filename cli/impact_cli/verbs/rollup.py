"""`impact rollup`: recompute a day."""

import click

from impact_cli.days import SingleDay
from impact_cli.output import note
from impact_cli.target import Target, with_target


@click.command()
@click.argument("day", type=SingleDay(words=False))
@with_target
def command(day: str, target: Target) -> int:
    """Recompute the summaries of DAY from the ledger, and wait for the result. Needs AWS credentials.

    It can be repeated without harm: summaries are replaced, not incremented.

    \b
    Example:
      impact rollup 2026-11-23
    """
    from impact_cli.workers import recompute_day

    result = recompute_day(target.session(), target.stack, day)
    print(result)
    for error in result.errors:
        note(f"failed: {error}")
    return 1 if result.errors else 0
