"""The rollup on DynamoDB: summaries equal a plain sum of the distinct events, whatever happened."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any
from unittest.mock import ANY

import pytest

from impact.billing import Terms
from impact.calendar import DayExpired, timestamp
from impact.fx_rates import FxRate
from impact.keys import day_shard, shard_of
from impact.ledger_store import LedgerStore
from impact.recompute import TooManyConflicts, recompute
from impact.rollup_planner import plan, plan_day
from impact.state_store import StateStore
from impact.store import Store
from impact.summary import MODELS_MAX, OTHER
from impact.summary_store import SummaryStore
from tests.events import NOON, entry_builder, event
from tests.integration.steps import BUILDER, TODAY, delete_events, put, recompute_again, roll_up, summary
from tests.rates import publish

pytestmark = pytest.mark.usefixtures("ledger_since_noon")
SHARD = shard_of("alice", 4)
CLOSED = NOON + timedelta(days=3)


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
        "costReportedUSD": Decimal("0.0095"),
        "repriced": 0,
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


def test_a_recompute_that_has_read_more_is_stored_whatever_its_clock_says(store: Store) -> None:
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
    recomputed = recompute(store, BUILDER.calendar, Terms(), TODAY, shard, as_of=later + timedelta(minutes=5))
    assert (recomputed.events, summary(store)["requests"], store.state.marked()) == (2, 2, set())


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
    put(store, event(), builder=short)
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


def test_a_rollup_that_died_between_its_writes_is_repaired_by_the_next(
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
    recompute_again(store, NOON)
    unseen(monkeypatch)
    assert recompute_again(store, NOON + timedelta(seconds=1)).summaries_deleted == 0
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
    assert recompute_again(store, NOON if is_marked else CLOSED).events == 1


def test_an_open_day_is_read_at_half_the_price(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, event())
    unseen(monkeypatch)
    assert recompute_again(store, NOON).events == 0


@pytest.fixture
def lagging(monkeypatch: pytest.MonkeyPatch) -> None:
    """The index does not list any summary yet."""
    monkeypatch.setattr(SummaryStore, "all_users_of", lambda self, key: iter(()))
    monkeypatch.setattr("impact.recompute.PAUSE_SECONDS", 0)


@pytest.mark.usefixtures("lagging")
def test_a_closed_day_is_right_though_the_index_lags(store: Store) -> None:
    """A recompute finds the summary that is there as it writes, and begins again with it."""
    publish(store)
    put(store, event(eventId="1"))
    recompute_again(store, CLOSED)
    put(store, event(eventId="2"))
    recomputed = recompute_again(store, CLOSED + timedelta(seconds=1))
    assert (recomputed.events, recomputed.summaries_written, summary(store)["requests"]) == (2, 1, 2)


@pytest.mark.usefixtures("lagging")
def test_an_open_day_waits_for_the_index(store: Store) -> None:
    """It is recomputed within the hour anyway."""
    put(store, event(eventId="1"))
    recompute_again(store, NOON)
    put(store, event(eventId="2"))
    recomputed = recompute_again(store, NOON + timedelta(seconds=1))
    assert (recomputed.events, recomputed.summaries_written, summary(store)["requests"]) == (2, 0, 1)


# The order of a recompute's writes, and recomputes that overlap.


def test_an_open_day_leaves_the_figures_of_a_faster_recompute(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, event())
    monkeypatch.setattr(SummaryStore, "put", lambda *args: False)
    assert recompute_again(store, NOON).summaries_written == 0


def test_an_open_day_leaves_a_summary_that_a_faster_recompute_has_written(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, event())
    recompute_again(store, NOON)
    delete_events(store, "alice", "e-1")
    monkeypatch.setattr(SummaryStore, "delete", lambda *args: False)
    assert recompute_again(store, NOON + timedelta(seconds=1)).summaries_deleted == 0


def test_a_rate_that_comes_while_summaries_are_read_holds(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another recompute may have converted them by it. This one must not put the old euros back."""
    put(store, event())
    list_users = SummaryStore.all_users_of

    def meanwhile(self: SummaryStore, key: str) -> Iterator[str]:
        users = list(list_users(self, key))
        publish(store)
        return iter(users)

    monkeypatch.setattr(SummaryStore, "all_users_of", meanwhile)
    assert recompute_again(store, CLOSED).converted


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
                recompute_again(store, CLOSED)
        assert store.state.marked() == {(TODAY, SHARD)}
        assert sum(found.changes for found in store.state.daily_totals(TODAY, TODAY).values()) == changes
    recompute_again(store, CLOSED)
    assert store.state.marked() == set()
    assert store.state.daily_totals(TODAY, TODAY)[TODAY].changes == 2


def test_a_mark_stays_until_its_day_is_converted(store: Store) -> None:
    """A day that was final long ago is found again by it alone."""
    put(store, event(), now=CLOSED)
    assert not recompute_again(store, CLOSED).converted
    assert store.state.marked() == {(TODAY, SHARD)}
    publish(store)
    assert recompute_again(store, CLOSED).converted
    assert store.state.marked() == set()


def test_a_recompute_of_an_open_day_changes_no_sum_of_a_closed_one(store: Store) -> None:
    put(store, event())
    recompute_again(store, NOON)
    assert store.state.daily_totals(TODAY, TODAY) == {}


def test_a_closed_day_stays_closed_for_a_clock_that_is_behind(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recompute that found the day closed died before its total. Another one's clock finds it open."""
    publish(store)
    put(store, event(eventId="1"))
    closes = BUILDER.calendar.closes_at(TODAY)
    with monkeypatch.context() as context:
        dying(context, "put_shard_total")
        with pytest.raises(ConnectionError):
            recompute_again(store, closes)
    put(store, event(eventId="2"), now=closes)
    monkeypatch.setattr("impact.recompute.PAUSE_SECONDS", 0)
    recomputed = recompute_again(store, closes - timedelta(seconds=1))
    assert (recomputed.final, summary(store)["final"], summary(store)["requests"]) == (True, True, 2)
    assert store.state.marked() == set()
