"""An MCP server with one tool, which LiteLLM's MCP gateway calls in a tool loop."""

from __future__ import annotations

from typing import Any

JSON = dict[str, Any]

PATH = "/mcp"
TOOL = {
    "name": "lookup",
    "description": "Looks something up.",
    "inputSchema": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
}
_RESULTS = {
    "tools/list": {"tools": [TOOL]},
    "tools/call": {"content": [{"type": "text", "text": "It is green."}], "isError": False},
    "ping": {},
}


def query(message: JSON) -> str | None:
    """The query of a call of the tool; None for other messages."""
    if message.get("method") != "tools/call":
        return None
    return str(message["params"]["arguments"]["query"])


def respond(message: JSON) -> JSON | None:
    """The response to a JSON-RPC message; None for a notification."""
    if "id" not in message:
        return None
    reply: JSON = {"jsonrpc": "2.0", "id": message["id"]}
    method = message["method"]
    if method == "initialize":
        server = {"name": "fake", "version": "1"}
        version = message["params"]["protocolVersion"]
        return reply | {
            "result": {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": server}
        }
    if method in _RESULTS:
        return reply | {"result": _RESULTS[method]}
    return reply | {"error": {"code": -32601, "message": f"no method {method}"}}
