"""Groq's API: OpenAI's chat completions with two fields more."""

from __future__ import annotations

from collections.abc import Iterator

from local.fake_providers import openai_api
from local.fake_providers.endpoint import JSON, Ask, sse_event


def chat(ask: Ask) -> JSON:
    return {**openai_api.chat(ask), "service_tier": "on_demand", "x_groq": {"id": ask.id}}


def chat_stream(ask: Ask) -> Iterator[bytes]:
    """OpenAI's stream, with the usage also in `x_groq` of a last chunk, whether requested or not."""
    *chunks, done = openai_api.chat_stream(ask)
    yield from chunks
    yield sse_event(
        openai_api.chunk(ask, [], x_groq={"id": ask.id, "usage": openai_api.usage_fields(ask.usage)})
    )
    yield done
