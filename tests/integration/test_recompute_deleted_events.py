"""Recompute: users and days of which events were deleted from the ledger."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from impact.billing import Terms
from impact.keys import day_shard, shard_of
from impact.ledger_entry import EntryBuilder
from impact.store import Store
from impact.summary_store import SummaryStore
from impact.usage_reader import UsageReader
from tests.events import NOON, entry_builder, event
from tests.integration.steps import TODAY, delete_events, put, recompute_again, summary
from tests.rates import publish

pytestmark = pytest.mark.usefixtures("ledger_since_noon")
SHARD = shard_of("alice", 4)
CLOSED = NOON + timedelta(days=3)
FEW = entry_builder(shard_count=1)


def users_shown(store: Store, builder: EntryBuilder) -> tuple[list[str], list[tuple[int, int]]]:
    """Who stands in the day's list; the platform's users and requests of that day."""
    reader = UsageReader(store, builder.calendar, Terms())
    listed = [item["userId"] for item in reader.day(TODAY, None)["items"]]
    return listed, [(row["users"], row["requests"]) for row in reader.platform(TODAY, TODAY)["days"]]


AT = pytest.mark.parametrize("now", [NOON, CLOSED], ids=["open day", "closed day"])


@AT
def test_a_user_whose_events_were_deleted_has_no_summary(store: Store, now: datetime) -> None:
    publish(store)
    put(store, event(), event(userId="bob"), event(userId="carol"), builder=FEW)
    recompute_again(store, now, FEW)
    assert users_shown(store, FEW) == (["alice", "bob", "carol"], [(3, 3)])
    delete_events(store, "bob", "e-1", builder=FEW)
    recomputed = recompute_again(store, now + timedelta(minutes=1), FEW)
    assert (recomputed.summaries_deleted, recomputed.summaries_written, recomputed.users) == (1, 0, 2)
    assert list(store.summaries.of_user("bob", TODAY, TODAY)) == []
    assert users_shown(store, FEW) == (["alice", "carol"], [(2, 2)])


@AT
def test_a_day_whose_last_event_was_deleted_is_empty(store: Store, now: datetime) -> None:
    publish(store)
    put(store, event(), builder=FEW)
    recompute_again(store, now, FEW)
    delete_events(store, "alice", "e-1", builder=FEW)
    recompute_again(store, now + timedelta(minutes=1), FEW)
    assert users_shown(store, FEW) == ([], [])


@AT
def test_one_of_several_events_that_was_deleted_is_in_no_sum(store: Store, now: datetime) -> None:
    publish(store)
    put(store, *(event(eventId=name, costUSD=Decimal(name)) for name in ("1", "2", "4")), builder=FEW)
    recompute_again(store, now, FEW)
    delete_events(store, "alice", "2", builder=FEW)
    recomputed = recompute_again(store, now + timedelta(minutes=1), FEW)
    assert (recomputed.summaries_deleted, recomputed.summaries_written) == (0, 1)
    assert (summary(store)["requests"], summary(store)["costUSD"]) == (2, 5)
    assert users_shown(store, FEW) == (["alice"], [(1, 2)])


@AT
def test_an_index_that_lists_a_deleted_user_still_is_no_harm(
    store: Store, monkeypatch: pytest.MonkeyPatch, now: datetime
) -> None:
    publish(store)
    put(store, event())
    recompute_again(store, now)
    listed = list(store.summaries.all_users_of(day_shard(TODAY, SHARD)))
    delete_events(store, "alice", "e-1")
    monkeypatch.setattr(SummaryStore, "all_users_of", lambda self, key: iter(listed))
    for second in (1, 2):
        recompute_again(store, now + timedelta(seconds=second))
    assert list(store.summaries.of_user("alice", TODAY, TODAY)) == []
