"""What the API reads: exact numbers, pages, fresh sums and days that are open again."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from impact.billing import Terms
from impact.calendar import timestamp
from impact.ledger_store import LedgerStore
from impact.recompute import recompute
from impact.store import Store
from impact.usage_reader import UsageReader
from tests.events import NOON, entry_builder, event
from tests.integration.conftest import Get
from tests.integration.steps import put, roll_up
from tests.rates import THAT_WINTER, publish

BUILDER = entry_builder()
NOW = NOON
TODAY = NOW.date().isoformat()
DAYS_AGO = {n: (NOW - timedelta(days=n)).date().isoformat() for n in range(40)}


@pytest.fixture(autouse=True)
def since(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger was made six days ago, so that the days since are not all marked."""
    monkeypatch.setattr(LedgerStore, "created_at", lambda self: NOW - timedelta(days=6))


def use(store: Store, *, days_ago: int = 0, **fields: Any) -> None:
    """Store an event in time: its day was open still."""
    at = NOW - timedelta(days=days_ago)
    put(store, event(**{"ts": timestamp(at), **fields}), now=at + timedelta(seconds=1))


def test_a_users_days_in_order_and_their_sum(get: Get, store: Store) -> None:
    use(store, days_ago=2, eventId="1", costUSD=Decimal("0.1"))
    use(store, days_ago=1, eventId="2", costUSD=Decimal("0.2"))
    use(store, days_ago=1, eventId="3", costUSD=Decimal("8.4e-07"))
    use(store, userId="bob")
    roll_up(store, NOW)
    response = get(userId="alice")
    assert response.status == 200
    assert (response.json["userId"], response.json["from"], response.json["to"]) == (
        "alice",
        DAYS_AGO[29],
        TODAY,
    )
    assert [day["day"] for day in response.json["days"]] == [DAYS_AGO[2], DAYS_AGO[1]]
    assert [day["costUSD"] for day in response.json["days"]] == [Decimal("0.1"), Decimal("0.20000084")]
    assert response.json["total"]["costUSD"] == Decimal("0.30000084")
    assert response.json["total"]["models"]["openai/gpt-4o"]["requests"] == 3
    assert "dayShard" not in response.json["days"][0]
    assert len(get(userId="alice", from_=DAYS_AGO[1], to=DAYS_AGO[1]).json["days"]) == 1


def test_no_use_is_an_empty_list_and_zeros(get: Get) -> None:
    user, day, totals = get(userId="nobody"), get(day="2026-01-01"), get("/api/totals")
    assert (user.status, day.status, totals.status) == (200, 200, 200)
    assert user.json["days"] == totals.json["days"] == day.json["items"] == []
    assert day.json["next"] is None
    assert user.json["total"]["requests"] == user.json["total"]["costUSD"] == 0
    assert totals.json["total"]["requests"] == totals.json["total"]["costEUR"] == 0


def test_open_days_are_those_that_may_still_change_with_use_or_without(store: Store) -> None:
    def found(user_id: str, first: int, last: str = TODAY) -> list[str]:
        return UsageReader(store, BUILDER.calendar, Terms()).open_days(user_id, DAYS_AGO[first], last, NOW)

    assert found("alice", 1) == [DAYS_AGO[1], TODAY]  # nothing was ever counted
    publish(store, *THAT_WINTER)
    use(store, days_ago=5)
    roll_up(store, NOW)
    roll_up(store, NOW)
    assert found("alice", 5) == found("nobody", 5, "2999-12-31") == [TODAY]
    store.state.mark_late(DAYS_AGO[4], [BUILDER.calendar.shard_of("alice", DAYS_AGO[4])], NOW)
    assert found("alice", 5) == [DAYS_AGO[4], TODAY]
    others = next(
        one
        for one in "abcdefgh"
        if BUILDER.calendar.shard_of(one, TODAY) != BUILDER.calendar.shard_of("alice", TODAY)
    )
    assert found(others, 5) == [TODAY]


def test_fresh_computes_what_is_not_final_from_the_ledger(get: Get, store: Store) -> None:
    use(store, days_ago=5, eventId="old")
    use(store, eventId="1")
    roll_up(store, NOW)
    roll_up(store, NOW)
    use(store, eventId="2")
    use(store, eventId="3", userId="alice2")
    stale, fresh = get(userId="alice"), get(userId="alice", fresh="true")
    assert [(day["requests"], day["final"]) for day in stale.json["days"]] == [(1, True), (1, False)]
    assert [(day["requests"], day["final"]) for day in fresh.json["days"]] == [(1, True), (2, False)]
    assert fresh.json["total"]["requests"] == 3
    assert get(userId="bob", fresh="true").json["days"] == []


def test_fresh_works_before_the_first_rollup(get: Get, store: Store) -> None:
    use(store)
    assert get(userId="alice").json["days"] == []
    assert get(userId="alice", fresh="true").json["total"]["requests"] == 1


