"""What `make deploy` says about changed parameters before it deploys."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from impact.calendar import Calendar, Period, Settings
from impact.day_settings import apply_parameters
from impact.store import Store
from impact_cli.deploy_preview import describe_changes
from tests.events import NOON
from tests.unit.cli.test_deployment import CALENDAR, SETTINGS

STORED = "The next run of the rollup stores this. If it runs after {} UTC, all is a day later."


def settings(**changes: Any) -> Settings:
    return replace(SETTINGS, **changes)


def test_a_changed_shard_count_is_reported_with_its_first_day() -> None:
    assert describe_changes(CALENDAR, settings(shard_count=8), NOON) == [
        "ShardCount 16 -> 8: for days from 2026-11-25 on. Earlier days keep 16.",
        STORED.format("2026-11-24 00:00"),
    ]


@pytest.mark.parametrize(
    ("zone", "told"),
    [
        ("Europe/Berlin", "2026-11-25 on. Earlier days keep UTC, and 2026-11-24 is 1 hour shorter."),
        ("America/New_York", "2026-11-25 on. Earlier days keep UTC, and 2026-11-24 is 5 hours longer."),
        ("Asia/Kolkata", "2026-11-25 on. Earlier days keep UTC, and 2026-11-24 is 5.5 hours shorter."),
        ("Pacific/Kiritimati", "2026-11-26 on. Earlier days keep UTC, and 2026-11-25 is 14 hours shorter."),
        ("Europe/London", "2026-11-25 on. Earlier days keep UTC."),
    ],
)
def test_another_time_zone_is_reported_with_the_day_that_it_makes_longer_or_shorter(
    zone: str, told: str
) -> None:
    line, _ = describe_changes(CALENDAR, settings(zone=ZoneInfo(zone)), NOON)
    assert line == f"ReportingTimeZone UTC -> {zone}: for days from {told}"


def test_another_retention_is_reported_with_what_earlier_events_keep() -> None:
    line, _ = describe_changes(CALENDAR, settings(retention=timedelta(days=800)), NOON)
    assert line == ("RetentionDays 400 -> 800: for days from 2026-11-25 on. Events of earlier days keep 400.")


def test_nothing_is_reported_if_nothing_changes() -> None:
    assert describe_changes(CALENDAR, SETTINGS, NOON) == []
    changed = Calendar((*CALENDAR.periods, Period("2026-11-20", settings(shard_count=8))))
    assert describe_changes(changed, settings(shard_count=8), NOON) == []


def test_a_pending_change_is_reported_again() -> None:
    calendar = Calendar((*CALENDAR.periods, Period("2026-11-25", settings(shard_count=8))))
    told = ["ShardCount 16 -> 8: for days from 2026-11-25 on. Earlier days keep 16."]
    assert describe_changes(calendar, settings(shard_count=8), NOON) == told


def test_a_change_that_is_taken_back_in_time_is_reported_as_taken_back() -> None:
    calendar = Calendar((*CALENDAR.periods, Period("2026-11-25", settings(shard_count=8))))
    assert describe_changes(calendar, SETTINGS, NOON) == [
        "ShardCount stays 16: the change to 8 on 2026-11-25 is taken back.",
        STORED.format("2026-11-24 00:00"),
    ]


def test_a_change_that_is_taken_back_too_late_is_reported_for_one_day() -> None:
    calendar = Calendar((*CALENDAR.periods, Period("2026-11-24", settings(shard_count=8))))
    assert describe_changes(calendar, SETTINGS, NOON) == [
        "ShardCount 16 -> 8: for days from 2026-11-24 on. Earlier days keep 16.",
        "ShardCount 8 -> 16: for days from 2026-11-25 on. Earlier days keep theirs.",
        STORED.format("2026-11-24 00:00"),
    ]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles"])
@pytest.mark.parametrize("minutes", [0, 13, 719, 720, 1260])
def test_make_deploy_says_what_the_planner_stores(store: Store, zone: str, minutes: int) -> None:
    now = NOON + timedelta(minutes=minutes)
    wish = settings(zone=ZoneInfo(zone), shard_count=8)
    store.state.put_first_period(CALENDAR.periods[0], now)
    line, *_, last = describe_changes(CALENDAR, wish, now)
    until = datetime.strptime(last, STORED.format("%Y-%m-%d %H:%M")).replace(tzinfo=UTC)
    assert now <= until
    period = apply_parameters(store, wish, until)
    assert period
    assert f"for days from {period.first_day} on" in line
    late, *_ = describe_changes(CALENDAR, wish, until + timedelta(seconds=1))
    assert late != line
