"""The official MCP client, in both eras of the protocol: what it is told, and what its calls answer."""

import asyncio
from dataclasses import dataclass
from typing import Any, Literal

from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

from mcp_server.protocol import MODERN

Mode = Literal["legacy", "auto", "2026-07-28"]
MODES: dict[Mode, str] = {"legacy": "2025-11-25", "auto": MODERN, "2026-07-28": MODERN}
"""How the client begins (`initialize`, a probe, or at once), and the version that it then speaks."""


@dataclass(frozen=True)
class Told:
    """What a client got."""

    version: str
    tools: list[str]
    text: str
    fields: dict[str, Any] | None
    is_error: bool


def ask(url: str, headers: dict[str, str], mode: Mode, tool: str, arguments: dict[str, Any]) -> Told:
    """Connect, list the tools, call one, and go. The client checks the answer against its output schema."""
    return asyncio.run(_ask(url, headers, mode, tool, arguments))


async def _ask(url: str, headers: dict[str, str], mode: Mode, tool: str, arguments: dict[str, Any]) -> Told:
    async with (
        create_mcp_http_client(headers=headers) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        tools = (await client.list_tools()).tools
        result = await client.call_tool(tool, arguments)
        text = "".join(getattr(content, "text", "") for content in result.content)
        version = str(client.protocol_version)
        names = [tool.name for tool in tools]
        return Told(version, names, text, result.structured_content, bool(result.is_error))
