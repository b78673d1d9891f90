"""`impact explain`: how the figure of a user's day comes about."""

import textwrap
from datetime import UTC, datetime
from itertools import groupby
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
IDS_SHOWN = 3
LINE_WIDTH = 80
STEP_WIDTH = 15
"""Of the longest name of a step."""
NO_BREAK = "\xa0"
NAME_MAX, SOURCE_MAX, ID_MAX = 60, 60, 40


@click.command()
@click.argument("user", type=UserId())
@click.option(
    "--day", type=SingleDay(), default="yesterday", help="YYYY-MM-DD, today or yesterday. [yesterday]"
)
@click.option("--json", "as_json", is_flag=True, help="Print steps, events and fields as JSON.")
@with_target
def command(user: str, day: str, as_json: bool, target: Target) -> int:
    """Show each step from the requests of USER to the figure of a day, and check it. Needs AWS credentials.

    The sums are computed anew from the ledger and, where it has a price, by the price book. They are compared
    with the stored summary, to the last digit. The exit code is 1 if they differ. A day of which requests may
    have expired is not checked.

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
        *([] if found.may_have_expired else _figures(found, explanation)),
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
    text = (
        f"Fx rate: {found.rate.usd:f} dollars for one euro, of {found.rate.date}, the last ECB date before"
        f" the day (from {visible(str(entry['source']))}, stored {str(entry['recordedAt'])[:19]}{why})"
    )
    return [*_filled(text, 2), ""]


def _figures(found: "UserDay", explanation: "Explanation") -> list[str]:
    return [*_rate(found), *_calculation(explanation.now), *_before(explanation)]


def _calculation(calculation: "Calculation") -> list[str]:
    """The steps under the name of their model, and which requests of it the price book prices."""
    priced = {one.model: one for one in calculation.priced}
    lines: list[str] = []
    for of, steps in groupby(calculation.steps, key=lambda step: step.of):
        lines += _heading(of, priced.pop(of, None))
        for step in steps:
            result = f"={NO_BREAK}{step.result:f}{NO_BREAK}{step.unit}"
            lines += _filled(f"  {step.what:{STEP_WIDTH}}  {step.how} {result}", STEP_WIDTH + 4)
        lines.append("")
    for of, one in priced.items():  # those of which no request has a cost
        lines += [*_heading(of, one), ""]
    return lines


def _heading(of: str, priced: "Priced | None") -> list[str]:
    lines = [visible(of, LINE_WIDTH)] if of else []
    if priced is None:
        return lines
    price, kept = priced.price, priced.kept
    whole = len(priced.requests) + sum(map(len, kept.values()))
    of_which = "all requests" if price.only == "all" else "requests without a cost"
    source = f"; {visible(price.source, SOURCE_MAX)}" if price.source else ""
    lines += _filled(
        f"  Price {price.id} is for {visible(price.pattern, NAME_MAX)}, {of_which}, from {price.first_day},"
        f" in {price.currency}{source}",
        4,
    )
    lines += _filled(f"  {len(priced.requests):,} of {whole:,} requests have it{_uses_nothing(priced)}", 4)
    for reason, ids in kept.items():
        shown = ", ".join(visible(event_id, ID_MAX) for event_id in ids[:IDS_SHOWN])
        more = f" and {len(ids) - IDS_SHOWN:,} more" if len(ids) > IDS_SHOWN else ""
        lines += _filled(f"  Not by the book, because {reason}: {shown}{more}", 4)
    return lines


def _uses_nothing(priced: "Priced") -> str:
    from_cache = sum(bool(event.get("cacheHit")) for event in priced.requests)
    return f"; {from_cache:,} came from the proxy's cache and used nothing" if from_cache else ""


def _filled(text: str, indent: int) -> list[str]:
    """Break a line at its spaces. A number is never broken, nor parted from its unit by NO_BREAK."""
    lines = textwrap.wrap(
        text, LINE_WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )
    return [line.replace(NO_BREAK, " ") for line in lines]


def _before(explanation: "Explanation") -> list[str]:
    if explanation.first is None:
        return []
    billed = [c.figures["billedEUR"] for c in (explanation.first, explanation.now)]
    return [
        f"The day was corrected since: {billed[1]:f} EUR instead of",
        f"{billed[0]:f} EUR. It was final with these figures at first:",
        "",
        *_calculation(explanation.first),
    ]


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
        **_written(explanation.now),
        **({"before": _written(explanation.first)} if explanation.first else {}),
        "stored": found.summary,
        "computed": explanation.computed,
        "differences": {
            name: {"stored": stored, "computed": computed}
            for name, (stored, computed) in explanation.differences.items()
        },
    }


def _written(calculation: "Calculation") -> dict[str, Any]:
    return {
        "prices": [
            {
                "model": one.model,
                "id": one.price.id,
                **one.price.as_fields(),
                "events": [event["eventId"] for event in one.requests],
                "kept": one.kept,
            }
            for one in calculation.priced
        ],
        "steps": [vars(step) for step in calculation.steps],
    }
