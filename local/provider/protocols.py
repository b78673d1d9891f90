"""How each provider speaks: its answer, its stream and its error, as its API reference shows them.

Counts differ in more than their names. Anthropic's `input_tokens` leaves out what was read from or written
to its cache; OpenAI's and Groq's `prompt_tokens` include it; Ollama counts no cache at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from local.provider.script import DIRECTIVE, Usage

JSON = dict[str, Any]

WORDS = ("The ", "forest ", "keeps ", "its ", "own ", "accounts.")
CREATED = 1_700_000_000
_NDJSON = "application/x-ndjson"


@dataclass(frozen=True)
class Ask:
    """One request that a provider is about to answer."""

    id: str
    model: str
    usage: Usage
    body: JSON
    tools: int = 0
    """How often the model calls the first tool that it is offered."""


@dataclass(frozen=True)
class Endpoint:
    """A path of one provider's API. `text` finds the prompt; a `stream` of None means that it has none;
    `counts` names the tokens that its usage tells."""

    provider: str
    text: Callable[[JSON], str]
    answer: Callable[[Ask], JSON | bytes]
    stream: Callable[[Ask], Iterator[bytes]] | None
    error: Callable[[int, str], JSON]
    counts: frozenset[str]
    streams_by_default: bool = False
    stream_type: str = "text/event-stream"

    def usage(self, usage: Usage) -> Usage:
        """As much of it as this endpoint tells."""
        return Usage(**{name: count if name in self.counts else 0 for name, count in usage.to_dict().items()})

    def wants_stream(self, body: JSON) -> bool:
        return self.stream is not None and bool(body.get("stream", self.streams_by_default))

    def error_part(self, status: int, message: str) -> bytes:
        """An error in the middle of a stream."""
        error = self.error(status, message)
        return _line(error) if self.stream_type == _NDJSON else _event(error, error.get("type"))


def _event(data: JSON, name: str | None = None) -> bytes:
    prefix = f"event: {name}\n" if name else ""
    return f"{prefix}data: {json.dumps(data)}\n\n".encode()


def _line(data: JSON) -> bytes:
    return json.dumps(data).encode() + b"\n"


def _flatten(content: Any) -> str:
    """The text of a message's content: a string, a part, or a list of these."""
    if isinstance(content, list):
        return " ".join(map(_flatten, content))
    if isinstance(content, dict):
        return _flatten(content.get("text") or content.get("content") or "")
    return str(content)


def _last_message(body: JSON) -> str:
    """The last one with stage directions: in a tool loop others come after it."""
    texts = [_flatten(message) for message in body["messages"]]
    return next((text for text in reversed(texts) if DIRECTIVE.search(text)), texts[-1])


# OpenAI, and Groq, which speaks the same


def _openai_usage(usage: Usage) -> JSON:
    return {
        "prompt_tokens": usage.tokens_in,
        "completion_tokens": usage.tokens_out,
        "total_tokens": usage.tokens_in + usage.tokens_out,
        "prompt_tokens_details": {"cached_tokens": usage.tokens_cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": usage.tokens_reasoning, "audio_tokens": 0},
    }


def _openai_chat(ask: Ask) -> JSON:
    calls = _tool_calls(ask)
    said = {"content": None, "tool_calls": calls} if calls else {"content": "".join(WORDS)}
    return {
        "id": f"chatcmpl-{ask.id}",
        "object": "chat.completion",
        "created": CREATED,
        "model": ask.model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", **said},
                "logprobs": None,
                "finish_reason": "tool_calls" if calls else "stop",
            }
        ],
        "usage": _openai_usage(ask.usage),
    }


def _tool_calls(ask: Ask) -> list[JSON]:
    """None once a tool has answered. The tool gets the prompt: so it knows for whom it works."""
    tools, messages = ask.body.get("tools"), ask.body["messages"]
    if not tools or any(message["role"] == "tool" for message in messages):
        return []
    name, arguments = tools[0]["function"]["name"], json.dumps({"query": _last_message(ask.body)})
    return [
        {
            "id": f"call_{ask.id}_{number}",
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }
        for number in range(ask.tools)
    ]


def _openai_completion(ask: Ask) -> JSON:
    return {**_completion_chunk(ask, "".join(WORDS), "stop"), "usage": _openai_usage(ask.usage)}


def _openai_completion_stream(ask: Ask) -> Iterator[bytes]:
    for word in WORDS:
        yield _event(_completion_chunk(ask, word))
    yield _event(_completion_chunk(ask, "", "stop"))
    if (ask.body.get("stream_options") or {}).get("include_usage"):
        yield _event({**_completion_chunk(ask, ""), "choices": [], "usage": _openai_usage(ask.usage)})
    yield b"data: [DONE]\n\n"


