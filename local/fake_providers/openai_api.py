"""OpenAI's API. Speech, transcription, images, moderation and rerank report no tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any

from local.fake_providers.endpoint import CREATED, JSON, WORDS, Ask, flatten, last_message, sse_event
from local.fake_providers.prompt_directives import Usage


def usage_fields(usage: Usage) -> JSON:
    return {
        "prompt_tokens": usage.tokens_in,
        "completion_tokens": usage.tokens_out,
        "total_tokens": usage.tokens_in + usage.tokens_out,
        "prompt_tokens_details": {"cached_tokens": usage.tokens_cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": usage.tokens_reasoning, "audio_tokens": 0},
    }


def chat(ask: Ask) -> JSON:
    calls = _tool_calls(ask)
    said = {"content": None, "tool_calls": calls} if calls else {"content": "".join(_words(ask))}
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
        "usage": usage_fields(ask.usage),
    }


def _tool_calls(ask: Ask) -> list[JSON]:
    """The calls of the first tool, with the prompt as query, or of the tool that the prompt names.

    There are none once a tool has responded.
    """
    names = [tool["function"]["name"] for tool in ask.body.get("tools") or () if "function" in tool]
    if not names or _tool_answers(ask):
        return []
    if ask.tool is not None:
        return [_tool_call(ask, 0, name, {}) for name in names if ask.tool in name][:1]
    query = {"query": last_message(ask.body)}
    return [_tool_call(ask, number, names[0], query) for number in range(ask.tools)]


def _tool_call(ask: Ask, number: int, name: str, arguments: JSON) -> JSON:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"id": f"call_{ask.id}_{number}", "type": "function", "function": function}


def _tool_answers(ask: Ask) -> list[str]:
    """What tools have answered since the user's last message."""
    since = takewhile(lambda message: message["role"] != "user", reversed(ask.body["messages"]))
    return [flatten(message) for message in since if message["role"] == "tool"]


def _words(ask: Ask) -> Sequence[str]:
    """What the model says: what the tool answered that the prompt names, else always the same."""
    answers = _tool_answers(ask) if ask.tool is not None else []
    return answers[0].splitlines(keepends=True) if answers else WORDS


def completion(ask: Ask) -> JSON:
    return {**_completion_chunk(ask, "".join(WORDS), "stop"), "usage": usage_fields(ask.usage)}


def completion_stream(ask: Ask) -> Iterator[bytes]:
    for word in WORDS:
        yield sse_event(_completion_chunk(ask, word))
    yield sse_event(_completion_chunk(ask, "", "stop"))
    if (ask.body.get("stream_options") or {}).get("include_usage"):
        yield sse_event({**_completion_chunk(ask, ""), "choices": [], "usage": usage_fields(ask.usage)})
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


def chunk(ask: Ask, choices: list[JSON], **more: Any) -> JSON:
    return {
        "id": f"chatcmpl-{ask.id}",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": ask.model,
        "choices": choices,
        **more,
    }


def chat_stream(ask: Ask) -> Iterator[bytes]:
    calls = _tool_calls(ask) if ask.tool is not None else []
    deltas: list[JSON] = [{"tool_calls": [{"index": 0} | call]} for call in calls]
    for said in deltas or [{"content": word} for word in _words(ask)]:
        delta = {"role": "assistant"} | said
        yield sse_event(chunk(ask, [{"index": 0, "delta": delta, "finish_reason": None}]))
    ended = "tool_calls" if calls else "stop"
    yield sse_event(chunk(ask, [{"index": 0, "delta": {}, "finish_reason": ended}]))
    if (ask.body.get("stream_options") or {}).get("include_usage"):
        yield sse_event(chunk(ask, [], usage=usage_fields(ask.usage)))
    yield b"data: [DONE]\n\n"


def embeddings(ask: Ask) -> JSON:
    given = ask.body["input"]
    count = len(given) if isinstance(given, list) else 1
    vector = [0.25, -0.5, 0.125]
    return {
        "object": "list",
        "model": ask.model,
        "data": [{"object": "embedding", "index": index, "embedding": vector} for index in range(count)],
        "usage": {"prompt_tokens": ask.usage.tokens_in, "total_tokens": ask.usage.tokens_in},
    }


def response(ask: Ask) -> JSON:
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


def response_stream(ask: Ask) -> Iterator[bytes]:
    whole = response(ask)
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    events: list[JSON] = [{"type": "response.created", "response": begun}]
    for word in WORDS:
        delta = {"item_id": f"msg_{ask.id}", "output_index": 0, "content_index": 0, "delta": word}
        events.append({"type": "response.output_text.delta", **delta})
    events.append({"type": "response.completed", "response": whole})
    for number, event in enumerate(events):
        yield sse_event({**event, "sequence_number": number}, event["type"])


def error(status: int, message: str) -> JSON:
    kind = "invalid_request_error" if status < 500 else "server_error"
    code = "invalid_api_key" if status == 401 else None
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def speech(ask: Ask) -> bytes:
    return b"RIFF of a voice"


def transcription(ask: Ask) -> JSON:
    return {"text": "".join(WORDS)}


def image(ask: Ask) -> JSON:
    return {"created": CREATED, "data": [{"b64_json": "aW1hZ2U="}]}


def rerank(ask: Ask) -> JSON:
    return {"id": ask.id, "results": [{"index": 0, "relevance_score": 0.5}]}


def moderation(ask: Ask) -> JSON:
    return {
        "id": ask.id,
        "model": ask.model,
        "results": [{"flagged": False, "categories": {}, "category_scores": {}}],
    }
