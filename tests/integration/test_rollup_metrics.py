"""The metrics of the planner function, read from what it prints."""

from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest

from impact.calendar import timestamp
from impact.store import Store
from rollup import app as planner
from tests.events import NOON, event
from tests.integration.conftest import RunPlanner
from tests.integration.steps import BUILDER, put, roll_up
from tests.metrics import values
from tests.rates import publish

HOUR = timedelta(hours=1)


def test_an_idle_stack_lags_by_nothing(run_planner: RunPlanner) -> None:
    assert run_planner(NOON) == {"Planned": 4}


def test_the_lag_is_the_time_since_the_oldest_day_that_is_not_final_closed(
    store: Store, run_planner: RunPlanner
) -> None:
    publish(store)
    put(store, event())
    closed = BUILDER.calendar.closes_at("2026-11-23")
    assert run_planner(closed - HOUR)["RollupLag"] == 0
    assert run_planner(closed + HOUR)["RollupLag"] == 3600
    assert run_planner(closed + 30 * HOUR)["RollupLag"] == 30 * 3600
    roll_up(store, closed + 30 * HOUR)
    assert run_planner(closed + 31 * HOUR)["RollupLag"] == 0


def test_late_marks_are_reported_with_the_age_of_the_oldest(store: Store, run_planner: RunPlanner) -> None:
    roll_up(store, NOON)
    for days_ago in (3, 4):
        late = event(ts=timestamp(NOON - timedelta(days=days_ago)), costUSD=None, costEUR=Decimal(1))
        put(store, late, now=NOON + HOUR * days_ago)
    put(store, late | {"eventId": "one more"}, now=NOON + 4.5 * HOUR)  # and its day still is not recomputed
    emitted = run_planner(NOON + 5 * HOUR)
    assert (emitted["LateMarks"], emitted["OldestLateMark"], emitted["ExpiredMarks"]) == (2, 2 * 3600, 0)
    long_after = NOON + timedelta(days=396)
    emitted = run_planner(long_after)
    assert (emitted["LateMarks"], emitted["ExpiredMarks"]) == (1, 1)
    assert emitted["OldestLateMark"] == (long_after - NOON - 3 * HOUR).total_seconds()


def test_days_that_wait_for_their_rate_are_reported(store: Store, run_planner: RunPlanner) -> None:
    put(store, event())
    closed = BUILDER.calendar.closes_at("2026-11-23")
    roll_up(store, closed)
    assert run_planner(closed + 2 * HOUR)["UnconvertedDays"] == 1
    publish(store)
    roll_up(store, closed + 3 * HOUR)
    assert run_planner(closed + 4 * HOUR)["UnconvertedDays"] == 0


def test_a_run_that_cannot_queue_anything_still_reports_the_lag(
    store: Store, run_planner: RunPlanner, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(store)
    put(store, event())
    closed = BUILDER.calendar.closes_at("2026-11-23")
    run_planner(closed - HOUR)

    def no_sqs(**batch: object) -> None:
        raise ConnectionError("no SQS")

    monkeypatch.setattr(planner, "sqs", SimpleNamespace(send_message_batch=no_sqs))
    with pytest.raises(ConnectionError, match="no SQS"):
        run_planner(closed + HOUR)
    assert values(capsys.readouterr().out)["RollupLag"] == 3600
