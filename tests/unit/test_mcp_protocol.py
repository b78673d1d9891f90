"""MCP's protocol: what is answered, refused or taken in either era, and with which codes."""

import base64
import json
from typing import Any

import pytest

from mcp_server.protocol import (
    BODY_BYTES_MAX,
    CAPABILITIES_KEY,
    HANDSHAKE,
    MODERN,
    VERSION_KEY,
    NoSuchTool,
    Server,
    ToolFailed,
    answer,
)
from tests.mcp_calls import modern, old, post, rpc

JSON = dict[str, Any]
SERVER = Server(
    {"name": "s", "version": "1"}, "Read me.", [{"name": "echo", "inputSchema": {"type": "object"}}]
)


def echo(name: str, arguments: JSON) -> JSON:
    if name not in ("echo", "éch"):
        raise NoSuchTool
    return {"content": [], "structuredContent": arguments}


def asked(request: JSON) -> tuple[int, Any]:
    """Return the status and the body of an answer."""
    response = answer(request, SERVER, echo)
    return response["statusCode"], json.loads(response["body"]) if response["body"] else None


def code(request: JSON) -> tuple[int, int]:
    """Return the status and the code of an error."""
    status, body = asked(request)
    assert body["jsonrpc"] == "2.0"
    assert "result" not in body
    return status, body["error"]["code"]


# ------------------------------------------------------------ the handshake


@pytest.mark.parametrize("version", HANDSHAKE)
def test_initialize_agrees_on_the_clients_version(version: str) -> None:
    status, body = asked(post(rpc("initialize", {"protocolVersion": version}, "a")))
    assert (status, body["id"]) == (200, "a")
    assert body["result"] == {
        "protocolVersion": version,
        "capabilities": {"tools": {}},
        "serverInfo": SERVER.info,
        "instructions": "Read me.",
    }


def test_initialize_offers_the_newest_version_to_a_client_of_an_unknown_one() -> None:
    for version in ("1999-01-01", MODERN):
        _, body = asked(post(rpc("initialize", {"protocolVersion": version})))
        assert body["result"]["protocolVersion"] == "2025-11-25"


@pytest.mark.parametrize("version", ["", *HANDSHAKE])
def test_old_clients_list_call_and_ping_without_any_session(version: str) -> None:
    headers = {"MCP-Protocol-Version": version} if version else {}
    assert asked(post(rpc("tools/list"), headers=headers)) == (
        200,
        {"jsonrpc": "2.0", "id": 1, "result": {"tools": SERVER.tools}},
    )
    status, body = asked(post(rpc("tools/call", {"name": "echo", "arguments": {"a": 1}}), headers=headers))
    assert (status, body["result"]["structuredContent"]) == (200, {"a": 1})
    assert asked(post(rpc("ping"), headers=headers))[1]["result"] == {}


def test_errors_of_old_clients_are_no_404_which_would_end_a_session() -> None:
    assert code(old("resources/list")) == (200, -32601)
    assert code(old("server/discover")) == (200, -32601)
    assert code(old("tools/call", {"name": "other"})) == (200, -32602)
    assert code(old("tools/call", {"name": ["echo"]})) == (200, -32602)
    assert code(old("tools/call", {"name": "echo", "arguments": []})) == (200, -32602)
    assert code(old("tools/list", {"cursor": "x"})) == (200, -32602)
    assert code(old("initialize", {"protocolVersion": 5})) == (200, -32602)


# ----------------------------------------------------------------- 2026-07-28


def test_discover_tells_the_version_and_that_there_are_tools() -> None:
    status, body = asked(modern("server/discover"))
    assert status == 200
    assert body["result"] == {
        "resultType": "complete",
        "_meta": {"io.modelcontextprotocol/serverInfo": SERVER.info},
        "supportedVersions": [MODERN],
        "capabilities": {"tools": {}},
        "instructions": "Read me.",
        "ttlMs": 300_000,
        "cacheScope": "public",
    }


def test_modern_clients_list_and_call() -> None:
    _, listed = asked(modern("tools/list"))
    assert listed["result"]["tools"] == SERVER.tools
    assert listed["result"]["cacheScope"] == "public"
    _, called = asked(modern("tools/call", {"name": "echo", "arguments": {"a": 1}}))
    assert (called["result"]["structuredContent"], called["result"]["resultType"]) == ({"a": 1}, "complete")
    assert "ttlMs" not in called["result"]


def test_errors_of_modern_clients_have_the_status_of_their_code() -> None:
    for method in ("ping", "initialize", "resources/list", "logging/setLevel"):
        assert code(modern(method)) == (404, -32601)
    assert code(modern("tools/call", {"name": "other"})) == (400, -32602)
    assert code(modern("tools/list", {"cursor": "x"})) == (400, -32602)


@pytest.mark.parametrize("missing", [VERSION_KEY, CAPABILITIES_KEY])
def test_a_modern_request_needs_its_envelope(missing: str) -> None:
    meta = {VERSION_KEY: MODERN, CAPABILITIES_KEY: {}}
    del meta[missing]
    status, body = asked(modern("tools/list", {"_meta": meta}))
    assert (status, body["error"]["code"]) == (400, -32602)
    assert missing in body["error"]["message"]
    assert code(modern("tools/list", {"_meta": "x"})) == (400, -32602)
    assert code(modern("tools/list", {"_meta": {VERSION_KEY: MODERN, CAPABILITIES_KEY: 1}})) == (400, -32602)


