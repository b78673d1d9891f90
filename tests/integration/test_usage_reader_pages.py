"""The limits of a response of the reading API: its size, its requests to DynamoDB, and its time."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from itertools import count as numbers
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
import simplejson

from impact import pages as response_pages
from impact import usage_reader
from impact.billing import Terms, statement
from impact.calendar import day_before, days_between, timestamp
from impact.keys import day_shard, shard_of
from impact.ledger_store import LedgerStore
from impact.store import Store
from impact.summary import MODELS_MAX, Figures, Tally
from impact.summary_store import SummaryStore
from impact.usage_reader import UsageReader
from request_events.limits import MODEL_MAX, PROVIDER_MAX
from summaries import app
from tests.events import NOON, entry_builder, event, freeze
from tests.integration.steps import put, roll_up
from tests.lambda_context import CONTEXT

LAMBDA_BYTES = 6 * 1024 * 1024
BUILDER = entry_builder()
CALENDAR = BUILDER.calendar
TODAY = NOON.date().isoformat()
LONGEST = Decimal("9" * 18 + "." + "1" * 18)
FOOTPRINT = ("energyLow", "energyHigh", "co2eLow", "co2eHigh", "waterLow", "waterHigh")


@pytest.fixture(autouse=True)
def function(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    freeze(monkeypatch, app)
    monkeypatch.setattr(app, "store", store)
    monkeypatch.setattr(app, "calendar", lambda now: CALENDAR)
    monkeypatch.setattr(LedgerStore, "created_at", lambda self: NOON - timedelta(days=6))


def ask(context: Any = CONTEXT, **query: str) -> dict[str, Any]:
    """Ask for summaries; the response must be one that Lambda can return."""
    query = {name.rstrip("_"): value for name, value in query.items()}
    response = app.handler({"routeKey": "GET /api/summaries", "queryStringParameters": query}, context)
    assert len(simplejson.dumps(response, ensure_ascii=False).encode()) < LAMBDA_BYTES
    page: dict[str, Any] = json.loads(response["body"], parse_float=Decimal)
    assert response["statusCode"] == 200, page
    return page


def pages(**query: str) -> Iterator[dict[str, Any]]:
    page = ask(**query)
    yield page
    while cursor := page.get("next"):
        page = ask(**query, cursor=cursor)
        yield page


def summary(user_id: str, day: str, models: Any, shard: int | None = None) -> dict[str, Any]:
    """A summary of these models, each with figures as long as can be."""
    figures: Any = dict.fromkeys(("costEUR", "costUSD", "unconverted", *FOOTPRINT, "restoredM2"), LONGEST)
    each: Any = {name: Figures(requests=1, rated=1, tokens_in=10**12, **figures) for name in models}
    shard = CALENDAR.shard_of(user_id, day) if shard is None else shard
    whose = {"userId": user_id, "day": day, "dayShard": day_shard(day, shard)}
    sums = statement(Tally(requests=len(each), rated=len(each), models=each), None, Terms())
    return whose | sums | {"asOf": timestamp(NOON), "final": True}


def put_summary(store: Store, *given: Any) -> None:
    store.summaries.put(summary(*given), None)


def total(store: Store, day: str, shard: int, users: int) -> None:
    whose = {"day": day, "shard": shard, "users": users, "asOf": timestamp(NOON), "final": True}
    store.state.put_shard_total(day_shard(day, shard), whose, None)


@pytest.mark.parametrize("character", ["😀", '"', "\\", "\0"])
def test_the_largest_days_come_in_pages_that_fit(
    store: Store, monkeypatch: pytest.MonkeyPatch, character: str
) -> None:
    """A year in which each day has as many models as a summary names, their names as long as can be."""
    length = PROVIDER_MAX + MODEL_MAX + 1
    models = [[f"{n:05d}".ljust(length, character) for n in range(k, k + MODELS_MAX)] for k in range(3)]
    of_models = [summary("alice", TODAY, names) for names in models]
    days = list(days_between(day_before(TODAY, 29), TODAY))
    year = [of_models[number % 3] | {"day": day} for number, day in enumerate(days)]
    monkeypatch.setattr(SummaryStore, "of_user", lambda *_: iter(year))
    received = list(pages(userId="alice"))
    assert 1 < len(received) < len(days)
    assert [row["day"] for page in received for row in page["days"]] == days
    assert all("next" in page for page in received[:-1])
    assert "next" not in received[-1]
    assert [page["total"] for page in received] == [received[0]["total"]] * len(received)
    assert received[0]["total"]["requests"] == MODELS_MAX * len(days)
    assert len(received[0]["total"]["models"]) == MODELS_MAX + 1


def test_a_users_days_in_pages(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response_pages, "ROWS_BYTES", 5_300)
    days = list(days_between(day_before(TODAY, 24), TODAY))
    for day in days:
        put_summary(store, "alice", day, ["openai/gpt-4o"])
    received = list(pages(userId="alice", from_=days[0], to=days[-1]))
    assert [row["day"] for page in received for row in page["days"]] == days
    assert {len(page["days"]) for page in received[:-1]} == {4}
    assert {page["total"]["requests"] for page in received} == {len(days)}
    assert received[0].keys() - received[-1].keys() == {"next"}


def test_a_row_larger_than_a_page_is_shown_by_itself(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response_pages, "ROWS_BYTES", 10)
    days = list(days_between(day_before(TODAY, 2), TODAY))
    for day in days:
        put_summary(store, "alice", day, ["openai/gpt-4o"])
    assert [[row["day"] for row in page["days"]] for page in pages(userId="alice")] == [[d] for d in days]


def test_the_users_of_a_day_in_pages_that_fit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response_pages, "ROWS_BYTES", 5_300)
    monkeypatch.setattr(usage_reader, "READ_USERS", 4)
    users = [f"user-{n:02d}" for n in range(25)]
    for user_id in users:
        put_summary(store, user_id, TODAY, ["openai/gpt-4o"])
    for shard in range(4):
        total(store, TODAY, shard, sum(CALENDAR.shard_of(user_id, TODAY) == shard for user_id in users))
    made = spied(store, monkeypatch)
    received = list(pages(day=TODAY))
    listed = [row["userId"] for page in received for row in page["items"]]
    assert listed == sorted(users, key=lambda user_id: (CALENDAR.shard_of(user_id, TODAY), user_id))
    assert {len(page["items"]) for page in received[:-1]} == {4}
    assert made["batch_get_item"] <= 3 * len(
        received
    )  # one is of names; not all of PAGE_USERS where few have room


def spied(store: Store, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count requests by operation, and queries by what they read."""
    made: Counter[str] = Counter()

    def spy(operation: str) -> None:
        send = getattr(store.client, operation)

        def counting(**request: Any) -> Any:
            made[operation] += 1
            made[request.get("IndexName", operation)] += "IndexName" in request
            return send(**request)

        monkeypatch.setattr(store.client, operation, counting)

    for operation in ("query", "batch_get_item", "get_item"):
        spy(operation)
    return made


