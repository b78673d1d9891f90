"""The reverse proxy in front of MiniStack: it passes everything on unchanged."""

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from local.http_server import running_server
from local.stack.reverse_proxy import running_reverse_proxy
from local.stack.stack import free_port


class Echo(BaseHTTPRequestHandler):
    """Responds with the request, and a status and headers of its own."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        echo = {"path": self.path, "headers": self.headers.items(), "body": body.hex()}
        content = json.dumps(echo).encode()
        self.send_response(418)
        self.send_header("Retry-After", "7")
        self.send_header("Set-Cookie", "a=1")
        self.send_header("Set-Cookie", "b=2")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_PURGE = do_POST

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def connection() -> Iterator[http.client.HTTPConnection]:
    """A connection to the reverse proxy of an API with the id `abc`, which is Echo."""
    port = free_port()
    with (
        running_server(ThreadingHTTPServer(("127.0.0.1", 0), Echo)) as echo,
        running_reverse_proxy(port, f"http://127.0.0.1:{echo.server_port}", "abc") as url,
        closing(http.client.HTTPConnection("localhost", port, timeout=60)) as connection,
    ):
        assert url == f"http://localhost:{port}"
        yield connection


def test_requests_and_responses_are_forwarded_unchanged(connection: http.client.HTTPConnection) -> None:
    body = bytes(range(256))
    for _ in range(2):  # over the same connection
        connection.request(
            "POST", "/api/x%20y?userId=a%2Fb&userId=%C3%A4", body, {"X-One": "1", "Accept": "a, b"}
        )
        answer = connection.getresponse()
        seen = json.loads(answer.read())
        assert seen["path"] == "/_aws/execute-api/abc/$default/api/x%20y?userId=a%2Fb&userId=%C3%A4"
        assert bytes.fromhex(seen["body"]) == body
        assert {("X-One", "1"), ("Accept", "a, b")} < {tuple(header) for header in seen["headers"]}
        assert (answer.status, answer.headers["Retry-After"]) == (418, "7")
        assert answer.headers.get_all("Set-Cookie") == ["a=1", "b=2"]


def test_the_host_that_was_asked_is_handed_over(connection: http.client.HTTPConnection) -> None:
    """And not one that the client makes up."""
    connection.request("POST", "/", b"", {"Host": "localhost:3090", "X-Forwarded-Host": "evil.example"})
    seen = json.loads(connection.getresponse().read())
    hosts = [value for name, value in seen["headers"] if name.lower() == "x-forwarded-host"]
    assert hosts == ["localhost:3090"]


def test_a_chunked_body_is_forwarded_as_one(connection: http.client.HTTPConnection) -> None:
    for _ in range(2):
        connection.request("POST", "/", iter([b"a", b"b" * 100]), encode_chunked=True)
        seen = json.loads(connection.getresponse().read())
        assert bytes.fromhex(seen["body"]) == b"a" + b"b" * 100
        assert ["Content-Length", "101"] in seen["headers"]


def test_every_method_is_forwarded(connection: http.client.HTTPConnection) -> None:
    connection.request("PURGE", "/", b"")
    assert connection.getresponse().status == 418


def test_no_response_from_ministack_is_a_bad_gateway() -> None:
    port = free_port()
    with (
        running_reverse_proxy(port, f"http://127.0.0.1:{free_port()}", "abc"),
        closing(http.client.HTTPConnection("localhost", port, timeout=60)) as connection,
    ):
        connection.request("GET", "/")
        assert connection.getresponse().status == 502


def test_it_listens_on_the_given_address_only() -> None:
    port = free_port()
    with running_reverse_proxy(port, f"http://127.0.0.1:{free_port()}", "abc", host="127.0.0.2"):
        with closing(http.client.HTTPConnection("127.0.0.2", port, timeout=60)) as connection:
            connection.request("GET", "/")
            assert connection.getresponse().status == 502
        with (
            closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection,
            pytest.raises(ConnectionRefusedError),
        ):
            connection.request("GET", "/")
