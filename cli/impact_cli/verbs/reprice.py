"""`impact reprice`: correct final days by the price book."""

import sys
from datetime import UTC, datetime
from decimal import localcontext
from typing import TYPE_CHECKING, Any

import click

from impact_cli.days import EXAMPLES, Day, bounds
from impact_cli.output import note, write_json
from impact_cli.table import NONE, amount, table, visible
from impact_cli.target import Target, with_target

if TYPE_CHECKING:
    from impact_cli.repricing import Change, Changes, Days

SHOWN = 20
"""Most users, and most teams, in the preview on a terminal. --json has all of them."""
REASON_MAX = 500
DAYS_MAX = 366
"""Most days in one correction: it is one item, which keeps what was before of each of them."""


@click.command()
@click.option("--since", type=Day(), required=True, help=f"First day: {EXAMPLES}.")
@click.option("--until", type=Day(), help="Last day, included: as --since. [of a month its end, else today]")
@click.option("--reason", help="Why: it is kept with the correction. Not needed with --dry-run.")
@click.option("--dry-run", is_flag=True, help="Only print what would change.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print what changes as one JSON document.")
@with_target
def command(
    since: str,
    until: str | None,
    reason: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    target: Target,
) -> int:
    """Count final days again with the newest prices of the price book. Needs AWS credentials.

    Days that are not final take a new price by themselves; a final day keeps its prices until this command
    corrects it. First it prints what the requests whose cost changes cost before and after, by month, team
    and user, and asks. What was before, who asked and why is kept: `impact corrections`. Days whose events
    have expired stay as they are.

    \b
    Examples:
      impact reprice --since 2026-11-01 --until 2026-11-15 --dry-run
      impact reprice --since 2026-11 --reason "contract 17"
    """
    from impact_cli.deployed_stack import calendar_of, store_of
    from impact_cli.repricing import count_changes, days_of

    why = _reason(reason, dry_run=dry_run)
    session, now = target.session(), datetime.now(UTC)
    store = store_of(session, target.stack, connections=16)
    calendar = calendar_of(session, target.stack, store)
    today = calendar.day_of(now)
    first, last = bounds(since, until, lambda: today)
    if str(first) > today:
        raise click.BadParameter(f"{first} is in the future.", param_hint="--since")
    book = store.prices.book()
    days = days_of(store, calendar, book, str(first), last or today, now)
    changes = count_changes(store, calendar, book, days)
    days = days.leaving_out_unchanged(changes.days)
    if as_json:
        write_json(_document(days, changes))
    else:
        _show(days, changes)
    if not days.due:
        note("There is nothing to correct.")
        return 0
    if len(days.due) > DAYS_MAX:
        raise click.ClickException(f"{len(days.due)} days are more than {DAYS_MAX} at once: give --until.")
    if dry_run:
        note("Nothing was changed, because of --dry-run.")
        return 0
    return _correct(target.stack, session, store, calendar, book.revision, days, why, yes=yes)


def _reason(reason: str | None, *, dry_run: bool) -> str:
    """Check the reason: DynamoDB has to store it, and what a shell passes may be no UTF-8."""
    why = (reason or "").strip()
    if reason is None and not dry_run:
        raise click.UsageError("Missing option '--reason': it is kept with the correction.")
    if reason is not None and not 0 < len(why) <= REASON_MAX:
        raise click.BadParameter(f"Give 1 to {REASON_MAX} characters.", param_hint="--reason")
    try:
        why.encode()
    except UnicodeEncodeError:
        raise click.BadParameter("It is not UTF-8.", param_hint="--reason") from None
    return why


