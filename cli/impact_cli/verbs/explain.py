"""`impact explain`: how the figure of a user's day comes about."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from impact.naming import USER, fields_of
from impact_cli.days import SingleDay, UserId, first_day
from impact_cli.follow_up import same_stack
from impact_cli.output import write_json
from impact_cli.records import to_json
from impact_cli.table import as_argument, table, visible, whose
from impact_cli.target import Target, with_target
from impact_cli.verbs.events import COLUMNS as EVENT_COLUMNS

if TYPE_CHECKING:
    from impact_cli.explanation import Calculation, Explanation, Priced
    from impact_cli.user_day import UserDay

EVENTS_SHOWN = 20


@click.command()
@click.argument("user", type=UserId())
@click.option(
    "--day", type=SingleDay(), default="yesterday", help="YYYY-MM-DD, today or yesterday. [yesterday]"
)
@click.option("--json", "as_json", is_flag=True, help="Print steps, events and fields as JSON.")
@with_target
def command(user: str, day: str, as_json: bool, target: Target) -> int:
    """Show each step from the requests of USER to the figure of a day, and check it. Needs AWS credentials.

    The sums are computed anew from the ledger, and compared with the stored summary, to the last digit. The
    exit code is 1 if they differ. A day of which requests may have expired is not checked.

    \b
    Example:
      impact explain alice --day 2026-11-23
    """
    from impact_cli.deployed_stack import calendar_of, store_of
    from impact_cli.explanation import explain
    from impact_cli.user_day import read_user_day

    session = target.session()
    store = store_of(session, target.stack)
    calendar = calendar_of(session, target.stack, store)
    now = datetime.now(UTC)
    day = first_day(day, lambda: calendar.day_of(now))
    found = read_user_day(store, calendar, user, day, now)
    explanation = explain(found.events, found.summary, found.rate, found.terms, found.entries)
    who = {"userId": user, **fields_of(store.names.get(USER, user))}
    if as_json:
        write_json(who | _document(day, found, explanation))
    else:
        print(same_stack("\n".join(_lines(who, day, found, explanation))))
    differs = explanation.differences or (found.summary is None) != (not found.events)
    return 1 if differs and not found.may_have_expired else 0


def _lines(who: dict[str, Any], day: str, found: "UserDay", explanation: "Explanation") -> list[str]:
    head = f"{whose(who)}, {day}"
    if not found.events and found.summary is None:
        return [f"{head}: no requests, and no summary."]
    return [
        f"{head}: {len(found.events):,} requests in the ledger",
        "",
        *_events(found.events, who["userId"], day),
        *([] if found.may_have_expired else [*_rate(found), *_steps(explanation), ""]),
        *_check(found, explanation),
    ]


def _events(events: list[dict[str, Any]], user: str, day: str) -> list[str]:
    if not events:
        return []
    first = sorted(events, key=lambda event: str(event["ts"]))[:EVENTS_SHOWN]
    lines = [table(first, EVENT_COLUMNS, left=3), ""]
    if len(events) > EVENTS_SHOWN:
        lines.insert(
            1, f"... and {len(events) - EVENTS_SHOWN:,} more: impact events --day {day} {as_argument(user)}"
        )
    return lines


def _rate(found: "UserDay") -> list[str]:
    if found.rate is None or found.rate_entry is None:
        return ["The day's fx rate is not known yet: dollars wait in `unconverted`.", ""]
    entry = found.rate_entry
    why = f", corrected: {visible(str(entry['reason']))}" if "replaces" in entry else ""
    return [
        f"Fx rate: {found.rate.usd:f} dollars for one euro, of {found.rate.date}, the last ECB date before"
        f" the day (from {visible(str(entry['source']))}, stored {str(entry['recordedAt'])[:19]}{why})",
        "",
    ]


def _steps(explanation: "Explanation") -> list[str]:
    lines = [*_calculation(explanation.now)]
    if explanation.first is not None:
        lines += ["", "The day was corrected. Before, it was final by other prices:", ""]
        lines += _calculation(explanation.first)
    return lines


def _calculation(calculation: "Calculation") -> list[str]:
    columns = {
        "step": lambda step: visible(f"{step.of}: {step.what}" if step.of else step.what, 60),
        "how": lambda step: visible(step.how),
        "result": lambda step: f"{step.result:f}",
        "": lambda step: str(step.unit),
    }
    prices = [line for priced in calculation.priced for line in _price(priced)]
    return [*prices, *([""] if prices else []), table(calculation.steps, columns, left=2)]


def _price(priced: "Priced") -> list[str]:
    """Which entry of the price book a model has, and which of its requests it is not for."""
    price = priced.price
    for_which = "requests without a cost" if price.only == "unpriced" else "all requests"
    lines = [
        f"{visible(priced.model, 60)}: price {price.id}, {visible(price.pattern, 60)} from {price.first_day},"
        f" for {for_which} ({visible(price.source)})"
    ]
    for reason, ids in priced.kept.items():
        requests = "1 request keeps" if len(ids) == 1 else f"{len(ids):,} requests keep"
        lines.append(f"  {requests} what was reported: {reason}")
    return lines


def _check(found: "UserDay", explanation: "Explanation") -> list[str]:
    if found.may_have_expired:
        return [
            "The ledger keeps requests for RetentionDays only: some of this day may be gone. The summary"
            " stays as it was computed, and cannot be checked against them."
        ]
    if found.summary is None:
        return ["There is no summary yet: the next rollup makes it."]
    if not explanation.differences:
        state = "final" if found.summary["final"] and not found.is_marked else "not final"
        return [f"The stored summary has the same figures, to the last digit. It is {state}."]
    lines = ["The stored summary differs:"]
    for name, (stored, computed) in explanation.differences.items():
        lines.append(f"  {name}: stored {_short(stored)}, from the ledger {_short(computed)}")
    if found.is_marked or not found.summary["final"]:
        lines.append("The day is not final: the next rollup counts what came since.")
    else:
        lines.append(
            f"Recompute the day: impact rollup {found.summary['day']}. If it stays, see docs/runbook.md."
        )
    return lines


def _short(value: Any) -> str:
    return visible(to_json(value), 100)


def _document(day: str, found: "UserDay", explanation: "Explanation") -> dict[str, Any]:
    return {
        "day": day,
        "mayHaveExpired": found.may_have_expired,
        "fxRate": found.rate_entry,
        "terms": found.terms,
        "events": found.events,
        "prices": [_priced(one) for one in explanation.now.priced],
        "steps": [vars(step) for step in explanation.now.steps],
        "stepsBefore": [vars(step) for step in explanation.first.steps] if explanation.first else None,
        "stored": found.summary,
        "computed": explanation.computed,
        "differences": {
            name: {"stored": stored, "computed": computed}
            for name, (stored, computed) in explanation.differences.items()
        },
    }


def _priced(priced: "Priced") -> dict[str, Any]:
    requests = [event["eventId"] for event in priced.requests]
    entry = {"id": priced.price.id, **priced.price.as_fields()}
    return {"model": priced.model, "price": entry, "requests": requests, "kept": priced.kept}
