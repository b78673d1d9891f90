"""The rollup on DynamoDB: summaries equal a plain sum of the distinct events, whatever happened."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from unittest.mock import ANY

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from impact.billing import Terms
from impact.calendar import ALLOWED_LATENESS, DayExpired, timestamp
from impact.fx_rates import FxRate
from impact.keys import day_shard, parse_day_shard, shard_of, user_event
from impact.ledger_entry import EntryBuilder
from impact.ledger_store import LedgerStore
from impact.recompute import Recomputed, TooManyConflicts, recompute
from impact.rollup_planner import plan, plan_day
from impact.state_store import StateStore
from impact.store import Store
from impact.summary import MODELS_MAX, OTHER
from impact.summary_store import SummaryStore
from impact.usage_reader import UsageReader
from tests.conftest import DYNAMODB_LOCAL_URL
from tests.events import NOON, entry_builder, event
from tests.rates import THAT_WINTER, publish
from tests.tables import drop_tables, make_tables

TODAY = "2026-11-23"
BUILDER = entry_builder()


def put(store: Store, *events: dict[str, Any], now: datetime = NOON, laid: EntryBuilder = BUILDER) -> None:
    """Do what the ingest does, one event after the other."""
    for raw in events:
        entry = laid.build(raw, now)
        store.ledger.append(entry.item)
        if laid.calendar.needs_mark(entry.day, now):
            store.state.mark_late(entry.day, [parse_day_shard(entry.day_shard)[1]], now)


def roll_up(store: Store, now: datetime = NOON, laid: EntryBuilder = BUILDER) -> int:
    """Do what the planner and its workers do. Return how many (day, shard)s were counted."""
    due = plan(store, laid.calendar, now)
    store.state.put_progress(due.progress)
    for day, shard in due.targets:
        recompute(store, laid.calendar, Terms(), day, shard, as_of=now)
    return len(due.targets)


def summary(store: Store, user_id: str = "alice", day: str = TODAY) -> dict[str, Any]:
    [found] = store.summaries.of_user(user_id, day, day)
    return found


@pytest.fixture(autouse=True)
def born(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger was made at noon, in the time of these tests."""
    monkeypatch.setattr(LedgerStore, "created_at", lambda self: NOON)


def test_a_day_of_one_user(store: Store) -> None:
    publish(store, FxRate("2026-11-20", Decimal("1.25")))
    put(
        store,
        event(eventId="1", tokens_cached=1000, tokens_reasoning=120),
        event(eventId="2", costUSD=None, costEUR=Decimal("0.5"), latency=Decimal("2.5")),
        event(eventId="3", costUSD=None, status="failure", tokens_in=0, tokens_out=0),
        event(eventId="4", provider="anthropic", model="claude", ts="2026-11-23T00:00:00+01:00"),
        event(eventId="4", provider="anthropic", model="claude", ts="2026-11-23T01:00:00+01:00"),
    )
    roll_up(store)
    assert summary(store) == {
        "userId": "alice",
        "day": TODAY,
        "dayShard": day_shard(TODAY, shard_of("alice", 4)),
        "requests": 4,
        "failures": 1,
        "tokens_in": 3600,
        "tokens_out": 900,
        "tokens_cached": 1000,
        "tokens_reasoning": 120,
        "costEUR": Decimal("0.5076"),
        "costUSD": Decimal("0.0095"),
        "unconverted": 0,
        "fxRate": Decimal("1.25"),
        "fxDate": "2026-11-20",
        "markupEUR": 0,
        "restorationFeeEUR": 0,
        "billedEUR": Decimal("0.5076"),
        "terms": {"markupPercent": 0, "restorationFeePercent": 0},
        "rated": 0,
        "unrated": 3,
        "estimated": 0,
        "unpriced": 1,
        "latencyTotal": Decimal("5.826214"),
        "latencyMax": Decimal("2.5"),
        "models": {
            "openai/gpt-4o": {
                "requests": 3,
                "tokens_in": 2400,
                "tokens_out": 600,
                "costEUR": Decimal("0.5038"),
                "costUSD": Decimal("0.00475"),
                "unconverted": 0,
                "rated": 0,
                "unrated": 2,
            },
            "anthropic/claude": {
                "requests": 1,
                "tokens_in": 1200,
                "tokens_out": 300,
                "costEUR": Decimal("0.0038"),
                "costUSD": Decimal("0.00475"),
                "unconverted": 0,
                "rated": 0,
                "unrated": 1,
            },
        },
        "firstTs": "2026-11-23T00:00:00.000000Z",
        "lastTs": "2026-11-23T11:59:00.000000Z",
        "asOf": timestamp(NOON),
        "revision": ANY,
        "final": False,
    }