@pytest.mark.parametrize(
    "header",
    [
        {"mcp_method": "tools/list"},
        {"mcp_method": ""},
        {"mcp_method": "tools/call,tools/call"},
        {"mcp_name": "other"},
        {"mcp_name": ""},
        {"mcp_name": "=?base64?!!!?="},
        {"mcp_protocol_version": ""},
        {"mcp_protocol_version": "2025-11-25"},
        {"mcp_protocol_version": f"{MODERN},{MODERN}"},
    ],
)
def test_a_header_that_differs_from_the_body_is_refused(header: dict[str, str]) -> None:
    assert code(modern("tools/call", {"name": "echo"}, None, **header)) == (400, -32020)


def test_a_name_that_is_not_ascii_comes_encoded() -> None:
    encoded = f"=?base64?{base64.b64encode('éch'.encode()).decode()}?="
    status, _ = asked(modern("tools/call", {"name": "éch"}, None, mcp_name=encoded))
    assert status == 200


def test_a_version_that_is_not_known_is_answered_with_the_one_that_is() -> None:
    meta = {VERSION_KEY: "2030-01-01", CAPABILITIES_KEY: {}}
    request = modern("server/discover", {"_meta": meta}, None, mcp_protocol_version="2030-01-01")
    assert asked(request) == (
        400,
        {
            "jsonrpc": "2.0",
            "id": 1,
            "error": {
                "code": -32022,
                "message": "Unsupported protocol version",
                "data": {"supported": [MODERN], "requested": "2030-01-01"},
            },
        },
    )


# -------------------------------------------------------------- in both eras


@pytest.mark.parametrize("version", ["", MODERN, *HANDSHAKE])
def test_a_notification_is_taken_and_not_answered(version: str) -> None:
    for method in ("notifications/initialized", "notifications/cancelled", "notifications/x"):
        message = {"jsonrpc": "2.0", "method": method}
        assert asked(post(message, headers={"mcp-protocol-version": version})) == (202, None)


def test_a_notification_of_an_unknown_version_is_refused() -> None:
    message = {"jsonrpc": "2.0", "method": "notifications/x"}
    assert code(post(message, headers={"mcp-protocol-version": "1999-01-01"})) == (400, -32022)


@pytest.mark.parametrize("body", ["", "{", "[", "nan", '{"a": NaN}', "[" * 50_000, "\ud800", "1" * 5_000])
def test_what_is_not_json_is_a_parse_error_without_an_id(body: str) -> None:
    status, answered = asked(post(body))
    assert (status, answered["error"]["code"], answered["id"]) == (400, -32700, None)


def test_a_body_that_is_not_base64_is_a_parse_error() -> None:
    assert code(post("%%%") | {"isBase64Encoded": True}) == (400, -32700)


def test_a_body_in_base64_is_read() -> None:
    body = base64.b64encode(json.dumps(rpc("ping")).encode()).decode()
    assert asked(post(body) | {"isBase64Encoded": True})[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        [rpc("ping")],
        [],
        5,
        None,
        {},
        {"jsonrpc": "1.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "id": 1},
        {"jsonrpc": "2.0", "id": 1, "result": {}},
        {"jsonrpc": "2.0", "id": 1, "method": 5},
        {"jsonrpc": "2.0", "id": None, "method": "ping"},
        {"jsonrpc": "2.0", "id": True, "method": "ping"},
        {"jsonrpc": "2.0", "id": 1.5, "method": "ping"},
        {"jsonrpc": "2.0", "id": {}, "method": "ping"},
        {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": [1]},
    ],
)
def test_what_is_not_one_request_is_invalid(body: Any) -> None:
    assert code(post(body)) == (400, -32600)


def test_a_large_body_is_refused_unread() -> None:
    largest = json.dumps(rpc("ping"))
    assert asked(post(largest + " " * (BODY_BYTES_MAX - len(largest))))[0] == 200
    assert code(post(largest + " " * (BODY_BYTES_MAX + 1 - len(largest)))) == (413, -32600)


def test_an_id_comes_back_as_it_was() -> None:
    for message_id in (0, -1, 10**30, "", "a\n", "\ud800"):
        assert asked(post(rpc("ping", message_id=message_id)))[1]["id"] == message_id


@pytest.mark.parametrize("ask", [old, modern])
def test_a_tool_that_failed_is_an_internal_error_in_both_eras(ask: Any) -> None:
    def fails(name: str, arguments: JSON) -> JSON:
        raise ToolFailed

    response = answer(ask("tools/call", {"name": "echo"}), SERVER, fails)
    body = json.loads(response["body"])
    assert (response["statusCode"], body["error"]["code"], body["id"]) == (500, -32603, 1)


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://api.example", 200),
        ("https://evil.example", 403),
        ("http://api.example", 403),
        ("null", 403),
    ],
)
def test_a_page_of_another_origin_is_refused(origin: str, status: int) -> None:
    request = post(rpc("ping"), headers={"Origin": origin})
    request["requestContext"]["domainName"] = "api.example"
    answered, body = asked(request)
    assert answered == status
    if status == 403:
        assert (body["id"], body["error"]["code"]) == (None, -32600)


def test_what_a_tool_raises_is_not_hidden() -> None:
    def fails(name: str, arguments: JSON) -> JSON:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        answer(old("tools/call", {"name": "echo"}), SERVER, fails)
