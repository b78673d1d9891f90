"""Parameters that change: what holds for which day is stored, and every function goes by that."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from botocore.exceptions import EndpointConnectionError

from impact.billing import Terms
from impact.calendar import CLOCK_SKEW_MAX, FIRST_DAY, Calendar, Period, Settings, day_after, timestamp
from impact.day_settings import (
    CACHE_LIFETIME,
    LEAD_TIME,
    STALE_MAX,
    CachedCalendar,
    apply_parameters,
    effective_calendar,
    ensure_calendar,
    next_period,
)
from impact.ledger_entry import EntryBuilder, EventRejected
from impact.ledger_store import LedgerStore
from impact.state_store import Progress
from impact.store import Store
from impact.usage_reader import UsageReader
from tests.events import NOON, event
from tests.integration.steps import put, roll_up, summary
from tests.rates import THAT_WINTER, publish

TODAY = "2026-11-23"
HOUR = timedelta(hours=1)
SETTINGS = Settings(ZoneInfo("UTC"), timedelta(days=400), 4)


def settings(**changes: Any) -> Settings:
    return replace(SETTINGS, **changes)


@pytest.fixture(autouse=True)
def since_noon(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LedgerStore, "created_at", lambda self: NOON)
    publish(store, *THAT_WINTER)


def hours(store: Store, requested_at: dict[int, Settings], last: int) -> Iterator[tuple[datetime, Calendar]]:
    """Every four hours; the planner runs every eight, with the parameters that are set from an hour on."""
    requested = requested_at[0]
    for hour in range(0, last, 4):
        now = NOON + hour * HOUR
        requested = requested_at.get(hour, requested)
        calendar = ensure_calendar(store, partial(settings, **vars(requested)), now)
        yield now, calendar
        apply_parameters(store, requested, now)
        if hour % 8 == 4:
            roll_up(store, now, EntryBuilder(calendar))


def test_what_holds_first_is_written_once(store: Store) -> None:
    assert effective_calendar(store, lambda: SETTINGS) == Calendar.of(SETTINGS)
    assert store.state.periods() == ()
    assert ensure_calendar(store, lambda: SETTINGS, NOON) == Calendar.of(SETTINGS)
    assert ensure_calendar(store, lambda: settings(shard_count=8), NOON) == Calendar.of(SETTINGS)
    assert effective_calendar(store, lambda: settings(shard_count=8)) == Calendar.of(SETTINGS)


def test_a_stack_of_an_earlier_version_keeps_the_shards_of_its_events(store: Store) -> None:
    store.state.put_progress(Progress("2026-11-20", 16))
    assert ensure_calendar(store, lambda: settings(shard_count=8), NOON).shard_count(TODAY) == 16


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/Berlin"])
@pytest.mark.parametrize("minutes", range(0, 1440, 97))
def test_a_change_begins_a_day_ahead_at_least_and_three_at_most(zone: str, minutes: int) -> None:
    now, calendar = NOON + timedelta(minutes=minutes), Calendar.of(SETTINGS)
    requested = settings(zone=ZoneInfo(zone), shard_count=8)
    period = next_period(calendar, requested, now)
    assert period
    later = Calendar((*calendar.periods, period))
    for days in (calendar, later):
        assert now + LEAD_TIME <= days.starts_at(period.first_day) <= now + timedelta(days=3)
        assert days.day_of(now + LEAD_TIME - timedelta(seconds=1)) < period.first_day
    assert next_period(later, requested, now + HOUR) is None


@pytest.mark.parametrize(
    ("from_zone", "to_zone", "first_day"),
    [
        ("UTC", "Pacific/Kiritimati", "2026-11-26"),  # which begins the 25th when it is ten o'clock in UTC
        ("Pacific/Kiritimati", "UTC", "2026-11-26"),
        ("UTC", "Pacific/Pago_Pago", "2026-11-25"),
    ],
)
def test_a_change_begins_with_a_day_that_is_a_lead_ahead_in_both_time_zones(
    from_zone: str, to_zone: str, first_day: str
) -> None:
    """Else a function that does not know of it yet would store an event under another day."""
    period = next_period(
        Calendar.of(settings(zone=ZoneInfo(from_zone))), settings(zone=ZoneInfo(to_zone)), NOON
    )
    assert period
    assert period.first_day == first_day


def test_a_change_that_follows_another_begins_no_earlier() -> None:
    """The one before has been written down with its first day: a day has one set of settings."""
    ahead = Calendar((*Calendar.of(SETTINGS).periods, Period("2026-11-28", settings(shard_count=8))))
    period = next_period(ahead, settings(shard_count=2), NOON)
    assert period == Period("2026-11-28", settings(shard_count=2))
    later = next_period(ahead, settings(shard_count=2), NOON + timedelta(days=9))
    assert later == Period("2026-12-04", settings(shard_count=2))


def test_a_change_that_begins_exactly_a_lead_ahead_is_in_time() -> None:
    midnight = NOON.replace(hour=0)
    requested = settings(shard_count=8)
    assert next_period(Calendar.of(SETTINGS), requested, midnight) == Period("2026-11-24", requested)
    just_after = next_period(Calendar.of(SETTINGS), requested, midnight + timedelta(microseconds=1))
    assert just_after == Period("2026-11-25", requested)


def test_every_function_knows_of_a_change_before_it_begins() -> None:
    """One that can read State reads it each hour; one that cannot stops, whatever its clock says."""
    assert CACHE_LIFETIME < STALE_MAX
    assert STALE_MAX + CLOCK_SKEW_MAX < LEAD_TIME


def test_where_nothing_was_changed_nothing_is_written(store: Store) -> None:
    ensure_calendar(store, lambda: SETTINGS, NOON)
    assert apply_parameters(store, SETTINGS, NOON) is None
    assert store.state.periods() == Calendar.of(SETTINGS).periods
    requested = settings(shard_count=8)
    assert apply_parameters(store, requested, NOON) == Period("2026-11-25", requested)
    assert apply_parameters(store, requested, NOON + HOUR) is None


def test_a_change_that_is_reverted_in_time_never_holds(store: Store) -> None:
    ensure_calendar(store, lambda: SETTINGS, NOON)
    apply_parameters(store, settings(shard_count=8), NOON)
    assert [period.first_day for period in store.state.periods()] == [FIRST_DAY, "2026-11-25"]
    apply_parameters(store, SETTINGS, NOON + 2 * HOUR)
    calendar = effective_calendar(store, lambda: SETTINGS)
    assert {calendar.shard_count(day) for day in ("2026-11-24", "2026-11-25", "2026-12-24")} == {4}


def test_another_shard_count_for_two_hours_adds_up_everything_once(store: Store) -> None:
    users = [f"user-{n}" for n in range(8)]
    requested_at = {0: SETTINGS, 4: settings(shard_count=2), 8: SETTINGS}
    for now, calendar in hours(store, requested_at, last=40):
        put(
            store,
            *(event(userId=user, eventId=timestamp(now), ts=timestamp(now)) for user in users),
            now=now,
            builder=EntryBuilder(calendar),
        )
    for user in users:
        [found] = store.summaries.of_user(user, TODAY, TODAY)
        assert (found["requests"], found["final"]) == (3, True)


def test_another_shard_count_for_good_holds_for_days_to_come(store: Store) -> None:
    users = [f"user-{n}" for n in range(4)]
    for now, calendar in hours(store, {0: SETTINGS, 4: settings(shard_count=2)}, last=104):
        sent = [event(userId=user, eventId=timestamp(now), ts=timestamp(now)) for user in users]
        put(store, *sent, now=now, builder=EntryBuilder(calendar))
        late = [
            one | {"ts": timestamp(now - timedelta(hours=32)), "eventId": "late" + one["eventId"]}
            for one in sent
        ]
        put(store, *late, now=now, builder=EntryBuilder(calendar))
    calendar = effective_calendar(store, lambda: SETTINGS)
    assert [calendar.shard_count(day) for day in ("2026-11-24", "2026-11-25")] == [4, 2]
    roll_up(store, NOON + timedelta(hours=104), EntryBuilder(calendar))
    reader = UsageReader(store, calendar, Terms())
    for day in ("2026-11-24", "2026-11-25"):
        found = [summary(store, user, day) for user in users]
        assert {(each["requests"], each["final"]) for each in found} == {(12, True)}
        [row] = reader.platform(day, day)["days"]
        assert (row["requests"], row["users"], row["final"]) == (12 * 4, 4, True)
        assert {item["userId"] for item in reader.day(day, None)["items"]} == set(users)
    assert store.state.marked() == set()


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Asia/Tokyo", "Pacific/Kiritimati"])
def test_another_time_zone_loses_no_event_and_adds_up_none_twice(store: Store, zone: str) -> None:
    sent = 0
    for now, calendar in hours(store, {0: SETTINGS, 4: settings(zone=ZoneInfo(zone))}, last=120):
        for back in (0, 28):  # a new one, and one that is sent again, more than a day later
            at = now - back * HOUR
            put(
                store, event(eventId=timestamp(at), ts=timestamp(at)), now=now, builder=EntryBuilder(calendar)
            )
        sent += 1
    found = list(store.summaries.of_user("alice", "2026-11-20", "2026-12-01"))
    assert sum(day["requests"] for day in found) == sent + 7
    assert {day["final"] for day in found if day["day"] < "2026-11-27"} == {True}


def test_a_longer_retention_accepts_no_event_of_a_day_that_expired(store: Store) -> None:
    short, long = settings(retention=timedelta(days=30)), settings(retention=timedelta(days=400))
    for now, calendar in hours(store, {0: short, 4: long}, last=8):
        put(store, event(costUSD=100, ts=timestamp(NOON)), now=now, builder=EntryBuilder(calendar))
    calendar = effective_calendar(store, lambda: long)
    much_later = NOON + timedelta(days=40)
    with pytest.raises(EventRejected, match="older than 28 days"):
        EntryBuilder(calendar).build(event(eventId="late", ts=timestamp(NOON)), much_later)
    usage = UsageReader(store, calendar, Terms()).user("alice", TODAY, TODAY, fresh=True, now=much_later)
    assert usage["total"]["costUSD"] == 100


def test_a_shorter_retention_for_one_run_leaves_no_day_behind(store: Store) -> None:
    """A day that waits for its rate, and that the shorter retention would have had expire."""
    store.client.delete_item(
        TableName=store.state.name, Key={"kind": {"S": "rate"}, "key": {"S": "2026-11-20"}}
    )
    requested_at = {0: SETTINGS, 92: settings(retention=timedelta(days=3)), 96: SETTINGS}
    for now, calendar in hours(store, requested_at, last=104):
        if now == NOON:
            put(store, event(costUSD=1000, ts=timestamp(now)), now=now, builder=EntryBuilder(calendar))
    assert summary(store)["unconverted"] == 1000
    publish(store, *THAT_WINTER)
    now = NOON + timedelta(days=5)
    roll_up(store, now, EntryBuilder(ensure_calendar(store, lambda: SETTINGS, now)))
    assert summary(store)["unconverted"] == 0


def test_nothing_is_listed_from_a_day_to_one_before_it(store: Store) -> None:
    """DynamoDB reports an error, moto does not."""
    assert list(store.state.shard_totals("2026-11-24", TODAY)) == []
    assert store.state.marked("2026-11-24", TODAY) == set()
    assert list(store.summaries.of_user("alice", "2026-11-24", TODAY)) == []
    assert store.state.fx_rates("2026-11-24", TODAY).usd == {}


def test_a_calendar_in_memory_is_read_each_hour_and_never_used_for_long() -> None:
    read: list[datetime] = []
    is_down = False

    def load(now: datetime) -> Calendar:
        if is_down:
            raise EndpointConnectionError(endpoint_url="http://dynamodb")
        read.append(now)
        return Calendar.of(SETTINGS)

    calendar = CachedCalendar(load)
    for minutes in (0, 30, 59, 61, 90):
        calendar(NOON + timedelta(minutes=minutes))
    assert read == [NOON, NOON + timedelta(minutes=61)]
    is_down = True
    usable_until = NOON + timedelta(minutes=61) + STALE_MAX
    assert calendar(usable_until - timedelta(seconds=1))
    with pytest.raises(EndpointConnectionError):
        calendar(usable_until)
    is_down = False
    assert calendar(usable_until)
    for clock_set_back in (timedelta(minutes=1), timedelta(hours=2)):
        calendar(usable_until - clock_set_back)
        assert read[-1] == usable_until - clock_set_back
    is_down = True
    assert calendar(read[-1] - CACHE_LIFETIME), "a clock that was set back by an hour"
    with pytest.raises(EndpointConnectionError):
        calendar(read[-1] - CACHE_LIFETIME - timedelta(seconds=1))
    assert STALE_MAX + timedelta(hours=11) <= LEAD_TIME, "clocks that differ, a planner that is slow"


def test_a_period_is_read_back_as_it_was_written(store: Store) -> None:
    period = Period(day_after(TODAY), settings(zone=ZoneInfo("Asia/Kolkata"), shard_count=1000))
    store.state.put_first_period(Period(FIRST_DAY, SETTINGS), NOON)
    store.state.put_period(period, NOON)
    assert store.state.periods() == (Period(FIRST_DAY, SETTINGS), period)
    assert Decimal(4) == store.state.periods()[0].settings.shard_count
