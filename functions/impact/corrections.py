"""Corrections: final days are counted again, with a later revision of the price book.

A correction is appended first, with what was before and why. Then each of its days gets the revision, and
late marks: so the rollup recomputes it, and it reads as not final until that is done. Each step can be
repeated, and the planner finishes a correction whose command was stopped.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from impact.calendar import Calendar, timestamp
from impact.keys import MARK_GROUP
from impact.price_store import Correction
from impact.store import Store
from impact.types import Item

BEFORE = (
    *("requests", "unpriced", "repriced", "costReportedUSD", "costUSD", "costEUR", "unconverted"),
    *("markupEUR", "restorationFeeEUR", "billedEUR"),
)
"""What a correction keeps of a day's total."""


def append_correction(
    store: Store, revision: int, totals: Sequence[Item], *, reason: str, by: str, now: datetime
) -> Correction:
    """Append a correction of the days of these totals, as they are. It is in effect once it is finished."""
    before = {total["day"]: {name: total[name] for name in BEFORE if name in total} for total in totals}
    correction = Correction(0, revision, tuple(sorted(before)), reason, timestamp(now), by, before)
    while True:
        last = store.prices.corrections()
        correction = replace(correction, number=last[-1].number + 1 if last else 1)
        if store.prices.put_correction(correction):
            return correction


def finish_corrections(store: Store, calendar: Calendar, now: datetime) -> list[Correction]:
    """Have the days of corrections recomputed, where that was not done to the end. Return those corrections.

    Days whose events may have expired stay as they are.
    """
    unfinished = store.prices.unfinished()
    for correction in unfinished:
        for day in correction.days:
            if not calendar.may_have_expired(day, now):
                _correct(store, calendar, day, correction, now)
        store.prices.put_finished(correction.number, now)
    return unfinished


def _correct(store: Store, calendar: Calendar, day: str, correction: Correction, now: datetime) -> None:
    """Give a final day the correction's revision, unless it has a later one. Then mark it: never before."""
    revisions = store.prices.revisions_of(day)
    if not revisions:  # it was final before there were prices
        store.prices.fix_revision(day, 0, now)
        revisions = store.prices.revisions_of(day)
    while revisions[-1] < correction.revision:
        store.prices.correct_revision(day, len(revisions), correction)
        revisions = store.prices.revisions_of(day)
    shards = range(calendar.shard_count(day))
    for first in range(0, len(shards), MARK_GROUP):
        store.state.mark_late(day, shards[first : first + MARK_GROUP], now)
