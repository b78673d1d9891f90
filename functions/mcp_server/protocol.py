"""MCP over Streamable HTTP, without sessions: a POST has one JSON-RPC message, and gets one answer in JSON.

Clients of two eras are served, told apart by each request alone:

- The protocol of 2026-07-28 has no handshake. Each request has its version and the client's capabilities in
  `_meta`, and repeats version, method and tool in headers. A header that says something else is refused.
- The protocols before begin with `initialize`. This server keeps nothing of it: any request may be the first.

Nothing here knows what the tools do, or calls AWS.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Never

from impact.http import Event, HttpError, Response, body_bytes, header, own_origin, respond

JSON = dict[str, Any]
CallTool = Callable[[str, JSON], JSON]
"""Gets a tool's name and arguments, and returns a CallToolResult. Raises NoSuchTool or ToolFailed."""

MODERN = "2026-07-28"
HANDSHAKE = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
"""The versions that begin with `initialize`, the newest first."""

BODY_BYTES_MAX = 100_000
TOOLS_TTL_MS = 300_000  # how long a client may keep the list of tools: a deployment may change it

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
HEADER_MISMATCH = -32020
UNSUPPORTED_VERSION = -32022

VERSION_HEADER, METHOD_HEADER, NAME_HEADER = "mcp-protocol-version", "mcp-method", "mcp-name"
VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"
SERVER_INFO_KEY = "io.modelcontextprotocol/serverInfo"

_ENCODED_HEADER = re.compile(r"=\?base64\?(.*)\?=")
_CAPABILITIES: JSON = {"tools": {}}


class NoSuchTool(Exception):
    """A call of a tool that the server does not have."""


class ToolFailed(Exception):
    """A call that the server could not answer, by no fault of the client."""


class RpcError(Exception):
    """An answer that is a JSON-RPC error."""

    def __init__(self, code: int, message: str, data: Any = None, status: int = 400):
        super().__init__(message)
        self.status = status
        self.error = {"code": code, "message": message} | ({} if data is None else {"data": data})


@dataclass(frozen=True)
class Server:
    """What a client is told of the server."""

    info: JSON
    """Its name and version."""
    instructions: str
    tools: list[JSON]


@dataclass(frozen=True)
class Message:
    """A request, or a notification: that has no id and is not answered."""

    method: str
    params: JSON
    id: int | str | None

    @property
    def meta(self) -> JSON:
        meta = self.params.get("_meta")
        return meta if isinstance(meta, dict) else {}


def answer(event: Event, server: Server, call_tool: CallTool) -> Response:
    """Answer one POST (HTTP API, payload 2.0). Anything else that `call_tool` raises is passed on."""
    message_id: int | str | None = None
    try:
        _check_origin(event)
        message = _read(event)
        message_id = message.id
        version = header(event, VERSION_HEADER)
        is_modern = version not in ("", *HANDSHAKE) or VERSION_KEY in message.meta
        if message.id is None:
            return _accept_notification(version)
        if is_modern:
            _check_envelope(event, message)
            return _success(message_id, _stamped(_modern_result(message, server, call_tool), server))
        return _handshake_answer(message, server, call_tool)
    except RpcError as error:
        return respond(error.status, {"jsonrpc": "2.0", "id": message_id, "error": error.error})


def _success(message_id: int | str | None, result: JSON) -> Response:
    return respond(200, {"jsonrpc": "2.0", "id": message_id, "result": result})


# ------------------------------------------------------------------ reading


def _check_origin(event: Event) -> None:
    """Refuse what a browser sends for another site's page. Clients that are no browsers name no origin."""
    origin = header(event, "origin")
    if origin and origin != own_origin(event):
        raise RpcError(INVALID_REQUEST, "Pages of other origins are not answered.", status=403)


