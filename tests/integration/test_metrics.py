"""The metrics that dashboard and alarms stand on, read from what the functions really print."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from impact.calendar import timestamp
from impact.dynamodb import Store
from request_events.event import FIELDS
from rollup import app as planner
from tests.events import NOON, event, freeze
from tests.integration.test_ingest import CONTEXT, Post, post
from tests.integration.test_rollup import LEDGER, put, roll_up
from tests.metrics import emitted, values
from tests.rates import publish

__all__ = ["post"]

Run = Callable[[datetime], dict[str, float]]
HOUR = timedelta(hours=1)


@pytest.fixture
def run(store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the planner at a time, without its workers, and return its metrics. The ledger was made at noon."""
    monkeypatch.setattr(Store, "events_since", lambda self: NOON)
    monkeypatch.setattr(planner, "store", store)
    monkeypatch.setattr(planner, "shard_count", LEDGER.shard_count)
    monkeypatch.setattr(planner, "_call_worker", lambda target: None)

    def at(now: datetime) -> dict[str, float]:
        freeze(monkeypatch, planner, now)
        capsys.readouterr()
        planner.handler({}, CONTEXT)
        return values(capsys.readouterr().out)

    return at


def test_ingest_counts_what_became_of_each_event(post: Post, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = event(), event(eventId="bad", tokens_in=-1, latency=-1)
    unpriced = event(eventId="unpriced", costUSD=None, model="nobody-knows-it", prompt="secret")
    post([good, good, unpriced, bad, bad | {"userId": ""}, event(ts="2020-01-01T00:00:00Z"), "no object"])
    out = capsys.readouterr().out
    assert values(out) == {
        "Accepted": 2,
        "Duplicate": 1,
        "Retry": 0,
        "Rejected": 4,
        "Unpriced": 1,
        "Unrated": 1,
        "UnknownFields": 1,
    }
    by_field = {field: values(out, field=field) for field in ("tokens_in", "userId", "ts", "event")}
    assert by_field == {field: {"Rejected": 1} for field in by_field}
    assert "alice" not in out
    assert "secret" not in out


def test_a_request_that_is_refused_as_a_whole_is_counted(
    post: Post, capsys: pytest.CaptureFixture[str]
) -> None:
    post(b"{")
    assert values(capsys.readouterr().out) == {"RequestsRefused": 1}


def test_no_sender_can_make_metrics_up(post: Post, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is paid for: whatever is sent, there is one a field of the contract at most, and one more."""
    nonsense: list[Any] = [{f"made-up-{n}": n} for n in range(20)]
    nonsense += [event(**{name: {"made-up": [name]}}) for name in sorted(FIELDS)]
    nonsense += [
        event(tags=["fine", {"made-up": 1}]),
        event(model="m" * 300),
        event(tags=["x" * 9000]),
        7,
        [],
    ]
    post(nonsense)
    divided = [dict(metric.dimensions) for metric, _, _ in emitted(capsys.readouterr().out)]
    fields = {dimensions["field"] for dimensions in divided if "field" in dimensions}
    assert len(fields) > 20
    assert fields <= FIELDS | {"event"}
    assert {dimensions["service"] for dimensions in divided} == {"impact"}


def test_an_idle_stack_lags_by_nothing(run: Run) -> None:
    gauges = {"RollupLag": 0, "LateMarks": 0, "OldestLateMark": 0, "ExpiredMarks": 0, "UnconvertedDays": 0}
    assert run(NOON) == gauges | {"Planned": LEDGER.shard_count * 1}


def test_the_lag_is_the_time_since_the_oldest_day_that_is_not_final_closed(store: Store, run: Run) -> None:
    publish(store)
    put(store, event())
    closed = LEDGER.calendar.closes_at("2026-11-23")
    assert run(closed - HOUR)["RollupLag"] == 0
    assert run(closed + HOUR)["RollupLag"] == 3600
    assert run(closed + 30 * HOUR)["RollupLag"] == 30 * 3600
    roll_up(store, closed + 30 * HOUR)
    assert run(closed + 31 * HOUR)["RollupLag"] == 0


def test_late_marks_are_told_with_the_age_of_the_oldest(store: Store, run: Run) -> None:
    roll_up(store, NOON)
    for days_ago in (3, 4):
        late = event(ts=timestamp(NOON - timedelta(days=days_ago)), costUSD=None, costEUR=Decimal(1))
        put(store, late, now=NOON + HOUR * days_ago)
    told = run(NOON + 5 * HOUR)
    assert (told["LateMarks"], told["OldestLateMark"], told["ExpiredMarks"]) == (2, 2 * 3600, 0)
    long_after = NOON + timedelta(days=396)
    told = run(long_after)
    assert (told["LateMarks"], told["ExpiredMarks"]) == (1, 1)
    assert told["OldestLateMark"] == (long_after - NOON - 3 * HOUR).total_seconds()


def test_days_that_wait_for_their_rate_are_told(store: Store, run: Run) -> None:
    put(store, event())
    closed = LEDGER.calendar.closes_at("2026-11-23")
    roll_up(store, closed)
    assert run(closed + 2 * HOUR)["UnconvertedDays"] == 1
    publish(store)
    roll_up(store, closed + 3 * HOUR)
    assert run(closed + 4 * HOUR)["UnconvertedDays"] == 0


def test_a_run_that_cannot_call_its_workers_tells_the_lag_all_the_same(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(target: object) -> None:
        raise ConnectionError("no Lambda")

    monkeypatch.setattr(planner, "_call_worker", refused)
    with pytest.raises(ConnectionError, match="no Lambda"):
        run(NOON)
    assert "RollupLag" in values(capsys.readouterr().out)
