"""From what LiteLLM hands its callbacks to one RequestEvent, as JSON.

Only named fields of LiteLLM's payload are read: the rest of it holds prompts, answers and keys. Parts of
it come from the caller, so nothing about it is taken for granted: what is not of its right type is not known,
and of what is large no more is read than an event can hold.
"""

import json
import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import islice
from typing import Any

from request_events.rules import (
    COST_MAX,
    EVENT_ID_MAX,
    LABEL_MAX,
    MODEL_MAX,
    PROVIDER_MAX,
    SECONDS_MAX,
    TAGS_MAX,
    TOKENS_MAX,
    UNKNOWN,
    USER_ID_MAX,
    is_unfilled,
    names_someone,
)

LEDGER_BYTES_MAX = 2048
"""What the ledger keeps of an event, with its keys."""
LEDGER_BYTES_OWN = 100
"""What the ledger adds to an event, beside its ids once more, in its key."""
USER_ID_BYTES_MAX = 1280
"""As UTF-8, with `#` and `%` escaped in one of the two places where the ledger holds a user id."""
LABELS = ("tags", "conversationId", "modelGroup", "keyAlias", "teamId", "errorCode", "callType")
"""What an event that is too large can do without, dispensable ones first."""
MODEL_BYTES_MIN = 128
CALL_ID_MAX = EVENT_ID_MAX - len(":success")

CONVERSATION_HEADER = "x-librechat-conversation-id"
CALL_ID_HEADER = "x-litellm-call-id"
HEADERS = {CONVERSATION_HEADER, CALL_ID_HEADER}
_HEADER_LENGTHS = {len(name) for name in HEADERS}
HEADERS_MAX = 1000
RATES_MAX = 1000
"""How many headers of a request, and how many prices of a model, are looked at."""
CALL_ID_READ = 10_000
LITELLM_TAG = "User-Agent:"
MASTER_KEY_USER = "default_user_id"

COST_MIN = 1e-21
"""A smaller float than this can have more decimal places than an event may, and is no price."""
TS_MIN, TS_MAX = 1577836800.0, 253402300799.0
"""From 2020 to the last second of the year 9999. What is not within is a counter, or in milliseconds."""

_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


def capture(kwargs: dict[str, Any]) -> dict[str, Any] | None:
    """Read the event of one call, or None where no provider was asked for anything."""
    payload = _dict(_dict(kwargs).get("standard_logging_object"))
    error = _dict(payload.get("error_information"))
    failed = _string(payload.get("status")) == "failure"
    if not payload or (failed and not _label(error.get("llm_provider"))):
        return None
    status = "failure" if failed else "success"
    metadata = _dict(payload.get("metadata"))
    headers = _headers(kwargs, metadata)
    tokens_in = _tokens(payload.get("prompt_tokens")) or 0
    tokens_out = _tokens(payload.get("completion_tokens")) or 0
    provider = _label(payload.get("custom_llm_provider")) or _label(kwargs.get("custom_llm_provider"))
    event = {
        "userId": _user(kwargs, payload, metadata),
        "model": _model(kwargs.get("model"), provider) or _model(payload.get("model"), provider) or UNKNOWN,
        "provider": _cut(provider, PROVIDER_MAX) if provider else UNKNOWN,
        "tokens_in": tokens_in,
        "tokens_out": tokens_out,
        **_times(payload, failed),
        "costUSD": _cost(payload, has_tokens=tokens_in + tokens_out > 0),
        "eventId": _event_id(kwargs, payload, headers, status),
        "status": status,
        "callType": _label(payload.get("call_type")),
        "modelGroup": _label(payload.get("model_group")),
        "teamId": _label(metadata.get("user_api_key_team_id")),
        "keyAlias": _label(metadata.get("user_api_key_alias")),
        "conversationId": _conversation(payload, headers),
        "errorCode": _label(error.get("error_code")) or _label(error.get("error_class")),
        **_token_details(_dict(metadata.get("usage_object"))),
        "stream": _bool(payload.get("stream")),
        "cacheHit": _bool(payload.get("cache_hit")),
        "tags": _tags(payload.get("request_tags")),
    }
    return {name: value for name, value in event.items() if value is not None}