def test_awkward_costs_sum_to_the_exact_decimal(store: Store) -> None:
    costs = [Decimal("0.1"), Decimal("0.2"), Decimal("8.4e-07"), Decimal("0.0055875000000000005")]
    put(store, *(event(eventId=str(n), costUSD=costs[n % 4]) for n in range(1000)))
    roll_up(store)
    assert summary(store)["costUSD"] == Decimal("76.397085000000000125")


def test_nothing_is_written_where_nothing_changed(store: Store) -> None:
    put(store, event())
    roll_up(store)
    first = list(store.client.scan(TableName=store.state.name)["Items"])
    roll_up(store, NOON + timedelta(hours=1))
    assert summary(store)["asOf"] == timestamp(NOON)
    assert list(store.client.scan(TableName=store.state.name)["Items"]) == first


def test_a_mark_set_again_since_it_was_read_stays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(store)
    later = NOON + timedelta(days=3)
    shard = shard_of("alice", 4)
    put(store, event(eventId="1"), now=later)
    read_pages = LedgerStore.event_pages

    def overtaken(self: LedgerStore, *args: Any, **kwargs: Any) -> Iterator[Any]:
        yield from read_pages(self, *args, **kwargs)
        put(store, event(eventId="2"), now=later + timedelta(seconds=1))

    monkeypatch.setattr(LedgerStore, "event_pages", overtaken)
    recompute(store, BUILDER.calendar, Terms(), TODAY, shard, as_of=later)
    assert (summary(store)["requests"], store.state.marked()) == (1, {(TODAY, shard)})
    monkeypatch.setattr(LedgerStore, "event_pages", read_pages)
    recompute(store, BUILDER.calendar, Terms(), TODAY, shard, as_of=later + timedelta(seconds=2))
    assert (summary(store)["requests"], store.state.marked()) == (2, set())


def test_an_earlier_recompute_never_replaces_a_later_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = shard_of("alice", 4)
    put(store, event(eventId="1"))
    read_pages = LedgerStore.event_pages

    def slow(self: LedgerStore, *args: Any, **kwargs: Any) -> Iterator[Any]:
        pages = list(read_pages(self, *args, **kwargs))
        monkeypatch.setattr(LedgerStore, "event_pages", read_pages)
        put(store, event(eventId="2"))
        recompute(store, BUILDER.calendar, Terms(), TODAY, shard, as_of=NOON + timedelta(seconds=1))
        yield from pages

    monkeypatch.setattr(LedgerStore, "event_pages", slow)
    recompute(store, BUILDER.calendar, Terms(), TODAY, shard, as_of=NOON)
    assert summary(store)["requests"] == 2
    total = store.state.shard_total(day_shard(TODAY, shard))
    assert total
    assert total["requests"] == 2


def test_what_has_seen_more_counts_whatever_its_clock_says(store: Store) -> None:
    publish(store)
    later, shard = NOON + timedelta(days=3), shard_of("alice", 4)
    put(store, event(eventId="1"), now=later)
    recompute(store, BUILDER.calendar, Terms(), TODAY, shard, as_of=later)
    put(store, event(eventId="2"), now=later)
    recompute(store, BUILDER.calendar, Terms(), TODAY, shard, as_of=later - timedelta(seconds=1))
    assert (summary(store)["requests"], store.state.marked()) == (2, set())


