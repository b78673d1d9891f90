"""The reading API on DynamoDB: exact numbers, pages, fresh counts, and plain errors."""

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from impact import config
from impact.billing import Terms
from impact.calendar import timestamp
from impact.day_settings import CachedCalendar, effective_calendar
from impact.ledger_store import LedgerStore
from impact.recompute import recompute
from impact.store import Store
from impact.usage_reader import UsageReader
from summaries import app
from tests.events import IMPOSSIBLE, NOON, entry_builder, event, freeze
from tests.integration.test_recompute import put, roll_up
from tests.lambda_context import CONTEXT
from tests.rates import THAT_WINTER, publish

BUILDER = entry_builder()
NOW = NOON
TODAY = NOW.date().isoformat()
DAYS_AGO = {n: (NOW - timedelta(days=n)).date().isoformat() for n in range(40)}

Get = Callable[..., Any]


@pytest.fixture(autouse=True)
def since(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger was made six days ago, so that the days since are not all marked."""
    monkeypatch.setattr(LedgerStore, "created_at", lambda self: NOW - timedelta(days=6))


@pytest.fixture
def get(store: Store, monkeypatch: pytest.MonkeyPatch) -> Get:
    """Ask a route; numbers in the answer are read as they are written."""
    freeze(monkeypatch, app)
    monkeypatch.setattr(app, "store", store)
    monkeypatch.setattr(app, "calendar", lambda now: BUILDER.calendar)

    def ask(path: str = "/api/summaries", **parameters: str) -> Any:
        query = {name.rstrip("_"): value for name, value in parameters.items()}
        response = app.handler({"routeKey": f"GET {path}", "queryStringParameters": query or None}, CONTEXT)
        body = json.loads(response["body"], parse_float=Decimal)
        return SimpleNamespace(status=response["statusCode"], json=body)

    return ask


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
    answer = get(userId="alice")
    assert answer.status == 200
    assert (answer.json["userId"], answer.json["from"], answer.json["to"]) == ("alice", DAYS_AGO[29], TODAY)
    assert [day["day"] for day in answer.json["days"]] == [DAYS_AGO[2], DAYS_AGO[1]]
    assert [day["costUSD"] for day in answer.json["days"]] == [Decimal("0.1"), Decimal("0.20000084")]
    assert answer.json["total"]["costUSD"] == Decimal("0.30000084")
    assert answer.json["total"]["models"]["openai/gpt-4o"]["requests"] == 3
    assert "dayShard" not in answer.json["days"][0]
    assert len(get(userId="alice", from_=DAYS_AGO[1], to=DAYS_AGO[1]).json["days"]) == 1


@pytest.mark.parametrize(("name", "value"), IMPOSSIBLE)
def test_days_are_read_as_is_stored_whatever_the_parameters_ask_for(
    get: Get, store: Store, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """It is the next day there already."""
    stored = entry_builder(zone="Pacific/Kiritimati", shard_count=4)
    store.state.put_first_period(stored.calendar.periods[0], NOW)
    calendar = CachedCalendar(lambda now: effective_calendar(store, config.settings))
    monkeypatch.setattr(app, "calendar", calendar)
    monkeypatch.setenv(name, value)
    put(store, event(ts=timestamp(NOW)), laid=stored)
    answer = get(userId="alice", fresh="true")
    assert answer.json["to"] == "2026-11-24"
    assert [(day["day"], day["requests"]) for day in answer.json["days"]] == [("2026-11-24", 1)]


def test_no_use_is_an_empty_list_and_zeros(get: Get) -> None:
    user, day, totals = get(userId="nobody"), get(day="2026-01-01"), get("/api/totals")
    assert (user.status, day.status, totals.status) == (200, 200, 200)
    assert user.json["days"] == totals.json["days"] == day.json["items"] == []
    assert day.json["next"] is None
    assert user.json["total"]["requests"] == user.json["total"]["costUSD"] == 0
    assert totals.json["total"]["requests"] == totals.json["total"]["costEUR"] == 0


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
        answer = get(day=TODAY, **({"cursor": cursor} if cursor else {}))
        assert answer.json["day"] == TODAY
        seen += [item["userId"] for item in answer.json["items"]]
        cursor, pages = answer.json["next"], pages + 1
    assert sorted(seen) == sorted(users)
    assert pages == 3


def test_the_platform_day_by_day(get: Get, store: Store) -> None:
    for n in range(10):
        use(store, userId=f"u{n}", days_ago=n % 2, costUSD=Decimal("0.1"))
    roll_up(store, NOW)
    answer = get("/api/totals", from_=DAYS_AGO[1], to=TODAY)
    rows = [(row["day"], row["users"], row["requests"], row["costUSD"]) for row in answer.json["days"]]
    assert rows == [(DAYS_AGO[1], 5, 5, Decimal("0.5")), (TODAY, 5, 5, Decimal("0.5"))]
    assert answer.json["total"]["costUSD"] == 1
    assert (answer.json["from"], answer.json["to"]) == (DAYS_AGO[1], TODAY)


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
        assert not any(row["final"] for row in found), "shards that were not counted yet"
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


def _encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({}, "userId"),
        ({"userId": "a", "day": "2026-11-23"}, "userId"),
        ({"userId": ""}, "userId"),
        ({"userId": "x" * 257}, "userId"),
        ({"userId": "a", "from_": "yesterday"}, "from"),
        ({"userId": "a", "from_": "2026-02-30"}, "from"),
        ({"userId": "a", "to": "20261123"}, "to"),
        ({"userId": "a", "to": "0001-01-01"}, "to"),
        ({"userId": "a", "to": "9999-12-31"}, "to"),
        ({"userId": "a", "from_": "2026-11-24", "to": "2026-11-23"}, "from"),
        ({"userId": "a", "from_": "2025-11-22", "to": "2026-11-23"}, "from"),
        ({"userId": "a", "fresh": "yes"}, "fresh"),
        ({"day": "x"}, "day"),
        ({"day": "2026-11-23", "cursor": "x"}, "cursor"),
        ({"day": "2026-11-23", "cursor": "WzEsIDJd"}, "cursor"),
        ({"day": "2026-11-23", "cursor": "e30="}, "cursor"),
        ({"day": "2026-11-23", "cursor": "ÿ"}, "cursor"),
        ({"day": "2026-11-23", "cursor": _encoded("[" * 100_000)}, "cursor"),
        ({"day": "2026-11-23", "cursor": _encoded('[0,""]')}, "cursor"),
        ({"day": "2026-11-23", "cursor": _encoded(f'[0,"{"x" * 1025}"]')}, "cursor"),
        ({"day": "2026-W48-1"}, "day"),
        ({"userId": "a", "from_": "2026-W48-1"}, "from"),
        ({"userId": "\ud800"}, "userId"),
        ({"userId": "😀" * 256, "fresh": "true"}, "userId"),
    ],
)
def test_a_bad_parameter_is_named(get: Get, parameters: dict[str, str], field: str) -> None:
    answer = get(**parameters)
    assert (answer.status, answer.json["error"]["details"][0]["field"]) == (422, field)


def test_at_most_366_days(get: Get) -> None:
    assert get(userId="a", from_="2025-11-23", to="2026-11-23").status == 200
    assert get("/api/totals", from_="2025-11-22", to="2026-11-23").status == 422
