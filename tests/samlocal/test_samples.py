"""Each sample of events/, run in a Lambda container: its response, and what it leaves in the tables."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from impact.store import Store
from local import PROJECT
from local.fake_ecb import published
from tests.samlocal.conftest import BY_HAND, SamLocal

EVENTS = PROJECT / "events"
FUNCTIONS = {
    "person-authorizer": "PersonAuthorizerFunction",
    "authorizer": "AuthorizerFunction",
    "ingest": "IngestFunction",
    "mcp": "McpFunction",
    "page": "PageFunction",
    "rates": "RatesFunction",
    "rollup-worker": "RollupWorkerFunction",
    "rollup": "RollupFunction",
    "summaries": "SummariesFunction",
}


@dataclass(frozen=True)
class Raises:
    """The function fails with an error of that type, and Lambda retries the call."""

    error: str


ALLOWED, DENIED = {"isAuthorized": True}, {"isAuthorized": False}

# In an order in which each sample finds what it needs: rates, events, summaries, reading.
EXPECTED: dict[str, Any] = {
    "authorizer-ingest": ALLOWED,
    "authorizer-read": ALLOWED,
    "authorizer-read-totals": ALLOWED,
    "authorizer-read-token-on-ingest": DENIED,
    "authorizer-ingest-token-on-read": DENIED,
    "authorizer-wrong-token": DENIED,
    "authorizer-basic": DENIED,
    "authorizer-no-token": DENIED,
    "person-authorizer-mcp-token": ALLOWED | {"context": {"kind": "server"}},
    "person-authorizer-mcp-token-on-me": DENIED,
    "person-authorizer-unknown-key": DENIED,
    "person-authorizer-read-token": DENIED,
    "rates-odd": {
        "stored": 0,
        "confirm": "2026-11-19: 11.172 has none before it to be compared with."
        ' If this is right, send it again with "confirm": true.',
    },
    "rates-odd-confirmed": {"stored": 1, "from": "2026-11-19", "to": "2026-11-19"},
    "rates-correction": {"stored": 1, "replaces": "11.172", "changes": []},
    "rates-by-hand": {"stored": 1, "from": "2026-11-20", "to": "2026-11-20"},
    "rates-bad-by-hand": Raises("BadRates"),
    "rates-closed-day": Raises("NotATargetDay"),
    "rates-scheduled": {},
    "ingest-single": 201,
    "ingest-duplicate": 201,
    "ingest-all-fields": 201,
    "ingest-failure": 201,
    "ingest-unpriced": 201,
    "ingest-unknown-fields": 201,
    "ingest-batch": 200,
    "ingest-base64": 201,
    "ingest-bad-json": 400,
    "ingest-bad-base64": 400,
    "ingest-no-body": 400,
    "ingest-missing-fields": 422,
    "ingest-unfilled-user": 422,
    "ingest-negative-tokens": 422,
    "ingest-not-a-number": 422,
    "ingest-ahead": 422,
    "ingest-too-old": 422,
    "ingest-empty-array": 422,
    "ingest-gzip": 415,
    "ingest-too-many": 413,
    "rollup-worker-alice": {"events": 6, "users": 1, "summaries_written": 1, "late": True, "final": True},
    "rollup-worker-empty-shard": {"events": 0, "users": 0, "summaries_written": 0},
    "rollup-worker-no-such-shard": Raises("ValueError"),
    "rollup-worker-bad-day": Raises("ValueError"),
    "rollup-worker-expired-day": Raises("DayExpired"),
    "rollup-worker-no-shard": Raises("ValueError"),
    "rollup-one-day": {"planned": 16, "days": ["2026-11-20"], "counted": 16},
    "rollup-scheduled": {},
    "rollup-bad-day": Raises("ValueError"),
    "rollup-expired-day": Raises("DayExpired"),
    "summaries-user": 200,
    "summaries-user-fresh": 200,
    "summaries-user-last-30-days": 200,
    "summaries-unknown-user": 200,
    "summaries-day": 200,
    "summaries-totals": 200,
    "summaries-breakdown": 200,
    "summaries-breakdown-daily": 200,
    "summaries-me": 200,
    "summaries-me-breakdown": 200,
    "summaries-me-other-dimension": 422,
    "summaries-nobody-named": 422,
    "summaries-user-and-day": 422,
    "summaries-bad-date": 422,
    "summaries-backwards": 422,
    "summaries-too-many-days": 422,
    "summaries-bad-cursor": 422,
    "summaries-bad-flag": 422,
    "summaries-bad-limit": 422,
    "page-operator": 200,
    "page-person": 200,
    "page-config": 200,
    "page-file": 200,
    "page-no-such-file": 404,
    "page-sign-in-without-provider": 404,
    "mcp-initialize": 200,
    "mcp-initialized": 202,
    "mcp-tools": 200,
    "mcp-my-usage": 200,
    "mcp-my-models-modern": 200,
    "mcp-my-footprint-modern": 200,
    "mcp-discover-modern": 200,
    "mcp-bad-month": 200,
    "mcp-unknown-tool-modern": 400,
    "mcp-batch": 400,
    "mcp-unfilled-user": 422,
    "mcp-two-users": 422,
    "mcp-foreign-origin": 403,
    "mcp-no-authorizer": Raises("KeyError"),
    "mcp-get": 405,
}
ONE_OF_EACH = [
    "authorizer-ingest",
    "person-authorizer-mcp-token",
    "rates-scheduled",
    "ingest-single",
    "rollup-worker-alice",
    "rollup-one-day",
    "rollup-scheduled",
    "summaries-user",
    "mcp-my-usage",
    "page-operator",
]


def function_of(sample: str) -> str:
    return next(function for name, function in FUNCTIONS.items() if sample.startswith(f"{name}-"))


def check(sample: str, answer: Any) -> None:
    match EXPECTED[sample]:
        case int(status):
            assert answer["statusCode"] == status
            assert status < 300 or "error" in json.loads(answer["body"])
        case Raises(error):
            assert answer["errorType"] == error
        case fields:
            assert answer == answer | fields
            assert "errorType" not in answer
            # Without a queue, the planner itself recomputes.
            assert answer.get("counted") == answer.get("planned")


def test_every_sample_is_tested() -> None:
    assert {path.stem for path in EVENTS.glob("*.json")} == set(EXPECTED)


@pytest.mark.parametrize("sample", EXPECTED)
def test_sample(lambda_: Any, sample: str) -> None:
    payload = (EVENTS / f"{sample}.json").read_bytes()
    answer = lambda_.invoke(FunctionName=function_of(sample), Payload=payload)
    check(sample, json.loads(answer["Payload"].read()))


def test_what_the_rates_samples_left(lambda_: Any, tables: Store) -> None:
    today = datetime.now(UTC).date()
    known = tables.state.fx_rates("0", "9999-12-31").usd
    expected = published("2025-01-01", (today - timedelta(days=1)).isoformat()) | BY_HAND
    assert expected.items() <= known.items()
    # The retention of `sam local` (samconfig.toml).
    assert min(known) <= (today - timedelta(days=3650)).isoformat()


def test_what_the_samples_left(lambda_: Any, tables: Store) -> None:
    ledger = tables.client.scan(TableName=tables.ledger.name)["Items"]
    stored = {item["userEvent"]["S"].partition("#")[2]: item for item in ledger}
    assert len(stored) == 9  # two of the batch, none of the rejected ones
    assert stored["sample-all-fields"]["costUSD"] == {"N": "0.0134"}
    assert "costEUR" not in stored["sample-unpriced"]
    assert "never stored" not in json.dumps(ledger)
    assert {item["dayShard"]["S"] for item in ledger if item["userId"]["S"] == "alice"} == {"2026-11-20#15"}
    key = {"userId": {"S": "alice"}, "day": {"S": "2026-11-20"}}
    summary = tables.client.get_item(TableName=tables.summaries.name, Key=key)["Item"]
    assert (summary["requests"], summary["costEUR"]) == ({"N": "6"}, {"N": "0.0492"})


# After the others: a second event with the same content or id is a duplicate.
@pytest.mark.parametrize("sample", ONE_OF_EACH)
def test_sample_by_sam_local_invoke(lambda_: Any, sam_local: SamLocal, sample: str) -> None:
    answer = sam_local.invoke(function_of(sample), Path(EVENTS / f"{sample}.json"))
    if sample == "ingest-single":
        assert (answer["statusCode"], json.loads(answer["body"])["status"]) == (200, "duplicate")
    elif sample == "rollup-worker-alice":
        assert (answer["events"], answer["summaries_written"]) == (6, 0)
    else:
        check(sample, answer)
