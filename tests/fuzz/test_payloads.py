"""Calls of worker, planner and rates function by hand: a mistake is reported, and changes nothing."""

import re
from collections import Counter
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from impact.calendar import DayExpired
from impact.ecb import BadRates
from impact.fx_update import BadReason, NotATargetDay, RateKnown
from impact.ledger_store import LedgerStore
from impact.store import Store
from rates import app as rates
from rollup import app as planner
from rollup_worker import app as worker
from tests.events import NOON, freeze
from tests.fuzz import ROUNDS
from tests.lambda_context import CONTEXT

PAYLOADS = 300
"""Number of calls of each function in one round."""
DAYS = [
    *(
        "2026-11-23",
        "2026-11-01",
        "2026-02-29",
        "2026-11-31",
        "20261123",
        "2026-W48-1",
        "2026-11-23\n",
        "",
        "now",
    ),
    *(
        "0001-01-01",
        "1999-12-31",
        "2001-01-01",
        "2999-12-31",
        "9999-12-31",
        "２０２６-11-23",
        "\ud800",
        "2" * 9999,
    ),
    *("2026-11-23T00:00:00Z", "2026-11-20", "2026-11-21", "2026-11-24", " 2026-11-20"),
]
SCALARS: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        1,
        15,
        16,
        -1,
        10**30,
        0.0,
        1.5,
        float("nan"),
        float("inf"),
        "0",
        "7",
        [],
        {},
        [7],
        {"a": 7},
    ),
    *DAYS,
]
DOLLARS: list[Any] = [
    *(
        "1.1172",
        "1",
        "0",
        "0.0",
        "-1",
        "1e3",
        "NaN",
        "Infinity",
        "1,1172",
        " 1",
        "1.",
        ".5",
        "",
        "９",
        "9" * 5000,
    ),
    *("1.1234567891", "0.000000001", 1.1172, 1, None, True, [], {}),
]
REASONS: list[Any] = [
    "typed 11.172 for 1.1172",
    "x",
    "x" * 500,
    "x" * 501,
    "",
    " ",
    "`$(id)`",
    "\0",
    "--",
    None,
]
DAY = re.compile("2[0-9]{3}-[0-9]{2}-[0-9]{2}")
WITH_RATES = {"1999-12-31", "2026-11-20", "2026-11-23"}
"""Days on which the ECB published rates."""
FIRST_KEPT = (NOON - timedelta(days=400)).date()


