"""The usage reader beside a worker: no read shows an old figure as final."""

from typing import Any

import pytest

from impact.billing import Terms
from impact.state_store import StateStore
from impact.store import Store
from impact.usage_reader import UsageReader
from tests.events import NOON
from tests.integration.test_rollup_planner_daily_totals import (  # noqa: F401
    CALENDAR,
    DAYS,
    LATE_DAY,
    TODAY,
    at_request,
    late,
    recompute_late_day,
    requests_of,
    shown,
    store_totals,
    used,
)


def test_totals_are_read_only_of_days_without_a_row(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store_totals(store)
    late(store)
    days_read: list[tuple[str, str]] = []
    totals = StateStore.shard_totals

    def spy(self: StateStore, first: str, last: str) -> Any:
        days_read.append((first, last))
        return totals(self, first, last)

    monkeypatch.setattr(StateStore, "shard_totals", spy)
    shown(store)
    assert days_read == [(LATE_DAY, LATE_DAY), (TODAY, TODAY)]


@pytest.mark.parametrize("view", ["platform", "user", "day"])
@pytest.mark.parametrize("number", range(6))
def test_a_figure_that_a_late_event_made_old_never_shows_as_final(
    store: Store, view: str, number: int
) -> None:
    """The day is recomputed, and its mark cleared, between any two reads."""
    store_totals(store)
    late(store)
    reader = UsageReader(store, CALENDAR, Terms())

    def read() -> tuple[int, bool]:
        if view == "platform":
            return requests_of(store)
        if view == "user":
            rows = reader.user("alice", LATE_DAY, LATE_DAY, fresh=False, now=NOON)["days"]
        else:
            rows = [row for row in reader.day(LATE_DAY, None)["items"] if row["userId"] == "alice"]
        return rows[0]["requests"], rows[0]["final"]

    old, new = {"platform": (2, 3), "user": (1, 2), "day": (1, 2)}[view]
    assert read() == (old, False)
    with at_request(store, number, lambda: recompute_late_day(store)) as made:
        found = read()
    assert found in {(old, False), (new, False), (new, True)}
    assert made[0] > 1
    recompute_late_day(store)
    assert read() == (new, True)


@pytest.mark.parametrize("view", ["platform", "user", "day", "fresh"])
def test_every_view_reads_with_strong_consistency(
    store: Store, monkeypatch: pytest.MonkeyPatch, view: str
) -> None:
    """But the index, which has no other: it lists keys alone."""
    store_totals(store)
    weak: list[Any] = []
    reader = UsageReader(store, CALENDAR, Terms())
    for operation in ("query", "get_item"):
        send = getattr(store.client, operation)

        def spy(send: Any = send, **request: Any) -> Any:
            if not request.get("ConsistentRead") and "IndexName" not in request:
                weak.append(request)
            return send(**request)

        monkeypatch.setattr(store.client, operation, spy)
    batch = store.client.batch_get_item

    def spy_batch(RequestItems: Any) -> Any:
        weak.extend(keys for keys in RequestItems.values() if not keys["ConsistentRead"])
        return batch(RequestItems=RequestItems)

    monkeypatch.setattr(store.client, "batch_get_item", spy_batch)
    if view == "platform":
        assert reader.platform(DAYS[0], TODAY)["days"]
    elif view == "day":
        assert reader.day(LATE_DAY, None)["items"]
    else:
        assert reader.user("alice", DAYS[0], TODAY, fresh=view == "fresh", now=NOON)["days"]
    assert weak == []
