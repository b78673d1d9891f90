"""The planner function: it queues each (day, shard) that is due, and fails loudly if it cannot."""

from datetime import timedelta
from typing import Any

import pytest

from impact.calendar import FIRST_DAY, Calendar, DayExpired
from impact.day_settings import InvalidSettings
from impact.ledger_store import LedgerStore
from impact.state_store import Progress
from impact.store import Store
from rollup import app as planner
from rollup_worker import app as worker
from tests.events import IMPOSSIBLE, NOON, entry_builder, event
from tests.integration.steps import put
from tests.lambda_context import CONTEXT

NOW = NOON
TODAY = NOW.date().isoformat()


def test_a_scheduled_run_recomputes_the_open_days(
    store: Store, calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LedgerStore, "created_at", lambda self: NOW)
    put(store, event(ts=NOW.isoformat()), now=NOW, builder=entry_builder(shard_count=16))
    planned = planner.handler({}, CONTEXT)
    assert TODAY in planned["days"]
    assert planned["planned"] == len(calls) == 16 * len(planned["days"])
    assert next(store.summaries.of_user("alice", TODAY, TODAY))["requests"] == 1


def test_any_day_can_be_recomputed_by_hand(store: Store, calls: list[dict[str, Any]]) -> None:
    day = (NOW - timedelta(days=20)).date().isoformat()
    assert planner.handler({"day": day}, CONTEXT) == {"planned": 16, "days": [day]}
    assert [call["shard"] for call in sorted(calls, key=lambda call: call["shard"])] == list(range(16))


@pytest.mark.parametrize("day", ["yesterday", 5, "2026-02-30", ""])
def test_an_invalid_day_is_an_error(calls: list[dict[str, Any]], day: object) -> None:
    with pytest.raises(ValueError, match=r"day|format|range|Invalid"):
        planner.handler({"day": day}, CONTEXT)
    assert calls == []


def test_an_expired_day_is_an_error(calls: list[dict[str, Any]]) -> None:
    with pytest.raises(DayExpired):
        planner.handler({"day": (NOW - timedelta(days=401)).date().isoformat()}, CONTEXT)


def test_without_a_queue_the_planner_recomputes_by_itself(
    store: Store,
    calls: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("ROLLUP_QUEUE_URL", "")
    put(store, event(ts=NOW.isoformat()), now=NOW, builder=entry_builder(shard_count=16))
    assert planner.handler({"day": TODAY}, CONTEXT) == {"planned": 16, "days": [TODAY], "counted": 16}
    assert calls == []
    assert "ROLLUP_QUEUE_URL is empty" in caplog.text
    assert next(store.summaries.of_user("alice", TODAY, TODAY))["requests"] == 1


def test_without_a_queue_a_recompute_that_fails_costs_no_other(
    store: Store, calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    recompute_shard = worker.recompute_shard

    def first_one_fails(day: object, shard: object) -> dict[str, Any]:
        if shard == 0:
            raise ConnectionError("no DynamoDB")
        return recompute_shard(day, shard)

    monkeypatch.setenv("ROLLUP_QUEUE_URL", "")
    monkeypatch.setattr(worker, "recompute_shard", first_one_fails)
    put(store, event(ts=NOW.isoformat()), now=NOW, builder=entry_builder(shard_count=16))
    with pytest.raises(ConnectionError, match="no DynamoDB"):
        planner.handler({"day": TODAY}, CONTEXT)
    assert next(store.summaries.of_user("alice", TODAY, TODAY))["requests"] == 1


@pytest.mark.parametrize("shard", [-1, 16, "7", None])
def test_an_invalid_shard_is_an_error(calls: list[dict[str, Any]], shard: object) -> None:
    with pytest.raises(ValueError, match="shard"):
        worker.handler({"day": TODAY, "shard": shard}, CONTEXT)


def test_the_first_run_begins_with_the_day_the_ledger_was_made(
    store: Store, calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was made at one in the night: the day before was open still."""
    monkeypatch.setattr(LedgerStore, "created_at", lambda self: NOW - timedelta(days=2, hours=11))
    planner.handler({}, CONTEXT)
    assert {call["day"] for call in calls} == {"2026-11-20", "2026-11-21", "2026-11-22", TODAY}
    assert store.state.progress() == Progress("2026-11-19", 16)
    planner.handler({}, CONTEXT)
    assert store.state.progress() == Progress("2026-11-22", 16)


STORED = entry_builder(zone="Europe/Berlin", shard_count=4)


@pytest.mark.parametrize(("name", "value"), IMPOSSIBLE)
def test_invalid_parameters_fail_the_run_once_all_is_recomputed(
    store: Store, calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """Planner and worker go by what is stored."""
    monkeypatch.setattr(LedgerStore, "created_at", lambda self: NOW)
    store.state.put_first_period(STORED.calendar.periods[0], NOW)
    put(store, event(ts=NOW.isoformat()), now=NOW, builder=STORED)
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings, match=value):
        planner.handler({}, CONTEXT)
    assert {call["shard"] for call in calls if call["day"] == TODAY} == {0, 1, 2, 3}
    assert next(store.summaries.of_user("alice", TODAY, TODAY))["requests"] == 1
    assert store.state.progress()
    assert store.state.periods() == STORED.calendar.periods


@pytest.mark.parametrize(("name", "value"), IMPOSSIBLE)
def test_a_day_is_recomputed_by_hand_whatever_the_parameters_ask_for(
    store: Store, calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    store.state.put_first_period(STORED.calendar.periods[0], NOW)
    monkeypatch.setenv(name, value)
    assert planner.handler({"day": TODAY}, CONTEXT) == {"planned": 4, "days": [TODAY]}


def test_a_scheduled_run_lets_changed_parameters_hold_for_days_to_come(
    store: Store, calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LedgerStore, "created_at", lambda self: NOW)
    planner.handler({}, CONTEXT)
    monkeypatch.setenv("SHARD_COUNT", "8")
    planner.handler({}, CONTEXT)
    calendar = Calendar(store.state.periods())
    assert [period.first_day for period in calendar.periods] == [FIRST_DAY, "2026-11-25"]
    assert [calendar.shard_count(day) for day in (TODAY, "2026-11-25")] == [16, 8]
