"""Anthropic's Messages API. Its `input_tokens` leaves out what was read from or written to its cache."""

from __future__ import annotations

from collections.abc import Iterator

from local.fake_providers.endpoint import JSON, WORDS, Ask, sse_event
from local.fake_providers.prompt_directives import Usage


def usage_fields(usage: Usage) -> JSON:
    return {
        "input_tokens": usage.tokens_in - usage.tokens_cached - usage.tokens_cache_write,
        "cache_creation_input_tokens": usage.tokens_cache_write,
        "cache_read_input_tokens": usage.tokens_cached,
        "output_tokens": usage.tokens_out,
    }


def message(ask: Ask) -> JSON:
    return {
        "id": f"msg_{ask.id}",
        "type": "message",
        "role": "assistant",
        "model": ask.model,
        "content": [{"type": "text", "text": "".join(WORDS)}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": usage_fields(ask.usage),
    }


def stream(ask: Ask) -> Iterator[bytes]:
    usage = usage_fields(ask.usage)
    begun = {
        **message(ask),
        "content": [],
        "stop_reason": None,
        "usage": {**usage, "output_tokens": 1},
    }
    block = {"type": "text", "text": ""}
    events: list[JSON] = [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
            for word in WORDS
        ),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": usage["output_tokens"]},
        },
        {"type": "message_stop"},
    ]
    for event in events:
        yield sse_event(event, event["type"])


def error(status: int, message: str) -> JSON:
    kinds = {401: "authentication_error", 429: "rate_limit_error", 529: "overloaded_error"}
    return {"type": "error", "error": {"type": kinds.get(status, "api_error"), "message": message}}