@pytest.fixture
def written(store: Store, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """The three functions on tables of a test. Their writes to DynamoDB are counted."""
    asked: Counter[str] = Counter()

    def note(model: Any, **_: Any) -> None:
        if model.name in ("PutItem", "DeleteItem"):
            asked[model.name] += 1

    store.client.meta.events.register("before-call.dynamodb", note)
    for app in (worker, planner, rates):
        freeze(monkeypatch, app)
        monkeypatch.setattr(app, "store", store)
    monkeypatch.setattr(LedgerStore, "created_at", lambda self: NOON)
    return asked


def _date(value: object) -> date | None:
    """The day, if it is a valid one."""
    try:
        return date.fromisoformat(value) if isinstance(value, str) and DAY.fullmatch(value) else None
    except ValueError:
        return None


def _payload(random: Random, pools: dict[str, list[Any]]) -> dict[str, Any]:
    payload = {name: random.choice(random.choice((pool, pool[:1], SCALARS))) for name, pool in pools.items()}
    for name in [*pools, "__proto__"]:
        chance = random.random()
        if chance < 0.05:
            payload.pop(name, None)
        elif chance < 0.1:
            payload[f"{name} "] = random.choice(SCALARS)
    return payload


def _items_of(store: Store, payload: dict[str, Any]) -> list[Any]:
    """The items of a (day, shard) in State."""
    key = {":k": {"S": f"{payload['day']}#{payload['shard']:02d}"}}
    found = store.client.scan(
        TableName=store.state.name,
        FilterExpression="#k = :k",
        ExpressionAttributeNames={"#k": "key"},
        ExpressionAttributeValues=key,
    )
    return list(found["Items"])


def test_a_worker_counts_a_day_and_shard_and_nothing_else(
    written: Counter[str], counted: Counter[str], store: Store
) -> None:
    random = Random(0)
    for _ in range(PAYLOADS * ROUNDS):
        payload = _payload(random, {"day": DAYS, "shard": [7, 0, 15, 16, -1]})
        day, shard = _date(payload.get("day")), payload.get("shard")
        is_shard = type(shard) is int and 0 <= shard < 16
        written.clear()
        if day and day > FIRST_KEPT and is_shard:
            assert worker.handler(payload, CONTEXT)["day"] == payload["day"]
            counted["counted"] += 1
        else:
            with pytest.raises((ValueError, DayExpired)) as told:
                worker.handler(payload, CONTEXT)
            assert str(told.value)
            # A recomputation that finds its day expired has begun and ended: it leaves nothing.
            assert not written or (told.type is DayExpired and not _items_of(store, payload))
        counted["payloads"] += 1
    assert counted["payloads"] >= 300
    assert 0 < counted["counted"] < counted["payloads"] / 2


def test_a_planner_plans_a_day_or_what_is_due(
    written: Counter[str], counted: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    def send(QueueUrl: str, Entries: list[Any]) -> dict[str, Any]:
        calls.extend(Entries)
        return {}

    monkeypatch.setattr(planner, "sqs", SimpleNamespace(send_message_batch=send))
    random = Random(0)
    for _ in range(PAYLOADS * ROUNDS):
        payload = _payload(random, {"day": DAYS})
        day = _date(payload.get("day"))
        written.clear()
        calls.clear()
        if payload.get("day") is None or (day and day > FIRST_KEPT):
            assert planner.handler(payload, CONTEXT)["planned"] == len(calls) > 0
            counted["planned"] += 1
        else:
            with pytest.raises((ValueError, DayExpired)) as told:
                planner.handler(payload, CONTEXT)
            assert str(told.value)
            assert not written
            assert not calls
        counted["payloads"] += 1
    assert counted["payloads"] >= 300
    assert 0 < counted["planned"] < counted["payloads"]


def test_only_a_rate_is_entered(written: Counter[str], counted: Counter[str], store: Store) -> None:
    random = Random(0)
    holds: dict[str, Decimal] = {}
    pools = {"date": [*sorted(WITH_RATES), *DAYS], "usd": DOLLARS, "reason": REASONS, "confirm": [True]}
    for _ in range(PAYLOADS * ROUNDS):
        payload = {"usd": None} | _payload(random, pools)
        day, usd, reason = payload.get("date"), payload.get("usd"), payload.get("reason")
        is_rate = isinstance(usd, str) and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", usd) and float(usd)
        is_reason = isinstance(reason, str) and reason.strip() and len(reason) <= 500 and reason != "\ud800"
        written.clear()
        takes = isinstance(day, str) and day in WITH_RATES and is_rate
        takes = takes and (is_reason or (reason is None and day not in holds))
        if takes and Decimal(str(usd)) != holds.get(str(day)):
            answer = rates.handler(payload, CONTEXT)
            assert ("replaces" in answer) == (day in holds)
            if answer["stored"]:
                holds[str(day)] = Decimal(str(usd))
            else:
                assert payload.get("confirm") is not True
                assert answer["confirm"]
            assert written == Counter(PutItem=answer["stored"])
            counted["stored" if answer["stored"] else "to confirm"] += 1
        else:
            with pytest.raises((BadRates, NotATargetDay, RateKnown, BadReason)) as told:
                rates.handler(payload, CONTEXT)
            assert str(told.value)
            assert not written
        counted["payloads"] += 1
    assert store.state.fx_rates("1", "3").usd == holds
    assert counted["payloads"] >= 300
    assert len(holds) > 1
    assert counted["to confirm"]
