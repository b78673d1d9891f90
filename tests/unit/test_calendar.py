"""Days in the reporting time zone."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impact.calendar import GRACE, Calendar, days_between

ZONES = ["UTC", "Europe/Berlin", "America/Sao_Paulo", "Pacific/Kiritimati", "Asia/Kolkata", "America/Havana"]


def calendar(zone: str = "UTC") -> Calendar:
    return Calendar(ZoneInfo(zone), timedelta(days=400))


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
    assert days.starts_at(day) <= instant < days.closes_at(day) - GRACE


@given(
    st.sampled_from(ZONES),
    st.datetimes(datetime(2024, 1, 1), datetime(2027, 1, 1)).map(lambda naive: naive.replace(tzinfo=UTC)),
    st.integers(3, 1000),
    st.integers(0, 1000 * 24),
)
def test_what_is_accepted_can_be_counted_for_some_hours(
    zone: str, now: datetime, retention: int, age_hours: int
) -> None:
    days = Calendar(ZoneInfo(zone), timedelta(days=retention))
    ts = now - timedelta(hours=age_hours)
    if days.refusal(ts, now) is None:
        assert not days.may_have_expired(days.day_of(ts), now + timedelta(hours=20))
        assert days.expires_at(ts) > now.timestamp()


def test_days_between() -> None:
    assert list(days_between("2026-02-27", "2026-03-01")) == ["2026-02-27", "2026-02-28", "2026-03-01"]
    assert list(days_between("2026-03-02", "2026-03-01")) == []
