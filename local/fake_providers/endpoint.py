"""What each provider's module needs: a request, an endpoint of the provider's API, and its text formats."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from local.fake_providers.prompt_directives import DIRECTIVE, Usage

JSON = dict[str, Any]

WORDS = ("The ", "forest ", "keeps ", "its ", "own ", "accounts.")
"""The text of every response; a stream sends one word in each part."""
CREATED = 1_700_000_000
"""The time of every response, in Unix seconds."""
NDJSON = "application/x-ndjson"


@dataclass(frozen=True)
class Ask:
    """A request to which a provider responds."""

    id: str
    model: str
    usage: Usage
    body: JSON
    tools: int = 0
    """How often the model calls the first tool that the request offers."""
    tool: str | None = None
    """Part of the name of the one tool that the model calls, to say what it answers."""


@dataclass(frozen=True)
class Endpoint:
    """A path of a provider's API.

    `text` finds the prompt in a request. `stream` is None if the endpoint cannot stream. `counts` names the
    token counts that its usage reports.
    """

    provider: str
    text: Callable[[JSON], str]
    response: Callable[[Ask], JSON | bytes]
    stream: Callable[[Ask], Iterator[bytes]] | None
    error: Callable[[int, str], JSON]
    counts: frozenset[str]
    streams_by_default: bool = False
    stream_type: str = "text/event-stream"

    def usage(self, usage: Usage) -> Usage:
        """The token counts that this endpoint reports; the others are 0."""
        return Usage(**{name: count if name in self.counts else 0 for name, count in usage.to_dict().items()})

    def wants_stream(self, body: JSON) -> bool:
        return self.stream is not None and bool(body.get("stream", self.streams_by_default))

    def error_part(self, status: int, message: str) -> bytes:
        """An error in the middle of a stream."""
        error = self.error(status, message)
        return json_line(error) if self.stream_type == NDJSON else sse_event(error, error.get("type"))


def sse_event(data: JSON, name: str | None = None) -> bytes:
    prefix = f"event: {name}\n" if name else ""
    return f"{prefix}data: {json.dumps(data)}\n\n".encode()


def json_line(data: JSON) -> bytes:
    return json.dumps(data).encode() + b"\n"


def flatten(content: Any) -> str:
    """The text of a message's content: a string, a part, or a list of these."""
    if isinstance(content, list):
        return " ".join(map(flatten, content))
    if isinstance(content, dict):
        return flatten(content.get("text") or content.get("content") or "")
    return str(content)


def last_message(body: JSON) -> str:
    """The text of the last message with directives: in a tool loop others follow it."""
    texts = [flatten(message) for message in body["messages"]]
    return next((text for text in reversed(texts) if DIRECTIVE.search(text)), texts[-1])


def prompt_field(body: JSON) -> str:
    return str(body["prompt"])


def input_field(body: JSON) -> str:
    return flatten(body["input"])


def query_field(body: JSON) -> str:
    return str(body["query"])
