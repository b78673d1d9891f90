"""The official MCP client, in both eras, and the function behind a real HTTP server."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from mcp.shared.exceptions import MCPError

from impact.store import Store
from local.http_server import running_server
from mcp_server import app
from tests.events import NOON, event, freeze
from tests.integration.steps import BUILDER, put, roll_up
from tests.lambda_context import CONTEXT
from tests.mcp_calls import post
from tests.mcp_client import MODES, Mode, ask

SERVERS = {"kind": "server"}


class _Gateway(BaseHTTPRequestHandler):
    """Hands requests to the function as API Gateway does, after an authorizer let a trusted server in."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        headers: dict[str, str] = {}
        for name, value in self.headers.items():
            joined = [headers[name.lower()], value] if name.lower() in headers else [value]
            headers[name.lower()] = ",".join(joined)
        body = self.rfile.read(int(headers["content-length"])).decode()
        response = app.handler(post(body, SERVERS, headers), CONTEXT)
        self.send_response_only(response["statusCode"])
        for name, value in response["headers"].items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(response["body"].encode())))
        self.end_headers()
        self.wfile.write(response["body"].encode())

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def url(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    freeze(monkeypatch, app)
    monkeypatch.setattr(app, "store", store)
    monkeypatch.setattr(app, "calendar", lambda now: BUILDER.calendar)
    with running_server(ThreadingHTTPServer(("127.0.0.1", 0), _Gateway)) as server:
        yield f"http://127.0.0.1:{server.server_port}/mcp"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("tool", ["my_usage", "my_models", "my_footprint"])
def test_the_official_client_lists_calls_and_checks(url: str, store: Store, mode: Mode, tool: str) -> None:
    put(store, event())
    roll_up(store, NOON)
    told = ask(url, {"x-librechat-user-id": "alice"}, mode, tool, {"month": "2026-11"})
    assert (told.version, told.is_error) == (MODES[mode], False)
    assert told.tools == ["my_usage", "my_models", "my_footprint"]
    assert told.text.startswith('Use of user "alice" from 2026-11-01 to 2026-11-23')
    assert told.fields is not None
    assert told.fields["userId"] == "alice"


@pytest.mark.parametrize("mode", MODES)
def test_a_wrong_argument_reaches_the_model(url: str, mode: Mode) -> None:
    told = ask(url, {"x-librechat-user-id": "alice"}, mode, "my_usage", {"month": "May"})
    assert (told.is_error, told.text) == (True, "month must be a month, YYYY-MM, such as 2026-11.")


@pytest.mark.parametrize("mode", MODES)
def test_a_client_that_names_nobody_gets_no_figures(url: str, mode: Mode) -> None:
    with pytest.raises((MCPError, ExceptionGroup)) as raised:
        ask(url, {"x-librechat-user-id": "{{LIBRECHAT_USER_ID}}"}, mode, "my_usage", {})
    assert isinstance(raised.value, MCPError) or raised.group_contains(MCPError)
