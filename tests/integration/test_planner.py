"""The planner function: it calls a worker for each (day, shard), and fails loudly where it cannot."""

import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from impact.dynamodb import Progress, Store
from impact.rollup import DayExpired
from rollup import app as planner
from rollup_worker import app as worker
from tests.events import NOON, event, freeze, ledger
from tests.integration.test_ingest import CONTEXT
from tests.integration.test_rollup import put

NOW = NOON
TODAY = NOW.date().isoformat()


@pytest.fixture
def calls(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the planner asks of Lambda, each call carried out by the worker at once."""
    made: list[dict[str, Any]] = []

    def invoke(FunctionName: str, InvocationType: str, Payload: bytes) -> None:
        assert (FunctionName, InvocationType) == ("test-worker", "Event")
        made.append(json.loads(Payload))
        worker.handler(made[-1], CONTEXT)

    freeze(monkeypatch, planner)
    freeze(monkeypatch, worker)
    monkeypatch.setattr(planner, "store", store)
    monkeypatch.setattr(worker, "store", store)
    monkeypatch.setattr(planner, "lambda_", SimpleNamespace(invoke=invoke))
    return made


def test_a_scheduled_run_counts_the_open_days(
    store: Store, calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "events_since", lambda self: NOW)
    put(store, event(ts=NOW.isoformat()), now=NOW, laid=ledger(shard_count=16))
    planned = planner.handler({}, CONTEXT)
    assert TODAY in planned["days"]
    assert planned["planned"] == len(calls) == 16 * len(planned["days"])
    assert store.user_summaries("alice", TODAY, TODAY)[0]["requests"] == 1


def test_any_day_can_be_counted_again_by_hand(store: Store, calls: list[dict[str, Any]]) -> None:
    day = (NOW - timedelta(days=20)).date().isoformat()
    assert planner.handler({"day": day}, CONTEXT) == {"planned": 16, "days": [day]}
    assert [call["shard"] for call in sorted(calls, key=lambda call: call["shard"])] == list(range(16))


@pytest.mark.parametrize("day", ["yesterday", 5, "2026-02-30", ""])
def test_a_day_that_is_none_is_an_error(calls: list[dict[str, Any]], day: object) -> None:
    with pytest.raises(ValueError, match=r"day|format|range|Invalid"):
        planner.handler({"day": day}, CONTEXT)
    assert calls == []


def test_an_expired_day_is_an_error(calls: list[dict[str, Any]]) -> None:
    with pytest.raises(DayExpired):
        planner.handler({"day": (NOW - timedelta(days=401)).date().isoformat()}, CONTEXT)


def test_a_worker_that_cannot_be_called_fails_the_run(
    store: Store, calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def throttled(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "TooManyRequestsException", "Message": ""}}, "Invoke")

    monkeypatch.setattr(Store, "events_since", lambda self: NOW)
    monkeypatch.setattr(planner, "lambda_", SimpleNamespace(invoke=throttled))
    with pytest.raises(ClientError):
        planner.handler({}, CONTEXT)


def test_a_worker_that_cannot_be_called_costs_no_other(
    store: Store, calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    carry_out = planner.lambda_.invoke

    def first_one_throttled(**call: Any) -> None:
        if json.loads(call["Payload"])["shard"] == 0:
            raise ClientError({"Error": {"Code": "TooManyRequestsException", "Message": ""}}, "Invoke")
        carry_out(**call)

    monkeypatch.setattr(planner, "CALLERS", 1)
    monkeypatch.setattr(planner, "lambda_", SimpleNamespace(invoke=first_one_throttled))
    with pytest.raises(ClientError):
        planner.handler({"day": TODAY}, CONTEXT)
    assert sorted(call["shard"] for call in calls) == list(range(1, 16))


@pytest.mark.parametrize("shard", [-1, 16, "7", None])
def test_a_shard_that_is_none_is_an_error(calls: list[dict[str, Any]], shard: object) -> None:
    with pytest.raises(ValueError, match="shard"):
        worker.handler({"day": TODAY, "shard": shard}, CONTEXT)


def test_the_first_run_begins_with_the_day_the_ledger_was_made(
    store: Store, calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was made at one in the night: the day before was open still."""
    monkeypatch.setattr(Store, "events_since", lambda self: NOW - timedelta(days=2, hours=11))
    planner.handler({}, CONTEXT)
    assert {call["day"] for call in calls} == {"2026-11-20", "2026-11-21", "2026-11-22", TODAY}
    assert store.progress() == Progress("2026-11-19", 16)
    planner.handler({}, CONTEXT)
    assert store.progress() == Progress("2026-11-22", 16)
