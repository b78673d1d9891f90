"""Ollama's API: chat and generate. It reports no cached tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from local.fake_providers.endpoint import JSON, WORDS, Ask, json_line


def _end(ask: Ask) -> JSON:
    return {
        "done": True,
        "done_reason": "stop",
        "total_duration": 5_000_000,
        "load_duration": 1_000_000,
        "prompt_eval_count": ask.usage.tokens_in,
        "prompt_eval_duration": 1_000_000,
        "eval_count": ask.usage.tokens_out,
        "eval_duration": 3_000_000,
    }


def _chunk(ask: Ask, said: JSON, **more: Any) -> JSON:
    return {"model": ask.model, "created_at": "2026-01-01T00:00:00Z", **said, "done": False, **more}


def _response_and_stream(
    say: Callable[[str], JSON],
) -> tuple[Callable[[Ask], JSON], Callable[[Ask], Iterator[bytes]]]:
    """Make the response and the stream of /api/chat or /api/generate. `say` places the text."""

    def response(ask: Ask) -> JSON:
        return _chunk(ask, say("".join(WORDS)), **_end(ask))

    def stream(ask: Ask) -> Iterator[bytes]:
        for word in WORDS:
            yield json_line(_chunk(ask, say(word)))
        yield json_line(_chunk(ask, say(""), **_end(ask)))

    return response, stream


def error(status: int, message: str) -> JSON:
    return {"error": message}


CHAT = _response_and_stream(lambda text: {"message": {"role": "assistant", "content": text}})
GENERATE = _response_and_stream(lambda text: {"response": text})