def encode(event: dict[str, Any]) -> bytes:
    """Write an event as one line of JSON; of one that is too large the labels go, never the cost."""
    line = _json(event)
    room = LEDGER_BYTES_MAX - LEDGER_BYTES_OWN - _key_bytes(event)
    if len(line) <= room:
        return line
    event = dict(event)
    for label in LABELS:
        if event.pop(label, None) is not None and len(line := _json(event)) <= room:
            return line
    return _json(event | {"model": _cut(event["model"], MODEL_BYTES_MIN)})


def _json(event: dict[str, Any]) -> bytes:
    return _to_json(event).encode() + b"\n"


def _key_bytes(event: dict[str, Any]) -> int:
    return _escaped_bytes(event["userId"]) + len(event.get("eventId", "").encode())


def _escaped_bytes(user_id: str) -> int:
    return len(user_id.encode()) + 2 * (user_id.count("#") + user_id.count("%"))


def _event_id(
    kwargs: dict[str, Any], payload: dict[str, Any], headers: dict[str, object], status: str
) -> str | None:
    """The call id and the status: a retry that works after a failure is an event of its own.

    A caller may choose the call id, by a header. So that nobody hides a request behind the id of an
    earlier one, such an id counts together with the time of the try.
    """
    call_id = _text_only(kwargs.get("litellm_call_id")) or _text_only(payload.get("litellm_call_id"))
    if not call_id or not (call_id := call_id[:CALL_ID_READ]).strip():
        return None
    is_usable = len(call_id) <= CALL_ID_MAX and call_id.isascii() and not is_unfilled(call_id)
    if is_usable and CALL_ID_HEADER not in headers:
        return f"{call_id}:{status}"
    chosen = f"{_instant(payload.get('startTime'))} {call_id}".encode("utf-8", "surrogatepass")
    return f"{blake2b(chosen, digest_size=16).hexdigest()}:{status}"


def _user(kwargs: dict[str, Any], payload: dict[str, Any], metadata: dict[str, Any]) -> str:
    return (
        _user_id(payload.get("end_user"))
        or _user_id(kwargs.get("user"))
        or _user_id(_dict(_dict(kwargs.get("litellm_params")).get("metadata")).get("user_id"))
        or _user_id(_dict(metadata.get("requester_metadata")).get("user_id"))
        or _key_user(metadata)
        or UNKNOWN
    )


def _key_user(metadata: dict[str, Any]) -> str | None:
    user_id = _user_id(metadata.get("user_api_key_user_id"))
    return user_id if user_id != MASTER_KEY_USER else None


def _user_id(value: object) -> str | None:
    text = _string(value)
    if not text or len(text) > USER_ID_MAX or not names_someone(text) or text != _text(text):
        return None
    return text if len(text.encode()) + _escaped_bytes(text) <= USER_ID_BYTES_MAX else None


def _model(value: object, provider: str | None) -> str | None:
    model = (_string(value) or "")[: LABEL_MAX + MODEL_MAX + 1]
    model = _text(model.removeprefix(f"{provider}/") if provider else model)[:MODEL_MAX]
    return model if model.strip() else None


def _times(payload: dict[str, Any], failed: bool) -> dict[str, Any]:
    """`ts`, `latency` and `timeToFirstToken`: LiteLLM's payload has them in seconds since 1970."""
    start, end = _instant(payload.get("startTime")), _instant(payload.get("endTime"))
    if start is None:
        start = end if end is not None else time.time()
    times: dict[str, Any] = {
        "ts": datetime.fromtimestamp(start, UTC).isoformat(timespec="microseconds")[:-6] + "Z",
        "latency": _duration(start, end),
    }
    if payload.get("stream") is True:
        first = _instant(payload.get("completionStartTime"))
        if first is not None and not (failed and first == end):  # the end stands in where no token came
            times["timeToFirstToken"] = _duration(start, first)
    return times


def _duration(start: float, end: float | None) -> float:
    return round(min(max(end - start, 0.0), SECONDS_MAX), 6) if end is not None else 0.0


def _token_details(usage: dict[str, Any]) -> dict[str, int | None]:
    prompt, completion = (
        _dict(usage.get("prompt_tokens_details")),
        _dict(usage.get("completion_tokens_details")),
    )
    written = _tokens(prompt.get("cache_write_tokens"))
    return {
        "tokens_cached": _tokens(prompt.get("cached_tokens")),
        "tokens_cache_write": written,
        "tokens_reasoning": _tokens(completion.get("reasoning_tokens")),
    }


