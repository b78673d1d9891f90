"""The simulated DynamoDB does what a real one does, for all that the store asks of it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from impact import dynamodb
from impact.calendar import Period, Settings, timestamp
from impact.dynamodb import Mark, Progress, Store, Version
from impact.rates import Rate
from tests.conftest import DYNAMODB_LOCAL_URL
from tests.simulation.cloud import EVENTS, STATE, SUMMARIES, TABLES, replaced
from tests.simulation.database import GOOD, Client, Database
from tests.simulation.world import Process, Time, World
from tests.tables import drop_tables, make_tables

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAYS = ("2026-11-21", "2026-11-22", "2026-11-23")
USERS = ("a", "a#", "ab", "zoë 😀")

days, users = st.sampled_from(DAYS), st.sampled_from(USERS)
shards = st.sampled_from([f"{day}#{shard:02d}" for day in DAYS for shard in (0, 1)])
instants = st.integers(0, 5).map(lambda hours: timestamp(NOON + timedelta(hours=hours)))
names = st.sampled_from(["1", "2", "3"])
numbers = st.integers(0, 2)


def an_event(day_shard: str, user_id: str, event_id: str, tokens: int) -> dict[str, Any]:
    key = {"dayShard": day_shard, "userEvent": f"{user_id.replace('#', '%23')}#{event_id}"}
    return key | {"userId": user_id, "eventId": event_id, "tokens_in": tokens}


def a_summary(user_id: str, day: str, as_of: str, requests: int) -> dict[str, Any]:
    return {"userId": user_id, "day": day, "dayShard": f"{day}#00", "asOf": as_of, "requests": requests}


CALLS = st.one_of(
    st.tuples(st.just("append"), shards, users, names, st.integers(0, 2)),
    st.tuples(st.just("put_summary"), users, days, instants, st.integers(0, 2), st.booleans()),
    st.tuples(st.just("put_old_summary"), users, days, instants),
    st.tuples(st.just("delete_summary"), users, days, st.booleans()),
    st.tuples(st.just("put_total"), shards, instants, st.integers(0, 2), st.booleans()),
    st.tuples(st.just("mark_late"), days, st.lists(numbers, unique=True, min_size=1)),
    st.tuples(st.just("clear_mark"), days, numbers, st.integers(0, 3)),
    st.tuples(st.just("clear what is there"), days, numbers),
    st.tuples(st.just("forget_marks"), days),
    st.tuples(st.just("put_period"), days, st.integers(1, 3)),
    st.tuples(st.just("note_change"), days),
    st.tuples(st.just("put_day_sums"), days, st.integers(0, 3), st.integers(0, 2)),
    st.tuples(st.just("day_sums"), days, days),
    st.tuples(st.just("periods")),
    st.tuples(st.just("standing_marks"), days, days),
    st.tuples(st.just("all_users_of"), shards),
    st.tuples(st.just("put_progress"), days),
    st.tuples(st.just("put_rate"), days, st.integers(1, 2)),
    st.tuples(st.just("late_marks"), days, days),
    st.tuples(st.just("event_pages"), shards, st.none() | users),
    st.tuples(st.just("user_summaries"), users, days, days),
    st.tuples(st.just("users_of"), shards, st.none() | users, st.integers(1, 3)),
    st.tuples(st.just("summaries_of"), st.lists(st.tuples(users, days), unique=True, min_size=1)),
    st.tuples(st.just("totals"), days, days),
    st.tuples(st.just("progress")),
    st.tuples(st.just("rates"), days, days),
)


def comparable(item: dict[str, Any]) -> dict[str, Any]:
    """An item without its revision, which is by chance."""
    return {name: value for name, value in item.items() if name != "revision"}


def ask(store: Store, call: tuple[Any, ...]) -> Any:
    """Make one call; an answer that is the same for the same content."""
    name, *given = call
    match name:
        case "append":
            return store.append(an_event(*given))
        case "put_summary":
            *summary, is_new = given
            found = store.summaries_of([(summary[0], summary[1])], consistent=True)
            before = None if is_new or not found else Version.of(found[0])
            return store.put_summary(a_summary(*summary), before)
        case "put_old_summary":
            item = dynamodb.to_wire(a_summary(given[0], given[1], given[2], 7))
            store.client.put_item(TableName=store.summaries, Item=item)
            return None
        case "delete_summary":
            *whose, is_there = given
            found = store.summaries_of([(whose[0], whose[1])], consistent=True)
            before = Version.of(found[0]) if is_there and found else Version("other", "other")
            return store.delete_summary(whose[0], whose[1], before)
        case "put_total":
            key, as_of, requests, is_new = given
            there = store.total(key)
            before = None if is_new or not there else Version.of(there)
            return store.put_total(key, {"asOf": as_of, "requests": requests}, before)
        case "mark_late":
            return store.mark_late(given[0], given[1], NOON)
        case "clear_mark":
            mark = store.late_mark(given[0], given[1])
            return mark.since and store.clear_mark(Mark(given[0], given[1], given[2], mark.since))
        case "clear what is there":
            mark = store.late_mark(*given)
            return mark.since and store.clear_mark(mark)
        case "put_period":
            settings_then = Settings(ZoneInfo("UTC"), timedelta(days=400), given[1])
            return store.put_period(Period(given[0], settings_then), NOON)
        case "put_day_sums":
            return store.put_day_sums(given[0], {"requests": given[2]}, given[1])
        case "standing_marks":
            return sorted(store.standing_marks(*given), key=str)
        case "all_users_of":
            return list(store.all_users_of(given[0]))
        case "put_progress":
            return store.put_progress(Progress(given[0], 2))
        case "put_rate":
            return store.put_rate(Rate(given[0], Decimal(given[1])), source="test", now=NOON)
        case "event_pages":
            pages = store.event_pages(given[0], user_id=given[1], consistent=True)
            return [event for page in pages for event in page]
        case "summaries_of":
            return sorted(map(comparable, store.summaries_of(given[0], consistent=True)), key=str)
        case "user_summaries":
            return [comparable(item) for item in store.user_summaries(*given)]
        case "users_of":
            return users_after(store, *given)
        case "totals":
            return [comparable(item) for item in store.totals(*given)]
        case _:
            return getattr(store, name)(*given)


def users_after(store: Store, day_shard: str, after: str | None, limit: int) -> list[str]:
    """All of them: where a page ends is up to DynamoDB."""
    found = []
    while True:
        page = store.users_of(day_shard, after=after, limit=limit)
        found += page.user_ids
        if page.last is None:
            return found
        after = page.last


def simulated(calls: list[tuple[Any, ...]], seed: int) -> list[Any]:
    """What the simulated DynamoDB answers."""
    world = World(seed, NOON)
    client = Client(Database(world, TABLES), lambda: GOOD, Process("network"), attempts=1)
    store = Store(client, EVENTS, SUMMARIES, STATE)  # type: ignore[arg-type]
    answers: list[Any] = []
    with replaced((dynamodb, {"time": Time(world), "random": world.random})):
        world.spawn(Process("test"), lambda: answers.extend(ask(store, call) for call in calls))
        world.run(lambda: len(answers) == len(calls))
    return answers


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(calls=st.lists(CALLS, min_size=10, max_size=40), seed=st.integers(0, 2**32))
def test_it_answers_as_a_real_one(calls: list[tuple[Any, ...]], seed: int) -> None:
    with mock_aws():
        store = make_tables()
        expected = [ask(store, call) for call in calls]
        if DYNAMODB_LOCAL_URL:
            drop_tables(store)
    assert simulated(calls, seed) == expected
