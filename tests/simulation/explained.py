"""The final summaries of a simulation, each computed from the ledger as `impact explain` does."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from impact.dynamodb import item_from_wire
from impact_cli.explanation import explain
from impact_cli.user_day import UserDay, read_user_day
from tests.simulation.cloud import SUMMARIES, Cloud
from tests.simulation.oracle import Violation
from tests.simulation.world import Process

ALL = "summaries"


def explain_summaries(cloud: Cloud) -> Counter[str]:
    """Explain each summary whose events are all there. Return how many there were, by what is in them.

    Raises Violation if a figure differs.
    """
    world, store, calendar = cloud.world, cloud.store(1), cloud.calendar
    summaries = [item_from_wire(item) for item in cloud.database.tables[SUMMARIES].items()]
    found: Counter[str] = Counter()
    ended: list[bool] = []

    def explain_each() -> None:
        for user_id, day in sorted((summary["userId"], summary["day"]) for summary in summaries):
            read = read_user_day(store, calendar, user_id, day, world.clock)
            if read.may_have_expired:
                continue
            explanation = explain(read.events, read.summary, read.rate, read.terms, read.entries)
            if read.summary is None or explanation.differences:
                raise Violation(f"explain differs of {user_id}, {day}: {explanation.differences}", day)
            found.update(name for name, is_so in _properties(read, read.summary).items() if is_so)
        ended.append(True)

    world.spawn(Process("explain"), explain_each)
    world.run(lambda: bool(ended))
    return found


def _properties(read: UserDay, summary: Mapping[str, Any]) -> dict[str, bool]:
    return {
        ALL: True,
        "of several events": len(read.events) > 1,
        "of several models": len(summary["models"]) > 1,
        "with failures": summary["failures"] > 0,
        "with unpriced events": summary["unpriced"] > 0,
        "with euros of ingest's own conversion": any("fxRate" in event for event in read.events),
        "with a footprint": summary["rated"] > 0,
        "with events without a footprint": summary["unrated"] > 0,
        "with square metres": "restoredM2" in summary,
        "with a markup": summary["markupEUR"] > 0,
        "with a fee": summary["restorationFeeEUR"] > 0,
    }
