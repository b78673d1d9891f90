"""What the client sees of a service without sending an event: its clock, and whether a token is valid."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from impact_client import Impact, ImpactError, Unauthorized
from local.http_server import running_server


@contextmanager
def serving(status: int, headers: dict[str, str], seen: list[str | None]) -> Iterator[Impact]:
    """A server with one response for every request, and a client of it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            seen.append(self.headers.get("Authorization"))
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    with running_server(HTTPServer(("127.0.0.1", 0), Handler)) as server:
        impact = Impact(f"http://127.0.0.1:{server.server_port}", ingest_token="t")
        yield impact
        impact._session.close()


def check(status: int, **headers: str) -> None:
    with serving(status, headers, []) as impact:
        impact.check_ingest_token()


def test_an_ingest_token_is_valid_if_only_the_missing_event_is_refused() -> None:
    check(422)


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, Unauthorized), (403, Unauthorized), (404, ImpactError), (200, ImpactError), (301, ImpactError)],
)
def test_any_other_response_says_nothing_good_of_an_ingest_token(status: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        check(status, Location="/")


def test_without_an_ingest_token_none_is_valid() -> None:
    with pytest.raises(Unauthorized, match="No ingest token"):
        Impact("http://127.0.0.1:9").check_ingest_token()


@pytest.mark.parametrize("status", [200, 401, 403, 404])
def test_the_clock_is_read_without_a_token_whatever_the_response_says(status: int) -> None:
    seen: list[str | None] = []
    with serving(status, {"Date": "Mon, 23 Nov 2026 12:00:01 GMT"}, seen) as impact:
        assert impact.clock() == datetime(2026, 11, 23, 12, 0, 1, tzinfo=UTC)
    assert seen == [None]


@pytest.mark.parametrize("headers", [{}, {"Date": "yesterday"}])
def test_a_response_without_a_time_is_an_error(headers: dict[str, str]) -> None:
    with serving(200, headers, []) as impact, pytest.raises(ImpactError, match="what time it is"):
        impact.clock()