def _cost(payload: dict[str, Any], has_tokens: bool) -> float | None:
    """The dollars that LiteLLM knows, as its float: JSON then holds `repr` of it, which is exact. Or None."""
    if payload.get("cache_hit") is True:
        return 0
    known = payload.get("response_cost")
    cost = _number(known)
    if known is None or cost == 0:
        return 0 if not has_tokens or _is_free(payload) else None
    return cost if cost is not None and COST_MIN <= cost <= COST_MAX else None


def _is_free(payload: dict[str, Any]) -> bool:
    """Tell a model that LiteLLM knows to be free from one that it has no price for: both have rates of 0."""
    model = _dict(_dict(payload.get("model_map_information")).get("model_map_value"))
    if not _label(model.get("mode")):
        return False
    looked_at = list(islice(_rates(model), RATES_MAX))
    rates = [rate for rate in looked_at if rate is not None]
    return bool(rates) and len(looked_at) < RATES_MAX and not any(rates)


def _rates(value: Any, is_rate: bool = False, depth: int = 5) -> Iterator[float | None]:
    """Every number under a name with `cost` in it, also within lists of tiers; None for all else."""
    yield _number(value) if is_rate else None
    if isinstance(value, dict) and depth:
        for name, inner in value.items():
            yield from _rates(inner, is_rate or (isinstance(name, str) and "cost" in name), depth - 1)
    elif isinstance(value, list) and depth:
        for inner in value:
            yield from _rates(inner, is_rate, depth - 1)


def _conversation(payload: dict[str, Any], headers: dict[str, object]) -> str | None:
    session = _label(payload.get("session_id"))
    if session and names_someone(session):
        return session
    conversation = _label(headers.get(CONVERSATION_HEADER))
    return conversation if conversation and names_someone(conversation) else None


def _headers(kwargs: dict[str, Any], metadata: dict[str, Any]) -> dict[str, object]:
    """The caller's headers that matter, from wherever LiteLLM has them for this kind of call."""
    request = _dict(_dict(kwargs.get("litellm_params")).get("proxy_server_request"))
    found: dict[str, object] = {}
    for headers in (
        request.get("headers"),
        metadata.get("requester_custom_headers"),
        _dict(metadata.get("requester_metadata")).get("headers"),
    ):
        named = _dict(headers)
        if len(named) > HEADERS_MAX:  # no client sends as many: the call id may be hidden among them
            found[CALL_ID_HEADER] = True
            continue
        for name, value in named.items():
            matters = isinstance(name, str) and len(name) in _HEADER_LENGTHS and name.lower() in HEADERS
            if matters and value is not None and _string(value) != "":
                found[name.lower()] = value
    return found


def _tags(value: object) -> list[str] | None:
    tags = map(_label, value[: 2 * TAGS_MAX]) if isinstance(value, list) else ()
    return [tag for tag in tags if tag and not tag.startswith(LITELLM_TAG)][:TAGS_MAX] or None


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _bool(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _number(value: Any) -> int | float | None:
    """A number as JSON has it, whatever kind of one it is."""
    if isinstance(value, float):
        return float.__float__(value)
    return int.__int__(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _instant(value: Any) -> float | None:
    number = _number(value)
    return float(number) if number is not None and TS_MIN <= number <= TS_MAX else None


def _tokens(value: object) -> int | None:
    if value is None:
        return None
    number = _number(value)
    if isinstance(number, float):
        number = int(number) if math.isfinite(number) and number.is_integer() else None
    return number if number is not None and 0 <= number <= TOKENS_MAX else None


def _text_only(value: object) -> str | None:
    """Text without what a class of its own makes of it."""
    return str.__str__(value) if isinstance(value, str) else None


def _string(value: object) -> str | None:
    """Text as it is, and whole numbers as text: an id is often one."""
    if type(value) is str:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    number = _number(value)
    return str(number) if isinstance(number, int) and abs(number) < 10**USER_ID_MAX else None


def _label(value: object) -> str | None:
    if value is None:  # most of them
        return None
    text = (_string(value) or "")[:LABEL_MAX]
    return _text(text) if text and not text.isspace() else None


def _text(text: str) -> str:
    """The same text, but for what UTF-8 cannot hold (half a surrogate pair)."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _cut(text: str, size: int) -> str:
    """The beginning of a text, of at most so many bytes."""
    if len(text) <= size and text.isascii():
        return text
    return text.encode()[:size].decode("utf-8", "ignore")
