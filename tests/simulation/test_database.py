"""The simulated DynamoDB does what a real one does, for all that the store asks of it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from impact import dynamodb
from impact.calendar import timestamp
from impact.dynamodb import Mark, Progress, Store, Turn
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


def an_event(day_shard: str, user_id: str, event_id: str, tokens: int) -> dict[str, Any]:
    key = {"dayShard": day_shard, "userEvent": f"{user_id.replace('#', '%23')}#{event_id}"}
    return key | {"userId": user_id, "eventId": event_id, "tokens_in": tokens}


def a_summary(user_id: str, day: str, as_of: str, requests: int) -> dict[str, Any]:
    return {"userId": user_id, "day": day, "dayShard": f"{day}#00", "asOf": as_of, "requests": requests}


CALLS = st.one_of(
    st.tuples(st.just("append"), shards, users, names, st.integers(0, 2)),
    st.tuples(st.just("put_summary"), users, days, instants, st.integers(0, 2)),
    st.tuples(st.just("put_total"), shards, instants, st.integers(0, 2)),
    st.tuples(st.just("mark_late"), shards, names),
    st.tuples(st.just("clear_mark"), shards, names, st.integers(0, 2)),
    st.tuples(st.just("clear what is there"), shards),
    st.tuples(st.just("begin_count"), shards, names, st.integers(0, 40)),
    st.tuples(st.just("end_count"), shards, names, st.integers(0, 40), st.integers(1, 3), st.booleans()),
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


def ask(store: Store, call: tuple[Any, ...]) -> Any:
    """Make one call; an answer that is the same for the same content."""
    name, *given = call
    match name:
        case "append":
            return store.append(an_event(*given))
        case "put_summary":
            return store.put_summary(a_summary(*given))
        case "put_total":
            return store.put_total(given[0], {"asOf": given[1], "requests": given[2]})
        case "mark_late":
            return store.mark_late(given[0], given[1], NOON)
        case "clear_mark":
            return store.clear_mark(Mark(*given))
        case "clear what is there":
            mark = store.late_mark(given[0])
            return mark and store.clear_mark(mark)
        case "begin_count":
            return store.begin_count(given[0], given[1], NOON + timedelta(minutes=given[2]))
        case "end_count":
            token = f"{timestamp(NOON + timedelta(minutes=given[2]))} {given[1]}"
            return store.end_count(Turn(given[0], token, *given[3:]))
        case "put_progress":
            return store.put_progress(Progress(given[0], 2))
        case "put_rate":
            return store.put_rate(Rate(given[0], Decimal(given[1])), source="test", now=NOON)
        case "event_pages":
            pages = store.event_pages(given[0], user_id=given[1], consistent=True)
            return [event for page in pages for event in page]
        case "summaries_of":
            return sorted(store.summaries_of(given[0], consistent=True), key=str)
        case "users_of":
            return users_after(store, *given)
        case "totals":
            return list(store.totals(*given))
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
