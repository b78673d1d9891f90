"""The simulated DynamoDB behaves as a real one does for all requests of the stores."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from impact import dynamodb
from impact.calendar import Period, Settings, timestamp
from impact.dynamodb import Version
from impact.fx_rates import FxRate
from impact.state_store import LateMark, Progress
from impact.store import Store
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
    needed = {"ts": "", "provider": "", "model": "", "status": "", "latency": 0, "tokens_out": 0}
    return key | needed | {"userId": user_id, "eventId": event_id, "tokens_in": tokens}


def a_summary(user_id: str, day: str, as_of: str, requests: int) -> dict[str, Any]:
    return {"userId": user_id, "day": day, "dayShard": f"{day}#00", "asOf": as_of, "requests": requests}


CALLS = st.one_of(
    st.tuples(st.just("append"), shards, users, names, st.integers(0, 2)),
    st.tuples(st.just("put_summary"), users, days, instants, st.integers(0, 2), st.booleans()),
    st.tuples(st.just("put_old_summary"), users, days, instants),
    st.tuples(st.just("delete_summary"), users, days, st.booleans()),
    st.tuples(st.just("put_shard_total"), shards, instants, st.integers(0, 2), st.booleans()),
    st.tuples(st.just("mark_late"), days, st.lists(numbers, unique=True, min_size=1)),
    st.tuples(st.just("clear_mark"), days, numbers, st.integers(0, 3)),
    st.tuples(st.just("clear what is there"), days, numbers),
    st.tuples(st.just("delete_cleared_marks"), days),
    st.tuples(st.just("put_period"), days, st.integers(1, 3)),
    st.tuples(st.just("outdate_daily_total"), days),
    st.tuples(st.just("put_daily_total"), days, st.integers(0, 3), st.integers(0, 2)),
    st.tuples(st.just("daily_totals"), days, days),
    st.tuples(st.just("periods")),
    st.tuples(st.just("late_marks"), days, days),
    st.tuples(st.just("all_users_of"), shards),
    st.tuples(st.just("put_progress"), days),
    st.tuples(st.just("put_fx_rate"), days, st.integers(1, 2)),
    st.tuples(st.just("marked"), days, days),
    st.tuples(st.just("event_pages"), shards, st.none() | users),
    st.tuples(st.just("of_user"), users, days, days),
    st.tuples(st.just("page_of_users"), shards, st.none() | users, st.integers(1, 3)),
    st.tuples(st.just("get_many"), st.lists(st.tuples(users, days), unique=True, min_size=1)),
    st.tuples(st.just("shard_totals"), days, days),
    st.tuples(st.just("progress")),
    st.tuples(st.just("fx_rates"), days, days),
    st.tuples(st.just("put_breakdown"), days, st.integers(0, 1), st.booleans()),
    st.tuples(st.just("put_day_of_dimension"), days, st.integers(0, 3), st.integers(0, 2)),
    st.tuples(st.just("days_of_dimension"), days, days),
    st.tuples(st.just("append_prices"), st.integers(1, 3)),
    st.tuples(st.just("fix_revision"), days, st.integers(0, 3)),
    st.tuples(st.just("revisions_of"), days),
)


def comparable(item: dict[str, Any]) -> dict[str, Any]:
    """An item without its revision, which is random."""
    return {name: value for name, value in item.items() if name != "revision"}


def ask(store: Store, call: tuple[Any, ...]) -> Any:
    """Make one call. Return a response in a form that is equal for equal content."""
    name, *given = call
    match name:
        case "append":
            return store.ledger.append(an_event(*given))
        case "put_summary":
            *summary, is_new = given
            found = store.summaries.get_many([(summary[0], summary[1])], consistent=True)
            before = None if is_new or not found else Version.of(found[0])
            return store.summaries.put(a_summary(*summary), before)
        case "put_old_summary":
            item = dynamodb.to_wire(a_summary(given[0], given[1], given[2], 7))
            store.client.put_item(TableName=store.summaries.name, Item=item)
            return None
        case "delete_summary":
            *whose, is_there = given
            found = store.summaries.get_many([(whose[0], whose[1])], consistent=True)
            before = Version.of(found[0]) if is_there and found else Version("other", "other")
            return store.summaries.delete(whose[0], whose[1], before)
        case "put_shard_total":
            key, as_of, requests, is_new = given
            there = store.state.shard_total(key)
            before = None if is_new or not there else Version.of(there)
            return store.state.put_shard_total(key, {"asOf": as_of, "requests": requests}, before)
        case "mark_late":
            return store.state.mark_late(given[0], given[1], NOON)
        case "clear_mark":
            mark = store.state.late_mark(given[0], given[1])
            return mark.since and store.state.clear_mark(LateMark(given[0], given[1], given[2], mark.since))
        case "clear what is there":
            mark = store.state.late_mark(*given)
            return mark.since and store.state.clear_mark(mark)
        case "put_period":
            settings_then = Settings(ZoneInfo("UTC"), timedelta(days=400), given[1])
            return store.state.put_period(Period(given[0], settings_then), NOON)
        case "put_daily_total":
            return store.state.put_daily_total(given[0], {"requests": given[2]}, given[1])
        case "late_marks":
            return sorted(store.state.late_marks(*given), key=str)
        case "all_users_of":
            return list(store.summaries.all_users_of(given[0]))
        case "put_progress":
            return store.state.put_progress(Progress(given[0], 2))
        case "put_fx_rate":
            return store.state.put_fx_rate(FxRate(given[0], Decimal(given[1])), source="test", now=NOON)
        case "event_pages":
            pages = store.ledger.event_pages(given[0], user_id=given[1], consistent=True)
            return [event for page in pages for event in page]
        case "get_many":
            return sorted(map(comparable, store.summaries.get_many(given[0], consistent=True)), key=str)
        case "of_user":
            return [comparable(item) for item in store.summaries.of_user(*given)]
        case "page_of_users":
            return users_after(store, *given)
        case "shard_totals":
            return [comparable(item) for item in store.state.shard_totals(*given)]
        case "put_breakdown":
            day, shard, is_new = given
            known = {item["key"]: item["revision"] for item in store.breakdowns.of_shards(day)}
            before = None if is_new else known.get(f"{shard:02d}")
            put = store.breakdowns.put_shard(day, shard, {"total": {"final": True}}, before)
            return isinstance(put, str)
        case "put_day_of_dimension":
            return store.breakdowns.put_day("team", given[0], {"total": given[2]}, given[1])
        case "days_of_dimension":
            stored_days = store.breakdowns.of_days("team", *given)
            return {day: comparable(item) for day, item in stored_days.items()}
        case "append_prices":
            book = store.prices.book()
            return book, store.prices.append(given[0], [], by="test", now=NOON)
        case "fix_revision":
            return store.prices.fix_revision(given[0], given[1], NOON)
        case "revisions_of":
            return store.prices.revisions_of(given[0])
        case _:
            return getattr(store.state, name)(*given)


def users_after(store: Store, day_shard: str, after: str | None, limit: int) -> list[str]:
    """All items of all pages: DynamoDB decides where a page ends."""
    found = []
    while True:
        page = store.summaries.page_of_users(day_shard, after=after, limit=limit)
        found += page.user_ids
        if page.last is None:
            return found
        after = page.last


def simulated(calls: list[tuple[Any, ...]], seed: int) -> list[Any]:
    """The response of the simulated DynamoDB."""
    world = World(seed, NOON)
    client = Client(Database(world, TABLES), lambda: GOOD, Process("network"), attempts=1)
    store = Store.of(client, EVENTS, SUMMARIES, STATE)
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