def _completion_chunk(ask: Ask, text: str, finish_reason: str | None = None) -> JSON:
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason}
    return {
        "id": f"cmpl-{ask.id}",
        "object": "text_completion",
        "created": CREATED,
        "model": ask.model,
        "choices": [choice],
    }


def _openai_chunk(ask: Ask, choices: list[JSON], **more: Any) -> JSON:
    return {
        "id": f"chatcmpl-{ask.id}",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": ask.model,
        "choices": choices,
        **more,
    }


def _openai_chat_stream(ask: Ask) -> Iterator[bytes]:
    for word in WORDS:
        delta = {"role": "assistant", "content": word}
        yield _event(_openai_chunk(ask, [{"index": 0, "delta": delta, "finish_reason": None}]))
    yield _event(_openai_chunk(ask, [{"index": 0, "delta": {}, "finish_reason": "stop"}]))
    if (ask.body.get("stream_options") or {}).get("include_usage"):
        yield _event(_openai_chunk(ask, [], usage=_openai_usage(ask.usage)))
    yield b"data: [DONE]\n\n"


def _groq_chat(ask: Ask) -> JSON:
    return {**_openai_chat(ask), "service_tier": "on_demand", "x_groq": {"id": ask.id}}


def _groq_chat_stream(ask: Ask) -> Iterator[bytes]:
    """As OpenAI's, and the usage comes unasked too, in `x_groq` of a chunk at the end."""
    *chunks, done = _openai_chat_stream(ask)
    yield from chunks
    yield _event(_openai_chunk(ask, [], x_groq={"id": ask.id, "usage": _openai_usage(ask.usage)}))
    yield done


def _openai_embeddings(ask: Ask) -> JSON:
    given = ask.body["input"]
    count = len(given) if isinstance(given, list) else 1
    vector = [0.25, -0.5, 0.125]
    return {
        "object": "list",
        "model": ask.model,
        "data": [{"object": "embedding", "index": index, "embedding": vector} for index in range(count)],
        "usage": {"prompt_tokens": ask.usage.tokens_in, "total_tokens": ask.usage.tokens_in},
    }


def _openai_response(ask: Ask) -> JSON:
    usage = ask.usage
    return {
        "id": f"resp_{ask.id}",
        "object": "response",
        "created_at": CREATED,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": ask.model,
        "output": [
            {
                "type": "message",
                "id": f"msg_{ask.id}",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "".join(WORDS), "annotations": []}],
            }
        ],
        "parallel_tool_calls": True,
        "background": bool(ask.body.get("background")),
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": {
            "input_tokens": usage.tokens_in,
            "input_tokens_details": {"cached_tokens": usage.tokens_cached},
            "output_tokens": usage.tokens_out,
            "output_tokens_details": {"reasoning_tokens": usage.tokens_reasoning},
            "total_tokens": usage.tokens_in + usage.tokens_out,
        },
    }


def _openai_response_stream(ask: Ask) -> Iterator[bytes]:
    whole = _openai_response(ask)
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    events: list[JSON] = [{"type": "response.created", "response": begun}]
    for word in WORDS:
        delta = {"item_id": f"msg_{ask.id}", "output_index": 0, "content_index": 0, "delta": word}
        events.append({"type": "response.output_text.delta", **delta})
    events.append({"type": "response.completed", "response": whole})
    for number, event in enumerate(events):
        yield _event({**event, "sequence_number": number}, event["type"])


def _openai_error(status: int, message: str) -> JSON:
    kind = "invalid_request_error" if status < 500 else "server_error"
    code = "invalid_api_key" if status == 401 else None
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


# Anthropic


def _anthropic_usage(usage: Usage) -> JSON:
    return {
        "input_tokens": usage.tokens_in - usage.tokens_cached - usage.tokens_cache_write,
        "cache_creation_input_tokens": usage.tokens_cache_write,
        "cache_read_input_tokens": usage.tokens_cached,
        "output_tokens": usage.tokens_out,
    }


