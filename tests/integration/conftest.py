"""A client that loses responses, and a queue whose messages the worker gets at once."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from impact import rollup_queue
from impact.store import Store
from rollup import app as planner
from rollup_worker import app as worker
from tests.events import freeze
from tests.intercepted import through
from tests.lambda_context import CONTEXT


@pytest.fixture
def deaf(store: Store) -> Store:
    """The same tables; of each write the first answer is lost, and the SDK tries again."""

    def twice(name: str, carry_out: Callable[..., Any], options: dict[str, Any]) -> Any:
        if name in ("put_item", "update_item", "delete_item"):
            carry_out(**options)
        return carry_out(**options)

    return through(store, twice)


@pytest.fixture
def calls(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the planner sends to the queue, each message carried out by the worker at once."""
    made: list[dict[str, Any]] = []

    def send(QueueUrl: str, Entries: list[dict[str, str]]) -> dict[str, Any]:
        assert QueueUrl.endswith("/RollupQueue")
        assert 0 < len(Entries) <= 10
        assert len({entry["Id"] for entry in Entries}) == len(Entries)
        for entry in Entries:
            made.append(json.loads(entry["MessageBody"]))
            worker.handler(a_message(made[-1]), CONTEXT)
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries]}

    freeze(monkeypatch, planner)
    freeze(monkeypatch, worker)
    monkeypatch.setattr(planner, "store", store)
    monkeypatch.setattr(worker, "store", store)
    monkeypatch.setattr(planner, "sqs", SimpleNamespace(send_message_batch=send))
    monkeypatch.setattr(rollup_queue, "PAUSE_SECONDS", 0)
    return made


def a_message(call: object, receives: int = 1) -> dict[str, Any]:
    """What Lambda hands to the worker for a message of the queue."""
    body = call if isinstance(call, str) else json.dumps(call)
    return {"Records": [{"body": body, "attributes": {"ApproximateReceiveCount": str(receives)}}]}