def _correct(
    stack: str,
    session: Any,
    store: Any,
    calendar: Any,
    revision: int,
    days: "Days",
    reason: str,
    *,
    yes: bool,
) -> int:
    from impact.corrections import append_correction, finish_corrections
    from impact_cli.deployed_stack import caller_of
    from impact_cli.questions import agreed
    from impact_cli.repricing import totals_of

    if not (yes or agreed(f"Correct {_number(days.due)}?")):
        without = "" if sys.stdin.isatty() else ": without a terminal, confirm with --yes"
        note(f"Nothing was changed{without}.")
        return 1
    by = caller_of(session)
    now = datetime.now(UTC)
    before = totals_of(store, calendar, days.due)
    correction = append_correction(store, revision, before, reason=reason, by=by, now=now)
    note(f"Correction {correction.number} is recorded. If this is stopped, the hourly rollup finishes it.")
    finish_corrections(store, calendar, now)
    failed = _recompute(session, stack, days.due)
    after = {total["day"]: total for total in totals_of(store, calendar, days.due)}
    rows = [(total, after.get(total["day"], total)) for total in before]
    columns = {
        "day": lambda pair: str(pair[0]["day"]),
        "EUR before": lambda pair: amount(pair[0]["costEUR"]),
        "EUR now": lambda pair: amount(pair[1]["costEUR"]),
        "final": lambda pair: "yes" if pair[1]["final"] else "not yet",
    }
    note(table(rows, columns))
    if failed:
        note(f"{_number(failed)} could not be recomputed now: the hourly rollup does it.")
    return 1 if failed else 0


def _recompute(session: Any, stack: str, days: list[str]) -> list[str]:
    """Recompute the days, and return those that failed."""
    from botocore.exceptions import BotoCoreError, ClientError

    from impact_cli.progress import Progress
    from impact_cli.workers import recompute_day

    failed = []
    for day in Progress().of(days, f"of {len(days)} days recomputed"):
        try:
            errors = recompute_day(session, stack, day).errors
        except (BotoCoreError, ClientError) as error:
            errors = (str(error),)
        if errors:
            note(f"{day}: {errors[0]}")
            failed.append(day)
    return failed


def _show(days: "Days", changes: "Changes") -> None:
    from impact_cli.repricing import REASONS

    for state, why in REASONS.items():
        if some := days.by_state.get(state):
            note(f"{why}: {_number(some)}.")
    if days.due:
        note(f"To be corrected: {_number(days.due)}. What the requests whose cost changes cost:")
    for title, of in (("month", changes.months), ("team", changes.teams), ("user", changes.users)):
        if of:
            print(_table(title, of), end="\n\n")
    if changes.unconverted:
        waiting = _number(sorted(changes.unconverted))
        note(f"Dollars of {waiting} wait for their fx rate: they are in no column.")


def _table(title: str, changes: "dict[Any, Change]") -> str:
    from impact.decimals import EXACT
    from impact_cli.repricing import Change

    ordered = sorted(changes.items(), key=lambda pair: (-abs(pair[1].difference), str(pair[0])))
    if title == "month":
        ordered.sort(key=lambda pair: str(pair[0]))
    shown, others = ordered[:SHOWN], Change()
    with localcontext(EXACT):
        for _, change in ordered[SHOWN:]:
            others.add(change)
    if len(ordered) > SHOWN:
        shown.append((f"({len(ordered) - SHOWN} others)", others))
    columns = {
        title: lambda pair: NONE if pair[0] is None else visible(str(pair[0]), 36),
        "EUR before": lambda pair: amount(pair[1].before),
        "EUR after": lambda pair: amount(pair[1].after),
        "difference": lambda pair: f"{'+' if pair[1].difference > 0 else ''}{amount(pair[1].difference)}",
    }
    return table(shown, columns)


def _document(days: "Days", changes: "Changes") -> dict[str, Any]:
    def listed(name: str, of: "dict[Any, Change]") -> list[dict[str, Any]]:
        return [
            {name: key, "costEURBefore": change.before, "costEUR": change.after}
            for key, change in sorted(of.items(), key=lambda pair: str(pair[0]))
        ]

    return {
        "days": days.by_state,
        "months": listed("month", changes.months),
        "teams": listed("teamId", changes.teams),
        "users": listed("userId", changes.users),
    }


def _number(days: list[str]) -> str:
    return f"1 day ({days[0]})" if len(days) == 1 else f"{len(days)} days ({days[0]} to {days[-1]})"
