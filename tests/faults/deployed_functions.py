"""The functions as on Lambda, each with its own clients, and DynamoDB and SQS behind fault proxies."""

import importlib.util
import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from uuid import uuid4

from impact.store import Store
from local.http_server import running_server

FUNCTIONS = Path(__file__).parents[2] / "functions"
SHARDS = 2
TRIES = 3
"""Lambda makes a failing asynchronous call so many times, and SQS delivers a message so many times."""

Sums = dict[tuple[str, str], tuple[int, Decimal]]


def cold_start(name: str) -> ModuleType:
    """Load a function as a new Lambda process does, with the present environment."""
    spec = importlib.util.spec_from_file_location(f"cold_{name}_{uuid4().hex}", FUNCTIONS / name / "app.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def context(seconds: float = 20) -> Any:
    return SimpleNamespace(
        function_name="test",
        memory_limit_in_mb=1024,
        invoked_function_arn="arn:aws:lambda:eu-central-1:0:function:test",
        aws_request_id="r-1",
        get_remaining_time_in_millis=lambda: int(seconds * 1000),
    )


class Deployed:
    """The functions, and the events that were sent to them."""

    def __init__(self, tables: Store, queue: list[str]) -> None:
        self.tables = tables
        self.queue = queue
        self.ingest = cold_start("ingest")
        self.planner = cold_start("rollup")
        self.worker = cold_start("rollup_worker")
        self.summaries = cold_start("summaries")
        self.rates = cold_start("rates")
        self.today = datetime.now(UTC)
        self.sent: Sums = defaultdict(lambda: (0, Decimal(0)))

    def events(self, count: int, days_ago: int = 0) -> list[dict[str, Any]]:
        """New events of some users."""
        ts = (self.today - timedelta(days=days_ago)).isoformat()
        made: list[dict[str, Any]] = []
        for number in range(count):
            event = {
                "eventId": uuid4().hex,
                "userId": f"user-{number % 5}",
                "ts": ts,
                "model": "gpt-4o",
                "provider": "openai",
                "tokens_in": 1200,
                "tokens_out": 300,
                "latency": 1.5,
                "costEUR": number / 1000,
            }
            key = event["userId"], ts[:10]
            requests, cost = self.sent[str(key[0]), key[1]]
            self.sent[str(key[0]), key[1]] = requests + 1, cost + Decimal(repr(event["costEUR"]))
            made.append(event)
        return made

    def post(self, events: list[dict[str, Any]], seconds: float = 20) -> Any:
        """Post once. Return status, headers and body of the response."""
        request = {"headers": {"content-type": "application/json"}, "body": json.dumps(events)}
        answer = self.ingest.handler(request, context(seconds))
        return SimpleNamespace(
            status=answer["statusCode"], headers=answer["headers"], json=json.loads(answer["body"])
        )

    def deliver(self, events: list[dict[str, Any]]) -> int:
        """Post as the sender does, until every event is stored. Return the number of posts."""
        for posts in range(1, 50):
            answer = self.post(events)
            if answer.status == 200:
                assert answer.json["created"] + answer.json["duplicates"] == len(events)
                return posts
            assert (answer.status, answer.headers["retry-after"]) == (503, "2")
            taken = answer.json["created"] + answer.json["duplicates"]
            assert taken + len(answer.json["retry"]) == len(events)
            events = [events[entry["index"]] for entry in answer.json["retry"]]
        raise AssertionError("never taken")

    def roll_up(self) -> None:
        """Run the planner, and deliver every message to a worker, as often as the queue does."""
        _until_done(self.planner, [{}] * TRIES)
        while self.queue:
            body = self.queue.pop()
            _until_done(self.worker, [a_message(body, receives) for receives in range(1, TRIES + 1)])

    def summed_up(self) -> Sums:
        """Read the API's totals of all days, without faults."""
        users = {user_id for user_id, _ in self.sent}
        rows = [row for user_id in users for row in self.tables.summaries.of_user(user_id, "0", "9")]
        return {(row["userId"], row["day"]): (row["requests"], row["costEUR"]) for row in rows}


def a_message(body: str, receives: int) -> dict[str, Any]:
    """Make the event with which Lambda calls a worker."""
    return {"Records": [{"body": body, "attributes": {"ApproximateReceiveCount": str(receives)}}]}


def _until_done(function: ModuleType, payloads: list[dict[str, Any]]) -> None:
    for tries, payload in enumerate(payloads, 1):
        try:
            answer = function.handler(payload, context(900))
        except Exception:
            if tries == TRIES:
                raise
        else:
            assert "failed" not in answer
            return


class _Sqs(BaseHTTPRequestHandler):
    """Accepts messages as SQS's API does, and keeps them for the test to deliver."""

    protocol_version = "HTTP/1.1"
    queue: list[str]

    def do_POST(self) -> None:
        body = self._chunks() if "transfer-encoding" in self.headers else self._whole()
        entries = json.loads(body)["Entries"]
        self.queue.extend(entry["MessageBody"] for entry in entries)
        answer = json.dumps({"Successful": [{"Id": entry["Id"]} for entry in entries]}).encode()
        self.send_response(200)
        self.send_header("connection", "close")
        self.send_header("content-type", "application/x-amz-json-1.0")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _whole(self) -> bytes:
        return self.rfile.read(int(self.headers["content-length"]))

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def sqs_api() -> Iterator[tuple[str, list[str]]]:
    """Serve it. Yields its URL, and the messages that wait for a worker."""
    queue: list[str] = []
    handler = type("Handler", (_Sqs,), {"queue": queue})
    with running_server(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}", queue
