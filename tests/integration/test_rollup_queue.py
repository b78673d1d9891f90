"""RollupQueue: what is sent, and what SQS does not accept."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from impact import rollup_queue
from impact.ledger_store import LedgerStore
from impact.store import Store
from rollup import app as planner
from tests.integration.test_rollup import NOW, TODAY
from tests.lambda_context import CONTEXT


def test_a_queue_that_accepts_nothing_fails_the_run(
    store: Store, calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def throttled(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "ThrottlingException", "Message": ""}}, "SendMessageBatch")

    monkeypatch.setattr(LedgerStore, "created_at", lambda self: NOW)
    monkeypatch.setattr(planner, "sqs", SimpleNamespace(send_message_batch=throttled))
    with pytest.raises(ClientError):
        planner.handler({}, CONTEXT)


def test_a_batch_that_is_not_sent_costs_no_other(
    calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    accept = planner.sqs.send_message_batch

    def first_one_throttled(**batch: Any) -> Any:
        if json.loads(batch["Entries"][0]["MessageBody"])["shard"] == 0:
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": ""}}, "SendMessageBatch")
        return accept(**batch)

    monkeypatch.setattr(rollup_queue, "SENDERS", 1)
    monkeypatch.setattr(planner, "sqs", SimpleNamespace(send_message_batch=first_one_throttled))
    with pytest.raises(ClientError):
        planner.handler({"day": TODAY}, CONTEXT)
    assert sorted(call["shard"] for call in calls) == list(range(10, 16))


def rejecting(calls: list[dict[str, Any]], times: dict[int, int]) -> SimpleNamespace:
    """A queue that rejects the messages of some shards, so many times each."""
    accept = planner.sqs.send_message_batch

    def send(QueueUrl: str, Entries: list[dict[str, str]]) -> dict[str, Any]:
        rejected = []
        for entry in Entries:
            shard = json.loads(entry["MessageBody"])["shard"]
            if times.get(shard, 0) > 0:
                times[shard] -= 1
                rejected.append(entry)
        accepted = [entry for entry in Entries if entry not in rejected]
        failed = [{"Id": entry["Id"], "SenderFault": False, "Code": "InternalError"} for entry in rejected]
        return (accept(QueueUrl=QueueUrl, Entries=accepted) if accepted else {}) | {"Failed": failed}

    return SimpleNamespace(send_message_batch=send)


def test_messages_that_the_queue_leaves_out_are_sent_again(
    calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "sqs", rejecting(calls, {3: 1, 4: 4, 12: 2}))
    assert planner.handler({"day": TODAY}, CONTEXT)["planned"] == 16
    assert sorted(call["shard"] for call in calls) == list(range(16))


def test_a_message_that_the_queue_never_accepts_fails_the_run_and_costs_no_other(
    calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "sqs", rejecting(calls, {3: 99}))
    with pytest.raises(rollup_queue.NotSent, match="1 messages in 5 attempts: InternalError"):
        planner.handler({"day": TODAY}, CONTEXT)
    assert sorted(call["shard"] for call in calls) == [shard for shard in range(16) if shard != 3]
