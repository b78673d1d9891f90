"""A small Impact Service on loopback, which can be told to misbehave."""

import json
import socket
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from local.http_server import running_server
from local.waiting import PATIENCE_SECONDS

Response = tuple[int, dict[str, str], bytes]
Behaviour = Callable[[list[Any]], Response | None]
"""From the events of a request to its response; None closes the connection without one."""


class Service(ThreadingHTTPServer):
    """Responds as scripted, once each, and after that takes every event."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/api/request-event"
        self.script: deque[Behaviour] = deque()
        self.always: Behaviour | None = None
        self.taken: Counter[str] = Counter()
        self.requests: list[list[Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.clients: list[tuple[str, int]] = []
        """By which connection each request came."""
        self.changed = threading.Condition()

    def take(self, events: list[Any]) -> Response:
        """What the service does with events, and with what is none."""
        errors = [{"field": "event", "message": "must be a JSON object"}]
        ids = [event["eventId"] for event in events if isinstance(event, dict)]
        rejected = [index for index, event in enumerate(events) if not isinstance(event, dict)]
        new = [each for each in ids if each not in self.taken]
        self.taken.update(ids)
        return ok(len(new), len(ids) - len(new), tuple({"index": i, "errors": errors} for i in rejected))

    def wait_for(self, what: Callable[["Service"], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: what(self), PATIENCE_SECONDS), (
                self.taken,
                len(self.requests),
            )

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Take nothing and respond to nothing within the block. Then clients that waited get no response."""
        ended = threading.Event()

        def hang(_: list[Any]) -> None:
            ended.wait()

        self.always = hang
        try:
            yield
        finally:
            self.always = None
            ended.set()

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are part of the tests."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Service

    def do_POST(self) -> None:
        self.server.paths.append(self.path)
        self.server.clients.append(self.client_address)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            self.respond(self.behave(json.loads(body)))
        except (ValueError, RecursionError):
            self.respond(error(400))

    def behave(self, events: list[Any]) -> Response | None:
        service = self.server
        with service.changed:
            service.requests.append(events)
            service.headers.append(dict(self.headers))
            behaviour = service.script.popleft() if service.script else service.always or service.take
            service.changed.notify_all()
        response = behaviour(events)
        with service.changed:
            service.changed.notify_all()
        return response

    def respond(self, response: Response | None) -> None:
        if response is None:
            self.close_connection = True
            return
        status, headers, body = response
        self.send_response_only(status)
        for name, value in {"Date": self.date_time_string(), **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Quiet."""


@contextmanager
def running_service(port: int = 0) -> Iterator[Service]:
    """Serve until the end of the block."""
    with running_server(Service(port)) as service:
        yield service


def response(status: int, content: object, **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, {"Content-Type": "application/json"} | named, json.dumps(content).encode()


def error(status: int, **headers: str) -> Response:
    """The service's own, with a reason where it rejects what it was sent."""
    details = [{"field": "body", "message": "x"}] if status in (400, 413, 422) else []
    return response(status, {"error": {"code": "x", "message": "x", "details": details}}, **headers)


def ok(created: int = 0, duplicates: int = 0, rejected: tuple[dict[str, Any], ...] = ()) -> Response:
    return response(200, {"created": created, "duplicates": duplicates, "rejected": list(rejected)})


def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