def test_a_day_of_a_thousand_shards_takes_as_many_requests_as_it_has_users(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = entry_builder(shard_count=1000).calendar
    users = sorted((f"user-{n}" for n in range(40)), key=lambda user_id: (shard_of(user_id, 1000), user_id))
    counts = Counter(shard_of(user_id, 1000) for user_id in users)
    for user_id in users:
        put_summary(store, user_id, TODAY, ["openai/gpt-4o"], shard_of(user_id, 1000))
    for shard in {*counts, *range(0, 1000, 10)}:
        total(store, TODAY, shard, counts[shard])
    made = spied(store, monkeypatch)
    page = UsageReader(store, many, Terms()).day(TODAY, None)
    assert [row["userId"] for row in page["items"]] == users
    assert page["next"] is None
    assert made["byDay"] == len(counts)
    assert made["query"] < 5 + len(counts)


def test_a_page_of_a_day_lists_no_more_shards_than_fill_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_reader, "PAGE_USERS", 10)
    users = [f"user-{n:02d}" for n in range(40)]
    for number, user_id in enumerate(users):
        put_summary(store, user_id, TODAY, ["openai/gpt-4o"], number // 10)
    for shard in range(4):
        total(store, TODAY, shard, 10)
    made = spied(store, monkeypatch)
    page = ask(day=TODAY)
    assert [row["userId"] for row in page["items"]] == users[:10]
    assert made["byDay"] == 1


@pytest.mark.parametrize("seed", range(8))
def test_pages_of_a_day_list_everybody_once_and_in_order(
    store: Store, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """However many users a shard has: as its total says, or fewer or more since it was recomputed."""
    random = Random(seed)
    monkeypatch.setattr(usage_reader, "PAGE_USERS", random.choice((1, 3, 7)))
    monkeypatch.setattr(usage_reader, "READ_USERS", random.choice((1, 2, 50)))
    monkeypatch.setattr(usage_reader, "LISTERS", random.choice((1, 2, 16)))
    wide = entry_builder(shard_count=12).calendar
    number, expected = numbers(), []
    for shard in range(12):
        users = [f"u-{next(number):03d}#😀" for _ in range(random.choice((0, 0, 1, 2, 9)))]
        for user_id in users:
            put_summary(store, user_id, TODAY, ["openai/gpt-4o"], shard)
        users_in_total = len(users) and max(1, len(users) + random.choice((-1, 0, 0, 1)))
        if users or random.random() < 0.5:
            total(store, TODAY, shard, users_in_total or random.choice((0, 2)))
        expected += users
    reader = UsageReader(store, wide, Terms())
    listed, cursor = [], None
    while True:
        page = reader.day(TODAY, cursor)
        listed += [row["userId"] for row in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert listed == expected


def test_a_fresh_read_that_would_take_too_long_says_which_days_it_left_out(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page of events takes four seconds; the function has 25, of which it keeps ten for the rest."""
    clock = [0.0]
    days = [day_before(TODAY, n) for n in (2, 1, 0)]
    for day, events in zip(days, (2, 8, 1), strict=True):
        at = NOON - timedelta(days=(NOON.date() - NOON.fromisoformat(day).date()).days)
        for n in range(events):
            put(store, event(ts=timestamp(at), eventId=f"{day}-{n}"), now=at)
        if day == days[1]:
            roll_up(store, at)
            put(store, event(ts=timestamp(at), eventId=f"{day}-new"), now=at)
    event_pages = LedgerStore.event_pages

    def slow(self: LedgerStore, *arguments: Any, **options: Any) -> Iterator[Any]:
        for page in event_pages(self, *arguments, **options):
            for one in page:
                clock[0] += 4
                yield [one]

    monkeypatch.setattr(LedgerStore, "event_pages", slow)
    context = SimpleNamespace(**vars(CONTEXT))
    context.get_remaining_time_in_millis = lambda: 25_000 - 1000 * clock[0]
    page = ask(context, userId="alice", fresh="true")
    assert page["notFresh"] == days[1:]
    assert [(row["day"], row["requests"], row["final"]) for row in page["days"]] == [
        (days[0], 2, True),
        (days[1], 8, False),
    ]
    assert page["total"]["requests"] == 10
    assert clock[0] == 16
    clock[0] = -1000
    page = ask(context, userId="alice", fresh="true")
    assert "notFresh" not in page
    assert [row["requests"] for row in page["days"]] == [2, 9, 1]
