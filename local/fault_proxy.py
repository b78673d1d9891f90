"""An HTTP proxy that injects faults. Its `mode` says which: it forwards, refuses, resets or hangs."""

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
"""Longer than the 30 s after which API Gateway itself gives up."""

RESET_AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER: closing a connection resets it, and throws away what was not sent yet."""

Answer = tuple[int, Mapping[str, str], bytes]
Service = Callable[[str, Mapping[str, str], bytes], Answer]
"""From a path, headers and a body to the answer."""

# What can become of a request:
PASS = "the service answers"
REFUSE = "503, and the service never sees it"
RESET = "the connection is reset, and the service never sees it"
CUT = "the service takes it, and its answer is lost"
HANG = "no answer, and the service never sees it"
HANG_AFTER = "the service takes it, and its answer never comes"

UP, DOWN, DEAF, HANGING, FLAPPING, HALF_503 = "up", "down", "deaf", "hanging", "flapping", "half 503"
MODES: Mapping[str, tuple[str, ...]] = {
    UP: (PASS,),
    DOWN: (RESET,),
    DEAF: (HANG,),
    HANGING: (HANG, HANG_AFTER),
    FLAPPING: (PASS, REFUSE, CUT, RESET),
    HALF_503: (REFUSE, PASS),
}
"""For each mode what becomes of the requests: each of these once, in an order of chance, and again."""


class FaultProxy(ThreadingHTTPServer):
    """Passes POST requests on to a service, or not, as its `mode` says; the mode can be set at any time."""

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
        """What is to become of a request."""
        with self._changed:
            if not self._faults:
                self._faults = self._random.sample(MODES[self._mode], len(MODES[self._mode]))
            return self._faults.pop()

    def hang(self) -> None:
        """Until the mode is set."""
        with self._changed:
            self._changed.wait_for(lambda: self._mode not in (DEAF, HANGING))

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that were killed are what this is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FaultProxy

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        fault = self.server.next_fault()
        if fault == REFUSE:
            self._answer(503, {"Content-Type": "application/json"}, b'{"message": "Service Unavailable"}')
            return
        answer = None
        if fault in (PASS, CUT, HANG_AFTER):
            answer = self.server.service(self.path, dict(self.headers.items()), body)
        if fault in (HANG, HANG_AFTER):
            self.server.hang()
        if fault == PASS and answer:
            self._answer(*answer)
        else:
            self._reset()

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
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
        """Say nothing: the mode says it all."""


@contextmanager
def running_fault_proxy(service: Service, seed: int = 0) -> Iterator[FaultProxy]:
    """Serve on a free port of the loopback interface until the end of the block."""
    with running_server(FaultProxy(service, seed)) as fault_proxy:
        try:
            yield fault_proxy
        finally:
            fault_proxy.mode = DOWN


def forward_to(url: str) -> Service:
    """The service at an address."""
    host = urlsplit(url).netloc
    passed = ("authorization", "content-type")
    returned = ("content-type", "retry-after")

    def forward(path: str, headers: Mapping[str, str], body: bytes) -> Answer:
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
