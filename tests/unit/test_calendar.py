"""Days in the reporting time zone."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impact.calendar import (
    ALLOWED_LATENESS,
    CLOCK_SKEW_MAX,
    FIRST_DAY,
    MARK_MARGIN,
    RETENTION_RESERVE,
    Calendar,
    Period,
    Settings,
    day_after,
    days_between,
    parse_day,
)
from local.template import resources
from tests.simulation.database import LATE_SECONDS

ZONES = ["UTC", "Europe/Berlin", "America/Sao_Paulo", "Pacific/Kiritimati", "Asia/Kolkata", "America/Havana"]


def calendar(zone: str = "UTC") -> Calendar:
    return Calendar.of(Settings(ZoneInfo(zone), timedelta(days=400), 16))


@pytest.mark.parametrize(
    ("zone", "instant", "day"),
    [
        ("UTC", "2026-11-23T23:59:59.999999Z", "2026-11-23"),
        ("Europe/Berlin", "2026-11-23T23:00:00Z", "2026-11-24"),
        ("Europe/Berlin", "2026-07-01T21:59:59Z", "2026-07-01"),
        ("Pacific/Kiritimati", "2026-11-23T10:00:00Z", "2026-11-24"),
        ("America/St_Johns", "2026-11-24T03:29:00Z", "2026-11-23"),
    ],
)
def test_a_day_begins_at_midnight_of_the_zone(zone: str, instant: str, day: str) -> None:
    assert calendar(zone).day_of(datetime.fromisoformat(instant)) == day


def test_days_of_23_and_25_hours() -> None:
    berlin = calendar("Europe/Berlin")
    spring = berlin.starts_at("2026-03-30") - berlin.starts_at("2026-03-29")
    autumn = berlin.starts_at("2026-10-26") - berlin.starts_at("2026-10-25")
    assert (spring, autumn) == (timedelta(hours=23), timedelta(hours=25))


@given(
    st.sampled_from(ZONES),
    st.datetimes(datetime(2015, 1, 1), datetime(2035, 1, 1)).map(lambda naive: naive.replace(tzinfo=UTC)),
)
def test_an_instant_lies_within_its_day(zone: str, instant: datetime) -> None:
    days = calendar(zone)
    day = days.day_of(instant)
    assert days.starts_at(day) <= instant < days.closes_at(day) - ALLOWED_LATENESS


@given(
    st.sampled_from(ZONES),
    st.datetimes(datetime(2024, 1, 1), datetime(2027, 1, 1)).map(lambda naive: naive.replace(tzinfo=UTC)),
    st.integers(3, 1000),
    st.integers(0, 1000 * 24),
)
def test_what_is_accepted_can_be_recomputed_for_some_hours(
    zone: str, now: datetime, retention: int, age_hours: int
) -> None:
    days = Calendar.of(Settings(ZoneInfo(zone), timedelta(days=retention), 16))
    ts = now - timedelta(hours=age_hours)
    if days.rejection_reason(ts, now) is None:
        assert not days.may_have_expired(days.day_of(ts), now + timedelta(hours=20))
        assert days.expires_at(ts) > now.timestamp()


def test_days_between() -> None:
    assert list(days_between("2026-02-27", "2026-03-01")) == ["2026-02-27", "2026-02-28", "2026-03-01"]
    assert list(days_between("2026-03-02", "2026-03-01")) == []


DAY = "2026-11-23"
MICROSECOND = timedelta(microseconds=1)


def test_an_event_is_marked_where_the_last_regular_rollup_may_have_missed_it() -> None:
    """Its put may end late, by the ingest's time limit at most, and the rollup's clock may be ahead."""
    ingest = resources("AWS::Serverless::Function")["IngestFunction"]["Timeout"]
    longest = timedelta(seconds=ingest + LATE_SECONDS)
    assert calendar().needs_mark(DAY, calendar().closes_at(DAY) - CLOCK_SKEW_MAX - longest)


def test_when_a_day_closes_and_from_when_on_its_events_are_marked() -> None:
    days = calendar()
    closes = datetime(2026, 11, 24, 3, tzinfo=UTC)
    assert days.closes_at(DAY) == closes
    assert (days.is_closed(DAY, closes - MICROSECOND), days.is_closed(DAY, closes)) == (False, True)
    marked_from = closes - MARK_MARGIN
    assert not days.needs_mark(DAY, marked_from - MICROSECOND)
    assert days.needs_mark(DAY, marked_from)


def test_when_a_day_expires_and_which_events_are_rejected_before() -> None:
    days = Calendar.of(Settings(ZoneInfo("UTC"), timedelta(days=30), 16))
    expires = datetime(2026, 12, 23, tzinfo=UTC)
    assert (days.may_have_expired(DAY, expires - MICROSECOND), days.may_have_expired(DAY, expires)) == (
        False,
        True,
    )
    assert days.oldest_day(expires) == DAY
    ts = datetime(2026, 11, 23, 12, tzinfo=UTC)
    last_accepted = ts + timedelta(days=30) - RETENTION_RESERVE
    assert days.rejection_reason(ts, last_accepted) is None
    assert (
        days.rejection_reason(ts, last_accepted + MICROSECOND)
        == "is older than 28 days, what the service can still count"
    )
    assert days.rejection_reason(ts, ts - timedelta(minutes=5)) is None
    ahead = "is more than 5 minutes ahead of the service's clock"
    assert days.rejection_reason(ts, ts - timedelta(minutes=5) - MICROSECOND) == ahead


def test_the_ledger_may_hold_events_of_the_longest_retention() -> None:
    days = changed("2026-11-26", "UTC", retention_days=30)
    assert days.oldest_day(datetime(2026, 12, 31, tzinfo=UTC)) == "2025-11-26"


@pytest.mark.parametrize("value", [20261123, None, ["2026-11-23"], "2026-11-31", "1999-12-31", "2026-11-23 "])
def test_what_is_no_day_is_reported_by_a_value_error(value: object) -> None:
    with pytest.raises(ValueError, match=r"day"):
        parse_day(value)


# Settings that change: each holds for whole days.

WEST, EAST = "America/Los_Angeles", "Asia/Tokyo"


def changed(first_day: str, zone: str, retention_days: int = 400, shard_count: int = 16) -> Calendar:
    """UTC, 400 days and 16 shards, and something else from a day on."""
    later = Settings(ZoneInfo(zone), timedelta(days=retention_days), shard_count)
    return Calendar((*calendar().periods, Period(first_day, later)))


@pytest.mark.parametrize(
    ("zone", "last_hour_before", "first_hour_after"),
    [(WEST, "2026-11-26T07:59:59+00:00", "2026-11-26T08:00:00+00:00"),
     (EAST, "2026-11-25T14:59:59+00:00", "2026-11-25T15:00:00+00:00")],
    ids=["the day before is longer", "the day before is shorter"],
)  # fmt: skip
def test_a_day_before_another_time_zone_ends_where_that_begins(
    zone: str, last_hour_before: str, first_hour_after: str
) -> None:
    days = changed("2026-11-26", zone)
    assert days.day_of(datetime.fromisoformat(last_hour_before)) == "2026-11-25"
    assert days.day_of(datetime.fromisoformat(first_hour_after)) == "2026-11-26"
    assert days.closes_at("2026-11-25") == datetime.fromisoformat(first_hour_after) + ALLOWED_LATENESS


def test_a_day_keeps_its_shards_and_its_retention() -> None:
    days = changed("2026-11-26", "UTC", retention_days=30, shard_count=8)
    before, after = datetime(2026, 11, 25, 23, tzinfo=UTC), datetime(2026, 11, 26, tzinfo=UTC)
    assert (days.shard_count("2026-11-25"), days.shard_count("2026-11-26")) == (16, 8)
    assert days.expires_at(before) == int((before + timedelta(days=400)).timestamp())
    assert days.expires_at(after) == int((after + timedelta(days=30)).timestamp())
    assert days.rejection_reason(before, before + timedelta(days=397)) is None
    assert "older than 28 days" in str(days.rejection_reason(after, after + timedelta(days=29)))
    assert days.may_have_expired("2026-11-26", after + timedelta(days=30))
    assert not days.may_have_expired("2026-11-25", after + timedelta(days=30))


def test_an_event_of_a_day_that_expired_under_a_shorter_retention_is_rejected() -> None:
    days = changed("2026-11-26", "UTC", retention_days=3650)
    old = datetime(2025, 1, 1, tzinfo=UTC)
    assert days.may_have_expired("2025-01-01", datetime(2026, 12, 24, tzinfo=UTC))
    assert "older than 398 days" in str(days.rejection_reason(old, datetime(2026, 12, 24, tzinfo=UTC)))


PERIODS = st.lists(st.tuples(st.integers(0, 20), st.sampled_from([*ZONES, "Pacific/Pago_Pago"])), max_size=4)


@given(PERIODS, st.lists(st.datetimes(datetime(2026, 10, 20), datetime(2026, 11, 20)), min_size=2))
def test_whatever_changes_time_belongs_to_one_day_after_the_other(
    changes: list[tuple[int, str]], instants: list[datetime]
) -> None:
    first_days = {(date(2026, 10, 24) + timedelta(days=n)).isoformat(): zone for n, zone in changes}
    later = [
        Period(day, Settings(ZoneInfo(zone), timedelta(days=400), 16))
        for day, zone in sorted(first_days.items())
    ]
    days = Calendar((Period(FIRST_DAY, Settings(ZoneInfo("UTC"), timedelta(days=400), 16)), *later))
    ordered = sorted(instant.replace(tzinfo=UTC) for instant in instants)
    days_found = [days.day_of(instant) for instant in ordered]
    assert days_found == sorted(days_found)
    for instant, day in zip(ordered, days_found, strict=True):
        assert days.starts_at(day) <= instant < days.starts_at(day_after(day))
        assert days.day_of(days.starts_at(day)) == day


def test_allowed_lateness_is_shorter_than_a_day() -> None:
    """Else two days would be closed at once, and the first rollup would not know where to begin."""
    assert timedelta(0) < ALLOWED_LATENESS < timedelta(days=1)
