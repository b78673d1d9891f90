"""POST /mcp as API Gateway hands it to the function, in both eras of the protocol."""

import json
from typing import Any

from mcp_server.protocol import CAPABILITIES_KEY, MODERN, VERSION_KEY

JSON = dict[str, Any]

ALICES = {"kind": "link", "userId": "alice"}
SERVERS = {"kind": "server"}
NAMED = {"x-librechat-user-id": "alice"}


def post(body: Any, caller: JSON | None = None, headers: dict[str, str] | None = None) -> JSON:
    """A request with a body: text as it is, anything else as JSON. The caller is alice, unless it is told."""
    return {
        "routeKey": "POST /mcp",
        "headers": {"content-type": "application/json", **(headers or {})},
        "body": body if isinstance(body, str) else json.dumps(body),
        "isBase64Encoded": False,
        "requestContext": {"authorizer": {"lambda": ALICES if caller is None else caller}},
    }


def rpc(method: str, params: JSON | None = None, message_id: Any = 1) -> JSON:
    return {"jsonrpc": "2.0", "id": message_id, "method": method, "params": params or {}}


def old(method: str, params: JSON | None = None, caller: JSON | None = None, **headers: str) -> JSON:
    """A request of the protocol of 2025-11-25."""
    return post(rpc(method, params), caller, {"mcp-protocol-version": "2025-11-25"} | headers)


def modern(method: str, params: JSON | None = None, caller: JSON | None = None, **headers: str) -> JSON:
    """A request of the protocol of 2026-07-28, with the headers that go with it."""
    params = params or {}
    said = {"mcp-protocol-version": MODERN, "mcp-method": method}
    if "name" in params:
        said["mcp-name"] = params["name"]
    meta = {VERSION_KEY: MODERN, CAPABILITIES_KEY: {}}
    sent = said | {name.replace("_", "-"): value for name, value in headers.items()}
    return post(rpc(method, {"_meta": meta} | params), caller, sent)


def call(name: str, caller: JSON | None = None, headers: dict[str, str] | None = None, **given: Any) -> JSON:
    """A call of a tool, in the protocol of 2026-07-28."""
    arguments = {key.rstrip("_"): value for key, value in given.items()}
    request = modern("tools/call", {"name": name, "arguments": arguments}, caller)
    request["headers"] |= headers or {}
    return request
