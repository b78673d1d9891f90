"""The plan: which (day, shard)s are due, and the watermark."""

from datetime import timedelta

import pytest

from impact.calendar import timestamp
from impact.keys import shard_of
from impact.state_store import Progress
from impact.store import Store
from tests.events import NOON, event
from tests.integration.steps import BUILDER, TODAY, put, roll_up, summary
from tests.rates import publish

pytestmark = pytest.mark.usefixtures("ledger_since_noon")


def test_a_day_becomes_final_when_allowed_lateness_has_passed_and_is_left_alone_then(store: Store) -> None:
    publish(store)
    put(store, event())
    roll_up(store)
    closes = BUILDER.calendar.closes_at(TODAY)
    roll_up(store, closes - timedelta(seconds=1))
    assert not summary(store)["final"]
    roll_up(store, closes)
    assert summary(store)["final"]
    assert roll_up(store, closes + timedelta(hours=1)) == 4  # the shards of the new day, and no more
    progress = store.state.progress()
    assert progress
    assert progress.watermark == TODAY


def test_a_late_event_opens_its_day_again(store: Store) -> None:
    publish(store)
    put(store, event(eventId="1"))
    later = NOON + timedelta(days=3)
    roll_up(store, later)
    roll_up(store, later)
    put(store, event(eventId="2"), now=later)
    assert store.state.marked() == {(TODAY, shard_of("alice", 4))}
    roll_up(store, later + timedelta(hours=1))
    assert (summary(store)["requests"], summary(store)["final"]) == (2, True)
    assert store.state.marked() == set()


def test_days_missed_while_the_rollup_was_down_are_recomputed(store: Store) -> None:
    put(store, event())
    roll_up(store)
    for day in range(1, 6):
        now = NOON + timedelta(days=day)
        put(store, event(ts=timestamp(now), eventId=str(day)), now=now)
    roll_up(store, NOON + timedelta(days=9))
    found = list(store.summaries.of_user("alice", TODAY, "2026-12-31"))
    assert [(each["requests"], each["final"]) for each in found] == [(1, True)] * 6


def test_progress_never_goes_back(store: Store) -> None:
    store.state.put_progress(Progress("2026-11-22", 4))
    store.state.put_progress(Progress("2026-11-20", 4))
    assert store.state.progress() == Progress("2026-11-22", 4)
