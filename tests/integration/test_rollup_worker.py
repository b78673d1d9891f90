"""The worker function and its queue: a message comes once, twice or again, and fails with its cause."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from moto import mock_aws

from impact import rollup_queue
from impact.store import Store
from rollup_worker import app as worker
from tests.events import NOON, entry_builder, event, freeze
from tests.integration.conftest import a_message
from tests.integration.steps import put
from tests.lambda_context import CONTEXT
from tests.metrics import values

TODAY = NOON.date().isoformat()
LAST = 3
"""The receive after which SQS moves a message: tests/conftest.py."""
CALL = {"day": TODAY, "shard": 99}
"""What every worker fails at."""


@pytest.fixture(autouse=True)
def tables(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    freeze(monkeypatch, worker)
    monkeypatch.setattr(worker, "store", store)
    return store


@pytest.fixture
def dead_letters(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """FailedRollups; a call returns what is in it."""
    with mock_aws():
        sqs = rollup_queue.connect()
        url = sqs.create_queue(QueueName="FailedRollups")["QueueUrl"]
        monkeypatch.setenv("FAILED_ROLLUPS_URL", url)
        yield lambda: [
            json.loads(message["Body"])
            for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        ]


def shard_of_alice(store: Store) -> int:
    put(store, event(ts=NOON.isoformat()), now=NOON, builder=entry_builder(shard_count=16))
    [item] = store.client.scan(TableName=store.ledger.name)["Items"]
    return int(item["dayShard"]["S"].partition("#")[2])


def test_a_call_by_hand_and_a_message_do_the_same(store: Store) -> None:
    call = {"day": TODAY, "shard": shard_of_alice(store)}
    by_hand = worker.handler(call, CONTEXT)
    by_message = worker.handler(a_message(call), CONTEXT)
    assert (by_hand["events"], by_hand["summaries_written"]) == (1, 1)
    assert by_message == by_hand | {"summaries_written": 0}


def test_each_model_without_a_price_is_reported_once(
    store: Store, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    free = {"ts": NOON.isoformat(), "costUSD": None, "costEUR": None}
    put(store, event(eventId="1", model="\x1b[2J", **free), event(eventId="2", model="gpt-6", **free))
    put(store, event(eventId="3", model="gpt-7", status="failure", **free))  # perhaps it was not charged
    call = {"day": TODAY, "shard": entry_builder().calendar.shard_of("alice", TODAY)}
    emitted = []
    for _ in range(2):
        worker.handler(call, CONTEXT)
        emitted.append(values(capsys.readouterr().out)["NewUnpricedModels"])
    assert emitted == [2, 0]
    [warning] = [record for record in caplog.records if record.levelname == "WARNING"]
    assert vars(warning)["models"] == ["openai/\x1b[2J", "openai/gpt-6"]


@pytest.mark.parametrize("receives", [1, 2, LAST, LAST + 1])
def test_a_message_that_comes_again_changes_nothing(store: Store, receives: int) -> None:
    message = a_message({"day": TODAY, "shard": shard_of_alice(store)}, receives)
    for _ in range(3):
        worker.handler(message, CONTEXT)
    [summary] = store.summaries.of_user("alice", TODAY, TODAY)
    assert summary["requests"] == 1


@pytest.mark.parametrize("receives", range(1, LAST))
def test_a_message_that_fails_before_its_last_receive_comes_back(receives: int, dead_letters: Any) -> None:
    with pytest.raises(ValueError, match="shard must be 0 to 15"):
        worker.handler(a_message(CALL, receives), CONTEXT)
    assert dead_letters() == []


@pytest.mark.parametrize("receives", [LAST, LAST + 1])
def test_a_message_that_fails_for_good_is_a_dead_letter_with_its_cause(
    receives: int, dead_letters: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert worker.handler(a_message(CALL, receives), CONTEXT) == {"failed": CALL}
    [record] = dead_letters()
    assert record["requestContext"]["functionArn"] == CONTEXT.invoked_function_arn
    assert record["requestContext"]["approximateInvokeCount"] == receives
    assert record["requestPayload"] == CALL
    assert record["responsePayload"] == {"errorType": "ValueError", "errorMessage": "shard must be 0 to 15"}
    [error] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert error.exc_info
    assert str(error.exc_info[1]) == "shard must be 0 to 15"


def test_a_record_that_cannot_be_kept_leaves_the_message_to_sqs(
    dead_letters: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILED_ROLLUPS_URL", "https://sqs.eu-central-1.amazonaws.com/123456789012/gone")
    with pytest.raises((ClientError, BotoCoreError)) as failure:
        worker.handler(a_message(CALL, LAST), CONTEXT)
    assert isinstance(failure.value.__context__, ValueError)  # why it failed is in the log as well


@pytest.mark.parametrize("body", ["", "{", "no call"])
def test_a_message_that_is_no_json_is_left_to_sqs(body: str, dead_letters: Any) -> None:
    with pytest.raises(ValueError, match="Expecting"):
        worker.handler(a_message(body, LAST), CONTEXT)
    assert dead_letters() == []


@pytest.mark.parametrize("call", [[], 7, {}, {"day": 5, "shard": 1}, {"day": TODAY, "shard": True}])
def test_a_message_that_is_no_call_fails_for_good(call: object, dead_letters: Any) -> None:
    assert worker.handler(a_message(call, LAST), CONTEXT) == {"failed": call}
    assert [record["requestPayload"] for record in dead_letters()] == [call]