def test_a_day_that_a_late_event_reached_is_open_again(get: Get, store: Store) -> None:
    publish(store, *THAT_WINTER)
    use(store, days_ago=4, eventId="1")
    roll_up(store, NOW)
    assert get(userId="alice").json["days"][0]["final"] is True
    put(store, event(ts=timestamp(NOW - timedelta(days=4)), eventId="2"), now=NOW)
    stale, fresh = get(userId="alice").json["days"][0], get(userId="alice", fresh="true").json["days"][0]
    assert (stale["requests"], stale["final"]) == (1, False)
    assert (fresh["requests"], fresh["final"]) == (2, False)
    assert get(day=DAYS_AGO[4]).json["items"][0]["final"] is False
    assert get("/api/totals").json["days"][0]["final"] is False
    roll_up(store, NOW + timedelta(seconds=1))
    reopened = get(userId="alice").json["days"][0]
    assert (reopened["requests"], reopened["final"]) == (2, True)


def test_every_user_of_a_day_in_pages(get: Get, store: Store) -> None:
    users = [f"user-{n}#😀%\0" for n in range(250)]
    for user in users:
        use(store, userId=user)
    roll_up(store, NOW)
    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        response = get(day=TODAY, **({"cursor": cursor} if cursor else {}))
        assert response.json["day"] == TODAY
        seen += [item["userId"] for item in response.json["items"]]
        cursor, pages = response.json["next"], pages + 1
    assert sorted(seen) == sorted(users)
    assert pages == 3


def test_the_platform_day_by_day(get: Get, store: Store) -> None:
    for n in range(10):
        use(store, userId=f"u{n}", days_ago=n % 2, costUSD=Decimal("0.1"))
    roll_up(store, NOW)
    response = get("/api/totals", from_=DAYS_AGO[1], to=TODAY)
    rows = [(row["day"], row["users"], row["requests"], row["costUSD"]) for row in response.json["days"]]
    assert rows == [(DAYS_AGO[1], 5, 5, Decimal("0.5")), (TODAY, 5, 5, Decimal("0.5"))]
    assert response.json["total"]["costUSD"] == 1
    assert (response.json["from"], response.json["to"]) == (DAYS_AGO[1], TODAY)


def test_a_mark_of_another_shard_opens_no_day_of_a_user(store: Store) -> None:
    publish(store, *THAT_WINTER)
    use(store, days_ago=4)
    roll_up(store, NOW)
    day, reader = DAYS_AGO[4], UsageReader(store, BUILDER.calendar, Terms())
    its_shard = BUILDER.calendar.shard_of("alice", day)
    for shard in {0, 1, 2, 3} - {its_shard}:
        store.state.mark_late(day, [shard], NOW)
    assert [row["final"] for row in reader.user("alice", day, day, fresh=False, now=NOW)["days"]] == [True]
    assert [item["final"] for item in reader.day(day, None)["items"]] == [True]
    assert [row["final"] for row in reader.platform(day, day)["days"]] == [False]
    store.state.mark_late(day, [its_shard], NOW)
    assert [row["final"] for row in reader.user("alice", day, day, fresh=False, now=NOW)["days"]] == [False]


def test_a_platforms_day_is_final_once_each_of_its_shards_is(store: Store) -> None:
    publish(store, *THAT_WINTER)
    day, reader = DAYS_AGO[2], UsageReader(store, BUILDER.calendar, Terms())
    users = [f"u{n}" for n in range(12)]
    shards = sorted({BUILDER.calendar.shard_of(user, day) for user in users})
    assert shards == [0, 1, 2, 3]
    for user in users:
        use(store, userId=user, days_ago=2)
    closes = BUILDER.calendar.closes_at(day)
    for shard in shards:
        found = reader.platform(day, day)["days"]
        assert not any(row["final"] for row in found), "shards that were not recomputed yet"
        recompute(store, BUILDER.calendar, Terms(), day, shard, as_of=closes)
    [row] = reader.platform(day, day)["days"]
    assert (row["final"], row["users"], row["requests"]) == (True, 12, 12)


def test_a_platforms_day_is_not_final_while_one_of_its_shards_is_open(store: Store) -> None:
    publish(store, *THAT_WINTER)
    day, reader = DAYS_AGO[2], UsageReader(store, BUILDER.calendar, Terms())
    for n in range(12):
        use(store, userId=f"u{n}", days_ago=2)
    closes = BUILDER.calendar.closes_at(day)
    for shard in range(4):
        early = timedelta(seconds=1 if shard == 3 else 0)
        recompute(store, BUILDER.calendar, Terms(), day, shard, as_of=closes - early)
    [row] = reader.platform(day, day)["days"]
    assert (row["final"], row["users"], row["asOf"]) == (False, 12, timestamp(closes - timedelta(seconds=1)))