def _anthropic_message(ask: Ask) -> JSON:
    return {
        "id": f"msg_{ask.id}",
        "type": "message",
        "role": "assistant",
        "model": ask.model,
        "content": [{"type": "text", "text": "".join(WORDS)}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": _anthropic_usage(ask.usage),
    }


def _anthropic_stream(ask: Ask) -> Iterator[bytes]:
    usage = _anthropic_usage(ask.usage)
    begun = {
        **_anthropic_message(ask),
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
        yield _event(event, event["type"])


def _anthropic_error(status: int, message: str) -> JSON:
    kinds = {401: "authentication_error", 429: "rate_limit_error", 529: "overloaded_error"}
    return {"type": "error", "error": {"type": kinds.get(status, "api_error"), "message": message}}


# Ollama


def _ollama_end(ask: Ask) -> JSON:
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


def _ollama_chunk(ask: Ask, said: JSON, **more: Any) -> JSON:
    return {"model": ask.model, "created_at": "2026-01-01T00:00:00Z", **said, "done": False, **more}


def _ollama(say: Callable[[str], JSON]) -> tuple[Callable[[Ask], JSON], Callable[[Ask], Iterator[bytes]]]:
    """The answer and the stream of /api/chat and /api/generate, which differ in where the text stands."""

    def answer(ask: Ask) -> JSON:
        return _ollama_chunk(ask, say("".join(WORDS)), **_ollama_end(ask))

    def stream(ask: Ask) -> Iterator[bytes]:
        for word in WORDS:
            yield _line(_ollama_chunk(ask, say(word)))
        yield _line(_ollama_chunk(ask, say(""), **_ollama_end(ask)))

    return answer, stream


def _ollama_error(status: int, message: str) -> JSON:
    return {"error": message}


_OLLAMA_CHAT = _ollama(lambda text: {"message": {"role": "assistant", "content": text}})
_OLLAMA_GENERATE = _ollama(lambda text: {"response": text})


# Speech, transcription, images, moderation and rerank tell no tokens


def _speech(ask: Ask) -> bytes:
    return b"RIFF of a voice"


def _transcription(ask: Ask) -> JSON:
    return {"text": "".join(WORDS)}


def _image(ask: Ask) -> JSON:
    return {"created": CREATED, "data": [{"b64_json": "aW1hZ2U="}]}


def _rerank(ask: Ask) -> JSON:
    return {"id": ask.id, "results": [{"index": 0, "relevance_score": 0.5}]}


def _moderation(ask: Ask) -> JSON:
    return {
        "id": ask.id,
        "model": ask.model,
        "results": [{"flagged": False, "categories": {}, "category_scores": {}}],
    }


def _prompt(body: JSON) -> str:
    return str(body["prompt"])


def _input(body: JSON) -> str:
    return _flatten(body["input"])


def _query(body: JSON) -> str:
    return str(body["query"])


_PLAIN = frozenset({"tokens_in", "tokens_out"})
_OPENAI = _PLAIN | {"tokens_cached", "tokens_reasoning"}
_ANTHROPIC = _PLAIN | {"tokens_cached", "tokens_cache_write"}
_NONE: frozenset[str] = frozenset()

ENDPOINTS = {
    "/v1/chat/completions": Endpoint(
        "openai", _last_message, _openai_chat, _openai_chat_stream, _openai_error, _OPENAI
    ),
    "/v1/responses": Endpoint(
        "openai", _input, _openai_response, _openai_response_stream, _openai_error, _OPENAI
    ),
    "/v1/completions": Endpoint(
        "openai", _prompt, _openai_completion, _openai_completion_stream, _openai_error, _OPENAI
    ),
    "/v1/audio/speech": Endpoint("openai", _input, _speech, None, _openai_error, _NONE),
    "/v1/audio/transcriptions": Endpoint("openai", _prompt, _transcription, None, _openai_error, _NONE),
    "/v1/images/generations": Endpoint("openai", _prompt, _image, None, _openai_error, _NONE),
    "/v1/moderations": Endpoint("openai", _input, _moderation, None, _openai_error, _NONE),
    "/v1/rerank": Endpoint("cohere", _query, _rerank, None, _openai_error, _NONE),
    "/v1/embeddings": Endpoint(
        "openai", _input, _openai_embeddings, None, _openai_error, frozenset({"tokens_in"})
    ),
    "/v1/messages": Endpoint(
        "anthropic", _last_message, _anthropic_message, _anthropic_stream, _anthropic_error, _ANTHROPIC
    ),
    "/openai/v1/chat/completions": Endpoint(
        "groq", _last_message, _groq_chat, _groq_chat_stream, _openai_error, _OPENAI
    ),
    "/api/chat": Endpoint("ollama", _last_message, *_OLLAMA_CHAT, _ollama_error, _PLAIN, True, _NDJSON),
    "/api/generate": Endpoint("ollama", _prompt, *_OLLAMA_GENERATE, _ollama_error, _PLAIN, True, _NDJSON),
}