def test_a_clock_that_was_hours_ahead_closes_no_day(store: Store) -> None:
    put(store, event(eventId="1"))
    recompute(store, BUILDER.calendar, Terms(), TODAY, shard_of("alice", 4), as_of=NOON + timedelta(days=1))
    assert summary(store)["final"]
    put(store, event(eventId="2"))
    roll_up(store, NOON + timedelta(hours=1))
    assert (summary(store)["requests"], summary(store)["final"]) == (2, False)


def test_recomputes_that_overlap_make_a_day_final(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that read the ledger before the late event begins again; the other has cleared the mark."""
    publish(store)
    later, shard = NOON + timedelta(days=3), shard_of("alice", 4)
    put(store, event(eventId="1"), now=later)
    read_pages = LedgerStore.event_pages

    def overtaken(self: LedgerStore, *args: Any, **kwargs: Any) -> Iterator[Any]:
        pages = list(read_pages(self, *args, **kwargs))
        monkeypatch.setattr(LedgerStore, "event_pages", read_pages)
        put(store, event(eventId="2"), now=later)
        recompute(store, BUILDER.calendar, Terms(), TODAY, shard, as_of=later)
        assert (summary(store)["requests"], store.state.marked()) == (2, set())
        yield from pages

    monkeypatch.setattr(LedgerStore, "event_pages", overtaken)
    counted = recompute(store, BUILDER.calendar, Terms(), TODAY, shard, as_of=later + timedelta(minutes=5))
    assert (counted.events, summary(store)["requests"], store.state.marked()) == (2, 2, set())


def test_a_recompute_that_is_beaten_again_and_again_gives_up(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(store)
    later, shard = NOON + timedelta(days=3), shard_of("alice", 4)
    put(store, event(eventId="1"), now=later)
    monkeypatch.setattr(SummaryStore, "put", lambda *args: False)
    monkeypatch.setattr("impact.recompute.PAUSE_SECONDS", 0)
    with pytest.raises(TooManyConflicts):
        recompute(store, BUILDER.calendar, Terms(), TODAY, shard, as_of=later)
    assert store.state.marked() == {(TODAY, shard)}


def test_a_longer_retention_does_not_open_days_that_expired_under_the_shorter(store: Store) -> None:
    short, long = entry_builder(retention_days=30), entry_builder(retention_days=400)
    shard = shard_of("alice", 4)
    put(store, event(), laid=short)
    recompute(store, short.calendar, Terms(), TODAY, shard, as_of=NOON)
    recompute(store, long.calendar, Terms(), TODAY, shard, as_of=NOON + timedelta(days=20))
    with pytest.raises(DayExpired):
        recompute(store, long.calendar, Terms(), TODAY, shard, as_of=NOON + timedelta(days=31))
    assert summary(store)["requests"] == 1


def test_a_day_whose_events_may_have_expired_is_never_recomputed(store: Store) -> None:
    put(store, event())
    roll_up(store)
    much_later = NOON + timedelta(days=400)
    with pytest.raises(DayExpired):
        recompute(store, BUILDER.calendar, Terms(), TODAY, 0, as_of=much_later)
    with pytest.raises(DayExpired):
        plan_day(BUILDER.calendar, TODAY, much_later)
    store.state.mark_late(TODAY, [0], NOON)
    due = plan(store, BUILDER.calendar, much_later)
    assert due.expired_marks == [(TODAY, 0)]
    assert all(day > TODAY for day, _ in due.targets)


def test_a_rollup_that_died_between_its_writes_is_made_good(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(store)
    later = NOON + timedelta(days=3)
    put(store, *(event(userId=f"u{n}") for n in range(20)), now=later)
    with monkeypatch.context() as dying:
        dying.setattr(StateStore, "put_shard_total", lambda *args: (_ for _ in ()).throw(ConnectionError))
        with pytest.raises(ConnectionError):
            roll_up(store, later)
    assert len(store.state.marked()) == 4
    roll_up(store, later + timedelta(minutes=1))
    assert store.state.marked() == set()
    assert sum(total["requests"] for total in store.state.shard_totals(TODAY, TODAY)) == 20


def test_many_models_are_bounded(store: Store) -> None:
    put(store, *(event(eventId=str(n), model=f"m{n}", costUSD=1) for n in range(MODELS_MAX + 10)))
    roll_up(store)
    found = summary(store)
    assert len(found["models"]) == MODELS_MAX + 1
    assert found["models"][OTHER]["costUSD"] == 10
    assert found["costUSD"] == MODELS_MAX + 10


def test_pages_go_on_after_one_megabyte(store: Store) -> None:
    put(store, *(event(eventId=str(n), conversationId="c" * 256, keyAlias="k" * 256) for n in range(1500)))
    pages = list(store.ledger.event_pages(day_shard(TODAY, shard_of("alice", 4)), consistent=False))
    assert len(pages) > 1
    roll_up(store)
    assert summary(store)["requests"] == 1500


def test_a_user_whose_id_begins_like_another_is_another(store: Store) -> None:
    users = ["a", "a#", "a%23", "a#b", "a!", "ab", "a\0"]
    one_shard = entry_builder(shard_count=1)
    put(store, *(event(userId=u, eventId=f"{n}") for u in users for n in range(3)), laid=one_shard)
    roll_up(store, laid=one_shard)
    for user in users:
        assert summary(store, user)["requests"] == 3
        pages = store.ledger.event_pages(day_shard(TODAY, 0), user_id=user, consistent=True)
        assert {e["userId"]["S"] for page in pages for e in page} == {user}


# Summaries of users who have no event left on that day.

SHARD = shard_of("alice", 4)
CLOSED = NOON + timedelta(days=3)
FEW = entry_builder(shard_count=1)


def delete_events(store: Store, user_id: str, *event_ids: str, laid: EntryBuilder = BUILDER) -> None:
    """Do what somebody does by hand."""
    key = day_shard(TODAY, laid.calendar.shard_of(user_id, TODAY))
    for event_id in event_ids:
        store.client.delete_item(
            TableName=store.ledger.name,
            Key={"dayShard": {"S": key}, "userEvent": {"S": user_event(user_id, event_id)}},
        )


def users_shown(store: Store, laid: EntryBuilder) -> tuple[list[str], list[tuple[int, int]]]:
    """Who stands in the day's list; the platform's users and requests of that day."""
    reader = UsageReader(store, laid.calendar, Terms())
    listed = [item["userId"] for item in reader.day(TODAY, None)["items"]]
    return listed, [(row["users"], row["requests"]) for row in reader.platform(TODAY, TODAY)["days"]]


def count_again(store: Store, now: datetime, laid: EntryBuilder = BUILDER) -> Recomputed:
    shard = laid.calendar.shard_of("alice", TODAY)
    return recompute(store, laid.calendar, Terms(), TODAY, shard, as_of=now)


AT = pytest.mark.parametrize("now", [NOON, CLOSED], ids=["open day", "closed day"])


@AT
def test_a_user_whose_events_were_deleted_has_no_summary(store: Store, now: datetime) -> None:
    publish(store)
    put(store, event(), event(userId="bob"), event(userId="carol"), laid=FEW)
    count_again(store, now, FEW)
    assert users_shown(store, FEW) == (["alice", "bob", "carol"], [(3, 3)])
    delete_events(store, "bob", "e-1", laid=FEW)
    counted = count_again(store, now + timedelta(minutes=1), FEW)
    assert (counted.summaries_deleted, counted.summaries_written, counted.users) == (1, 0, 2)
    assert list(store.summaries.of_user("bob", TODAY, TODAY)) == []
    assert users_shown(store, FEW) == (["alice", "carol"], [(2, 2)])


@AT
def test_a_day_whose_last_event_was_deleted_is_empty(store: Store, now: datetime) -> None:
    publish(store)
    put(store, event(), laid=FEW)
    count_again(store, now, FEW)
    delete_events(store, "alice", "e-1", laid=FEW)
    count_again(store, now + timedelta(minutes=1), FEW)
    assert users_shown(store, FEW) == ([], [])


@AT
def test_one_of_several_events_that_was_deleted_is_in_no_sum(store: Store, now: datetime) -> None:
    publish(store)
    put(store, *(event(eventId=name, costUSD=Decimal(name)) for name in ("1", "2", "4")), laid=FEW)
    count_again(store, now, FEW)
    delete_events(store, "alice", "2", laid=FEW)
    counted = count_again(store, now + timedelta(minutes=1), FEW)
    assert (counted.summaries_deleted, counted.summaries_written) == (0, 1)
    assert (summary(store)["requests"], summary(store)["costUSD"]) == (2, 5)
    assert users_shown(store, FEW) == (["alice"], [(1, 2)])


def unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let reads of a whole shard that are eventually consistent miss every event."""
    read_pages = LedgerStore.event_pages

    def pages(self: LedgerStore, key: str, *, user_id: str | None = None, consistent: bool) -> Iterator[Any]:
        if consistent or user_id is not None:
            yield from read_pages(self, key, user_id=user_id, consistent=consistent)

    monkeypatch.setattr(LedgerStore, "event_pages", pages)


def test_a_read_that_misses_events_deletes_no_user_who_has_some(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, event())
    count_again(store, NOON)
    unseen(monkeypatch)
    assert count_again(store, NOON + timedelta(seconds=1)).summaries_deleted == 0
    assert summary(store)["requests"] == 1


@pytest.mark.parametrize("is_marked", [True, False], ids=["marked", "closed"])
def test_a_day_that_is_closed_or_marked_is_read_as_it_is_now(
    store: Store, monkeypatch: pytest.MonkeyPatch, is_marked: bool
) -> None:
    publish(store)
    put(store, event())
    if is_marked:
        store.state.mark_late(TODAY, [SHARD], NOON)
    unseen(monkeypatch)
    assert count_again(store, NOON if is_marked else CLOSED).events == 1


def test_an_open_day_is_read_at_half_the_price(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, event())
    unseen(monkeypatch)
    assert count_again(store, NOON).events == 0


@pytest.fixture
def lagging(monkeypatch: pytest.MonkeyPatch) -> None:
    """The index does not list any summary yet."""
    monkeypatch.setattr(SummaryStore, "all_users_of", lambda self, key: iter(()))
    monkeypatch.setattr("impact.recompute.PAUSE_SECONDS", 0)


@pytest.mark.usefixtures("lagging")
def test_a_closed_day_is_right_though_the_index_lags(store: Store) -> None:
    """A count finds the summary that is there as it writes, and begins again with it."""
    publish(store)
    put(store, event(eventId="1"))
    count_again(store, CLOSED)
    put(store, event(eventId="2"))
    counted = count_again(store, CLOSED + timedelta(seconds=1))
    assert (counted.events, counted.summaries_written, summary(store)["requests"]) == (2, 1, 2)


@pytest.mark.usefixtures("lagging")
def test_an_open_day_waits_for_the_index(store: Store) -> None:
    """It is counted again anyway."""
    put(store, event(eventId="1"))
    count_again(store, NOON)
    put(store, event(eventId="2"))
    counted = count_again(store, NOON + timedelta(seconds=1))
    assert (counted.events, counted.summaries_written, summary(store)["requests"]) == (2, 0, 1)


@AT
def test_an_index_that_lists_a_deleted_user_still_is_no_harm(
    store: Store, monkeypatch: pytest.MonkeyPatch, now: datetime
) -> None:
    publish(store)
    put(store, event())
    count_again(store, now)
    listed = list(store.summaries.all_users_of(day_shard(TODAY, SHARD)))
    delete_events(store, "alice", "e-1")
    monkeypatch.setattr(SummaryStore, "all_users_of", lambda self, key: iter(listed))
    for second in (1, 2):
        count_again(store, now + timedelta(seconds=second))
    assert list(store.summaries.of_user("alice", TODAY, TODAY)) == []


# What a count does in which order, and what it makes of others.


def test_an_open_day_leaves_the_figures_of_a_faster_recompute(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, event())
    monkeypatch.setattr(SummaryStore, "put", lambda *args: False)
    assert count_again(store, NOON).summaries_written == 0


def test_an_open_day_leaves_a_summary_that_a_faster_recompute_has_written(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, event())
    count_again(store, NOON)
    delete_events(store, "alice", "e-1")
    monkeypatch.setattr(SummaryStore, "delete", lambda *args: False)
    assert count_again(store, NOON + timedelta(seconds=1)).summaries_deleted == 0


def test_a_rate_that_comes_while_summaries_are_read_holds(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another count may have converted them by it: this one must not put the old euros back."""
    put(store, event())
    list_users = SummaryStore.all_users_of

    def meanwhile(self: SummaryStore, key: str) -> Iterator[str]:
        users = list(list_users(self, key))
        publish(store)
        return iter(users)

    monkeypatch.setattr(SummaryStore, "all_users_of", meanwhile)
    assert count_again(store, CLOSED).converted


def dying(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def die(*args: Any) -> None:
        raise ConnectionError

    monkeypatch.setattr(StateStore, name, die)


def test_a_recompute_of_a_closed_day_says_that_its_sum_has_changed_before_the_mark_goes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(store)
    put(store, event(), now=CLOSED)
    for name, changes in (("outdate_daily_total", 0), ("clear_mark", 1)):
        with monkeypatch.context() as context:
            dying(context, name)
            with pytest.raises(ConnectionError):
                count_again(store, CLOSED)
        assert store.state.marked() == {(TODAY, SHARD)}
        assert sum(found.changes for found in store.state.daily_totals(TODAY, TODAY).values()) == changes
    count_again(store, CLOSED)
    assert store.state.marked() == set()
    assert store.state.daily_totals(TODAY, TODAY)[TODAY].changes == 2


def test_a_mark_stays_until_its_day_is_converted(store: Store) -> None:
    """A day that was final long ago is found again by it alone."""
    put(store, event(), now=CLOSED)
    assert not count_again(store, CLOSED).converted
    assert store.state.marked() == {(TODAY, SHARD)}
    publish(store)
    assert count_again(store, CLOSED).converted
    assert store.state.marked() == set()


def test_a_recompute_of_an_open_day_changes_no_sum_of_a_closed_one(store: Store) -> None:
    put(store, event())
    count_again(store, NOON)
    assert store.state.daily_totals(TODAY, TODAY) == {}


def test_a_closed_day_is_counted_as_one_by_a_clock_that_is_behind(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A count that found the day closed died before its total; another one, by its clock, finds it open."""
    publish(store)
    put(store, event(eventId="1"))
    closes = BUILDER.calendar.closes_at(TODAY)
    with monkeypatch.context() as context:
        dying(context, "put_shard_total")
        with pytest.raises(ConnectionError):
            count_again(store, closes)
    put(store, event(eventId="2"), now=closes)
    monkeypatch.setattr("impact.recompute.PAUSE_SECONDS", 0)
    counted = count_again(store, closes - timedelta(seconds=1))
    assert (counted.final, summary(store)["final"], summary(store)["requests"]) == (True, True, 2)
    assert store.state.marked() == set()


# A property: for any events, any order, any duplication, any split into batches and rollups.

RAW = st.fixed_dictionaries(
    {
        "userId": st.sampled_from(["alice", "bob", "a#", "a%23", "😀"]),
        "eventId": st.sampled_from([str(n) for n in range(8)]),
        "ts": st.integers(0, 4 * 24).map(lambda h: timestamp(NOON - timedelta(hours=h))),
        "model": st.sampled_from(["gpt-4o", "llama"]),
        "provider": st.sampled_from(["openai", "groq"]),
        "tokens_in": st.integers(0, 10**6),
        "tokens_out": st.integers(0, 10**6),
        "latency": st.decimals(0, 1000, places=6),
        "status": st.sampled_from(["success", "failure"]),
    },
    optional={
        "costUSD": st.decimals(0, 100, places=20),
        "costEUR": st.decimals(0, 100, places=20),
        "tokens_cached": st.integers(0, 1000),
        "tokens_reasoning": st.integers(0, 1000),
    },
)


@contextmanager
def fresh_store() -> Iterator[Store]:
    with mock_aws():
        made = make_tables()
        publish(made, *THAT_WINTER)
        yield made
        if DYNAMODB_LOCAL_URL:
            drop_tables(made)


def plain_sums(
    events: list[dict[str, Any]], laid: EntryBuilder
) -> dict[tuple[str, str], dict[str, Fraction]]:
    """The oracle: the first of each key, summed in fractions."""
    distinct: dict[tuple[str, str, str], dict[str, Any]] = {}
    for raw in events:
        day = laid.calendar.day_of(datetime.fromisoformat(raw["ts"]))
        distinct.setdefault((raw["userId"], day, raw["eventId"]), raw)
    sums: dict[tuple[str, str], dict[str, Fraction]] = {}
    for (user_id, day, _), raw in distinct.items():
        of = sums.setdefault((user_id, day), dict.fromkeys(SUMMED, Fraction(0)))
        for name in SUMMED:
            of[name] += Fraction(raw.get(name, 0))
        if "costEUR" not in raw:  # a dollar is a euro here
            of["costEUR"] += Fraction(raw.get("costUSD", 0))
        of["requests"] += 1
        of["failures"] += raw["status"] == "failure"
        of["unpriced"] += "costUSD" not in raw and "costEUR" not in raw
        of["latencyTotal"] += Fraction(raw["latency"])
    return sums


SUMMED = (
    *("requests", "failures", "unpriced", "latencyTotal", "costEUR", "costUSD"),
    *("tokens_in", "tokens_out", "tokens_cached", "tokens_reasoning"),
)


@pytest.mark.parametrize("examples", [5, pytest.param(30, marks=pytest.mark.long)])
def test_summaries_equal_a_plain_sum(examples: int) -> None:
    settings(max_examples=examples, deadline=None)(
        given(
            events=st.lists(RAW, max_size=30),
            zone=st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Kiritimati", "America/St_Johns"]),
            shard_count=st.integers(1, 5),
            data=st.data(),
        )(summaries_equal_a_plain_sum)
    )()


def summaries_equal_a_plain_sum(
    events: list[dict[str, Any]], zone: str, shard_count: int, data: st.DataObject
) -> None:
    laid = entry_builder(zone, shard_count=shard_count)
    sent = list(events)
    if events:
        sent += data.draw(st.lists(st.sampled_from(events), max_size=20), label="sent again")
    rollups = data.draw(st.sets(st.integers(0, len(sent)), max_size=4), label="rollups before")
    with fresh_store() as store:
        for index, raw in enumerate(sent):
            if index in rollups:
                roll_up(store, NOON + timedelta(seconds=index), laid)
            put(store, raw, now=NOON + timedelta(seconds=index), laid=laid)
        roll_up(store, NOON + timedelta(hours=1), laid)
        expected = plain_sums(sent, laid)
        found = {
            (item["userId"], item["day"]): item
            for item in map(_item, store.client.scan(TableName=store.summaries.name)["Items"])
        }
        assert found.keys() == expected.keys()
        for key, sums in expected.items():
            assert {name: Fraction(found[key][name]) for name in SUMMED} == sums
            models = found[key]["models"].values()
            for name in ("requests", "tokens_in", "tokens_out", "costEUR", "costUSD"):
                assert sum(Fraction(model[name]) for model in models) == sums[name]
        days = {day for _, day in expected}
        for day in days:
            total = sum(t["requests"] for t in store.state.shard_totals(day, day))
            assert total == sum(sums["requests"] for (_, d), sums in expected.items() if d == day)
        assert store.state.marked() == set()


def _item(wire: dict[str, Any]) -> dict[str, Any]:
    from impact.dynamodb import item_from_wire

    return item_from_wire(wire)


def test_allowed_lateness_is_shorter_than_a_day() -> None:
    """Else two days would be closed at once, and the first rollup would not know where to begin."""
    assert timedelta(0) < ALLOWED_LATENESS < timedelta(days=1)
