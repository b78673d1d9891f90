"""The client of the API, against a server that answers as the service, a proxy or a stranger does."""

import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from impact_client import Impact, ImpactError, Rejected, Unauthorized, Unavailable, ValueField, client

SUMMARY = (
    '{"userId": "alice", "day": "2026-11-23", "requests": 3, "costEUR": 1, "costUSD": 0.1234567890123456789}'
)


class Server(ThreadingHTTPServer):
    """Gives the answers that a test has prepared, one a request, and keeps the requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[tuple[int, str]] = []
        self.requests: list[Any] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.server.requests.append((self.path, dict(self.headers), self.rfile.read(length)))
        status, body = self.server.answers.pop(0)
        content = body.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        if status == 302:
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(client, "BACKOFF_SECONDS", 0.0)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def reader(server: Server) -> Impact:
    return Impact(server.url, read_token="read", ingest_token="ingest")


def asked(server: Server) -> list[dict[str, list[str]]]:
    return [parse_qs(urlsplit(path).query) for path, _, _ in server.requests]


def test_pages_are_read_as_one(server: Server) -> None:
    head = '{"userId": "a b&c=d", "from": "2026-11-01", "to": "2026-11-30", "total": {"requests": 6}'
    server.answers = [
        (200, f'{head}, "days": [{SUMMARY}], "next": "c1"}}'),
        (200, f'{head}, "days": [{SUMMARY}]}}'),
    ]
    usage = reader(server).usage("a b&c=d", "2026-11-01", "2026-11-30", fresh=True)
    assert len(usage["days"]) == 2
    assert "next" not in usage
    query = {"userId": ["a b&c=d"], "from": ["2026-11-01"], "to": ["2026-11-30"], "fresh": ["true"]}
    assert asked(server) == [query, query | {"cursor": ["c1"]}]
    assert {headers["Authorization"] for _, headers, _ in server.requests} == {"Bearer read"}


def test_a_day_is_read_page_by_page_as_it_is_needed(server: Server) -> None:
    page = f'{{"day": "2026-11-23", "items": [{SUMMARY}], "next": '
    server.answers = [(200, page + '"c1"}'), (200, page + "null}")]
    summaries = reader(server).day("2026-11-23")
    assert next(summaries)["userId"] == "alice"
    assert len(server.requests) == 1
    assert len(list(summaries)) == 1
    assert len(server.requests) == 2


def test_a_breakdown_is_read_as_one(server: Server) -> None:
    head = '{"by": "team", "from": "2026-11-01", "to": "2026-11-30"'
    one, rest = '{"value": "a", "requests": 1, "repriced": 1, "costEUR": 2}', '{"value": null, "rest": true}'
    server.answers = [
        (200, f'{head}, "items": [{one}], "final": true, "next": "c1"}}'),
        (200, f'{head}, "items": [{rest}], "final": false, "next": null}}'),
    ]
    found = reader(server).breakdown("team", "2026-11-01", "2026-11-30")
    assert [item["value"] for item in found["items"]] == ["a", None]
    assert ([item.get("rest") for item in found["items"]], found["final"]) == ([None, True], False)
    assert "next" not in found
    assert [type(found["items"][0][name]) for name in ("repriced", "costEUR")] == [int, Decimal]
    query = {"by": ["team"], "from": ["2026-11-01"], "to": ["2026-11-30"]}
    assert asked(server) == [query, query | {"cursor": ["c1"]}]


@pytest.mark.parametrize("field", ["teamId", "keyAlias", "tag"])
def test_the_days_of_a_team_a_key_or_a_tag(server: Server, field: ValueField) -> None:
    server.answers = [(200, '{"days": [], "total": {"requests": 0}}')]
    assert reader(server).usage_of(field, "a b&c=d", "2026-11-01")["days"] == []
    assert asked(server) == [{field: ["a b&c=d"], "from": ["2026-11-01"]}]


def test_numbers_are_exact_and_of_one_type(server: Server) -> None:
    server.answers = [(200, f'{{"items": [{SUMMARY}], "next": null}}')]
    [summary] = reader(server).day("2026-11-23")
    assert summary["costUSD"] == Decimal("0.1234567890123456789")
    assert (type(summary["costEUR"]), type(summary["requests"])) == (Decimal, int)


def test_decimals_are_sent_as_they_are(server: Server) -> None:
    server.answers = [(201, '{"eventId": "x", "status": "created"}'), (200, '{"created": 1}')]
    impact = reader(server)
    assert impact.send({"costUSD": Decimal("0.1234567890123456789")})["status"] == "created"
    assert impact.send_many([{"costUSD": Decimal("0.10")}]) == {"created": 1}
    (path, headers, body), (_, _, many) = server.requests
    assert (path, headers["Authorization"]) == ("/api/request-event", "Bearer ingest")
    assert headers["Content-Type"] == "application/json"
    assert (body, many) == (b'{"costUSD": 0.1234567890123456789}', b'[{"costUSD": 0.10}]')


def test_the_url_may_be_that_for_events(server: Server) -> None:
    assert Impact(f"{server.url}/api/request-event").url == Impact(f"{server.url}/").url == server.url


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_fault_that_passes_is_tried_again(server: Server, status: int) -> None:
    server.answers = [(status, ""), (status, ""), (200, '{"created": 1}')]
    assert reader(server).send_many([{}]) == {"created": 1}
    server.answers = [(status, '{"message": "Service Unavailable"}')] * client.ATTEMPTS
    with pytest.raises(Unavailable, match=f"HTTP {status}"):
        reader(server).totals()
    assert server.answers == []


def test_what_is_rejected_is_not_tried_again_and_names_the_field(server: Server) -> None:
    details = [{"field": "from", "message": "must not be after to"}]
    error = {"error": {"code": "invalid", "message": "from must not be after to.", "details": details}}
    server.answers = [(422, json.dumps(error))]
    with pytest.raises(Rejected, match="from must not be after to") as raised:
        reader(server).totals("2026-11-02", "2026-11-01")
    assert raised.value.details == tuple(details)


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_is_not_valid_is_not_shown(server: Server, status: int) -> None:
    server.answers = [(status, '{"message": "Forbidden"}')]
    with pytest.raises(Unauthorized, match="The read token is not valid for http://127") as raised:
        Impact(server.url, read_token="s3cret").usage("alice")
    assert "s3cret" not in str(raised.value)
    assert "alice" not in str(raised.value)


def test_without_a_token_nothing_is_sent(server: Server) -> None:
    with pytest.raises(Unauthorized, match="No read token was given"):
        Impact(server.url).totals()
    assert server.requests == []


@pytest.mark.parametrize("body", ["<html>", "[]", "null", '"text"', "", "\xff"])
def test_a_stranger_is_recognised(server: Server, body: str) -> None:
    server.answers = [(200, body)]
    with pytest.raises(ImpactError, match="is not the API of an Impact Service"):
        reader(server).totals()


def test_no_token_follows_a_redirect(server: Server) -> None:
    server.answers = [(302, "")]
    with pytest.raises(ImpactError, match="HTTP 302"):
        reader(server).totals()


def test_a_netrc_does_not_replace_the_token(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server.answers = [(200, '{"days": []}')]
    reader(server).totals()
    assert server.requests[0][1]["Authorization"] == "Bearer read"


@pytest.mark.parametrize("url", ["", "localhost:3090", "ftp://host", "http://", "https://[", "http://a b"])
def test_what_is_no_url_is_said(url: str) -> None:
    with pytest.raises(ImpactError, match="is not a URL, such as"):
        Impact(url, read_token="t").totals()


def test_a_service_that_is_down_is_unavailable(server: Server) -> None:
    with Server() as closed:
        url = closed.url
    with pytest.raises(Unavailable, match="No response from http://127"):
        Impact(url, read_token="t").totals()