def _read(event: Event) -> Message:
    try:
        body = body_bytes(event)
    except HttpError:
        raise RpcError(PARSE_ERROR, "The body is not base64.") from None
    if len(body) > BODY_BYTES_MAX:
        raise RpcError(INVALID_REQUEST, f"The body has more than {BODY_BYTES_MAX} bytes.", status=413)
    try:
        message = json.loads(body.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise RpcError(PARSE_ERROR, "The body is not JSON.") from None
    if not isinstance(message, dict):
        raise RpcError(INVALID_REQUEST, "The body must be one JSON-RPC message: batches are not taken.")
    return _as_message(message)


def _refuse(constant: str) -> Never:
    raise ValueError(f"{constant} is not JSON")


def _as_message(message: JSON) -> Message:
    method, params, message_id = message.get("method"), message.get("params"), message.get("id")
    if message.get("jsonrpc") != "2.0" or not isinstance(method, str):
        raise RpcError(INVALID_REQUEST, "The body must be a JSON-RPC 2.0 request or notification.")
    if "id" in message and (isinstance(message_id, bool) or not isinstance(message_id, int | str)):
        raise RpcError(INVALID_REQUEST, "The id of a request must be a string or an integer.")
    if not isinstance(params, dict | None):
        raise RpcError(INVALID_REQUEST, "params must be an object.")
    return Message(method, params or {}, message_id)


def _accept_notification(version: str) -> Response:
    """Take a notification, and do nothing: without sessions there is nothing that one could be about."""
    if version not in ("", MODERN, *HANDSHAKE):
        raise _unsupported(version)
    return {"statusCode": 202, "headers": {}, "body": ""}


def _unsupported(version: str) -> RpcError:
    data = {"supported": [MODERN], "requested": version}
    return RpcError(UNSUPPORTED_VERSION, "Unsupported protocol version", data)


# ----------------------------------------------------- the protocol of 2026


def _check_envelope(event: Event, message: Message) -> None:
    """Check what each request must have, in the order in which the specification does."""
    missing = [key for key in (VERSION_KEY, CAPABILITIES_KEY) if key not in message.meta]
    if missing:
        raise RpcError(INVALID_PARAMS, f"params._meta must be an object with {' and '.join(missing)}.")
    said = {VERSION_HEADER: message.meta[VERSION_KEY], METHOD_HEADER: message.method}
    if message.method == "tools/call":
        said[NAME_HEADER] = message.params.get("name")
    for name, value in said.items():
        if _decoded(header(event, name)) != value:
            raise RpcError(HEADER_MISMATCH, f"The header {name} must say what the body says.")
    if message.meta[VERSION_KEY] != MODERN:
        raise _unsupported(message.meta[VERSION_KEY])
    if not isinstance(message.meta[CAPABILITIES_KEY], dict):
        raise RpcError(INVALID_PARAMS, f"{CAPABILITIES_KEY} must be an object.")


def _decoded(value: str) -> str | None:
    """Decode a header: what is no plain ASCII is sent as `=?base64?...?=`. None if it is damaged."""
    encoded = _ENCODED_HEADER.fullmatch(value)
    if not encoded:
        return value
    try:
        return base64.b64decode(encoded[1], validate=True).decode()
    except (binascii.Error, ValueError):
        return None


def _modern_result(message: Message, server: Server, call_tool: CallTool) -> JSON:
    kept = {"ttlMs": TOOLS_TTL_MS, "cacheScope": "public"}  # the same for everybody
    match message.method:
        case "server/discover":
            return {
                "supportedVersions": [MODERN],
                "capabilities": _CAPABILITIES,
                "instructions": server.instructions,
            } | kept
        case "tools/list":
            return _tools(message, server) | kept
        case "tools/call":
            return _called(message, call_tool)
    raise RpcError(METHOD_NOT_FOUND, "Method not found", status=404)


def _stamped(result: JSON, server: Server) -> JSON:
    return {"resultType": "complete", "_meta": {SERVER_INFO_KEY: server.info}} | result


# ------------------------------------------------------ the protocols before


def _handshake_answer(message: Message, server: Server, call_tool: CallTool) -> Response:
    """Answer with 200, also an error of the client's: to these a 404 is a session that has ended."""
    try:
        return _success(message.id, _handshake_result(message, server, call_tool))
    except RpcError as error:
        if error.status < 500:
            error.status = 200
        raise


def _handshake_result(message: Message, server: Server, call_tool: CallTool) -> JSON:
    match message.method:
        case "initialize":
            return _initialized(message, server)
        case "ping":
            return {}
        case "tools/list":
            return _tools(message, server)
        case "tools/call":
            return _called(message, call_tool)
    raise RpcError(METHOD_NOT_FOUND, "Method not found")


def _initialized(message: Message, server: Server) -> JSON:
    asked = message.params.get("protocolVersion")
    if not isinstance(asked, str):
        raise RpcError(INVALID_PARAMS, "protocolVersion must be a string.")
    return {
        "protocolVersion": asked if asked in HANDSHAKE else HANDSHAKE[0],
        "capabilities": _CAPABILITIES,
        "serverInfo": server.info,
        "instructions": server.instructions,
    }


# ------------------------------------------------------------- in both eras


def _tools(message: Message, server: Server) -> JSON:
    if message.params.get("cursor") is not None:
        raise RpcError(
            INVALID_PARAMS, "cursor is not one that this server returned: all tools are on one page."
        )
    return {"tools": server.tools}


def _called(message: Message, call_tool: CallTool) -> JSON:
    name, arguments = message.params.get("name"), message.params.get("arguments")
    if not isinstance(name, str):
        raise RpcError(INVALID_PARAMS, "name must be a string.")
    if not isinstance(arguments, Mapping | None):
        raise RpcError(INVALID_PARAMS, "arguments must be an object.")
    try:
        return call_tool(name, dict(arguments or {}))
    except NoSuchTool:
        raise RpcError(INVALID_PARAMS, "There is no tool of this name.") from None
    except ToolFailed:
        raise RpcError(INTERNAL_ERROR, "The server could not answer. Try again.", status=500) from None
