"""A reverse proxy that serves the API at the root of a URL, as AWS does: MiniStack serves it under a path."""

import http.client
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import urlsplit

from local.http_server import running_server
from local.waiting import PATIENCE_SECONDS

_HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
_SET_HERE = {"host", "x-forwarded-host", "content-length"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds, of an idle connection
    disable_nagle_algorithm = True
    upstream: ClassVar[str]
    prefix: ClassVar[str]

    def _forward(self) -> None:
        body = self._body()
        connection = http.client.HTTPConnection(self.upstream, timeout=PATIENCE_SECONDS)
        try:
            connection.putrequest(self.command, self.prefix + self.path, skip_accept_encoding=True)
            for name, value in _end_to_end(self.headers.items()):
                connection.putheader(name, value)
            connection.putheader("X-Forwarded-Host", self.headers.get("host", ""))
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            message = json.dumps({"message": f"Bad Gateway: {error}"}).encode()
            self._respond(502, [("Content-Type", "application/json")], message)
            return
        finally:
            connection.close()
        self._respond(response.status, _end_to_end(response.getheaders()), content)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):  # for any HTTP method
            return self._forward
        raise AttributeError(name)

    def _body(self) -> bytes:
        if "transfer-encoding" not in self.headers:
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        chunks = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return b"".join(chunks)

    def _respond(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: the functions log."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that disconnected before their response."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def _end_to_end(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP | _SET_HERE]


@contextmanager
def running_reverse_proxy(
    port: int, endpoint_url: str, api_id: str, *, host: str = "127.0.0.1"
) -> Iterator[str]:
    """Serve the default stage of an HTTP API on a port of an interface; yields the URL on this machine."""
    target = {"upstream": urlsplit(endpoint_url).netloc, "prefix": f"/_aws/execute-api/{api_id}/$default"}
    with running_server(_Server((host, port), type("Handler", (_Handler,), target))) as server:
        yield f"http://localhost:{server.server_port}"
