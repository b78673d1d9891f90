"""An HTTP proxy that injects faults before a service. Its `mode` says which: refuse, reset, cut or hang."""

import http.client
import random
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from local.http_server import running_server

TIMEOUT_SECONDS = 35.0
"""Longer than API Gateway's own limit of 30 s."""

RESET_AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER: closing a connection resets it and discards unsent data."""

Response = tuple[int, Mapping[str, str], bytes]
Service = Callable[[str, Mapping[str, str], bytes], Response]
"""A function from path, headers and body to the response: status, headers and body."""

# What the proxy does with a request:
PASS = "forward it"
REFUSE = "respond with 503, without the service"
RESET = "reset the connection, without the service"
CUT = "forward it, and lose the response"
HANG = "never respond, without the service"
HANG_AFTER = "forward it, and never respond"

UP, DOWN, DEAF, HANGING, FLAPPING, HALF_503 = "up", "down", "deaf", "hanging", "flapping", "half 503"
MODES: Mapping[str, tuple[str, ...]] = {
    UP: (PASS,),
    DOWN: (RESET,),
    DEAF: (HANG,),
    HANGING: (HANG, HANG_AFTER),
    FLAPPING: (PASS, REFUSE, CUT, RESET),
    HALF_503: (REFUSE, PASS),
}
"""The faults of each mode. Requests get each of them once, in random order, and then all again."""


class FaultProxy(ThreadingHTTPServer):
    """Forwards POST requests to a service, or fails them, as `mode` says. The mode can be set at any time."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, service: Service, seed: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.service = service
        self._random = random.Random(seed)
        self._changed = threading.Condition()
        self._mode = UP
        self._faults: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def mode(self) -> str:
        return self._mode

    @mode.setter
    def mode(self, mode: str) -> None:
        with self._changed:
            self._mode, self._faults = mode, []
            self._changed.notify_all()

    def next_fault(self) -> str:
        """Choose the fault for the next request."""
        with self._changed:
            if not self._faults:
                self._faults = self._random.sample(MODES[self._mode], len(MODES[self._mode]))
            return self._faults.pop()

    def hang(self) -> None:
        """Wait until another mode is set."""
        with self._changed:
            self._changed.wait_for(lambda: self._mode not in (DEAF, HANGING))

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that were killed: tests kill them."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FaultProxy

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        fault = self.server.next_fault()
        if fault == REFUSE:
            self._respond(503, {"Content-Type": "application/json"}, b'{"message": "Service Unavailable"}')
            return
        response = None
        if fault in (PASS, CUT, HANG_AFTER):
            response = self.server.service(self.path, dict(self.headers.items()), body)
        if fault in (HANG, HANG_AFTER):
            self.server.hang()
        if fault == PASS and response:
            self._respond(*response)
        else:
            self._reset()

    def _respond(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_ONCE)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@contextmanager
def running_fault_proxy(service: Service, seed: int = 0) -> Iterator[FaultProxy]:
    """Serve on a free port of the loopback interface until the end of the block."""
    with running_server(FaultProxy(service, seed)) as fault_proxy:
        try:
            yield fault_proxy
        finally:
            fault_proxy.mode = DOWN


def forward_to(url: str) -> Service:
    """A service that forwards to a URL."""
    host = urlsplit(url).netloc
    passed = ("authorization", "content-type")
    returned = ("content-type", "retry-after")

    def forward(path: str, headers: Mapping[str, str], body: bytes) -> Response:
        connection = http.client.HTTPConnection(host, timeout=TIMEOUT_SECONDS)
        try:
            kept = {name: value for name, value in headers.items() if name.lower() in passed}
            connection.request("POST", path, body, kept)
            response = connection.getresponse()
            given = {name: value for name, value in response.getheaders() if name.lower() in returned}
            return response.status, given, response.read()
        finally:
            connection.close()

    return forward
