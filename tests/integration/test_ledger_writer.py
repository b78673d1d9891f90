"""LedgerWriter: late marks in groups, failures of storage."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from time import monotonic
from types import SimpleNamespace
from typing import Any

from impact.calendar import timestamp
from impact.keys import MARK_GROUP, parse_day_shard
from impact.ledger_writer import LedgerWriter, WriteOutcome
from impact.store import Store
from tests.events import NOON, entry_builder, event
from tests.integration.steps import throttled


def test_marks_of_one_group_that_fail_cost_no_other(store: Store) -> None:
    many = entry_builder(shard_count=3 * MARK_GROUP)
    late = [
        many.build(event(userId=f"u{n}", ts=timestamp(NOON - timedelta(days=5))), NOON) for n in range(40)
    ]

    def mark_late(day: str, shards: Any, now: Any) -> None:
        if min(shards) >= MARK_GROUP:
            raise throttled("UpdateItem")
        store.state.mark_late(day, shards, now)

    failing: Any = SimpleNamespace(ledger=store.ledger, state=SimpleNamespace(mark_late=mark_late))
    with ThreadPoolExecutor(4) as executor:
        result = LedgerWriter(failing, executor).write(late, many.calendar, NOON, monotonic() + 60)
    in_first_group = [parse_day_shard(entry.day_shard)[1] < MARK_GROUP for entry in late]
    assert 0 < sum(in_first_group) < 40
    assert result.outcomes == [
        WriteOutcome.CREATED if is_first else WriteOutcome.RETRY for is_first in in_first_group
    ]
    assert result.failures == {"ThrottlingException": 2}
    assert {mark // MARK_GROUP for _, mark in store.state.marked()} == {0}
