"""Turns what LiteLLM hands its callbacks about one call into one RequestEvent, as JSON.

Only named fields of LiteLLM's payload are read: the rest holds prompts, responses and keys. Callers choose
parts of it, so no value is trusted: one of the wrong type reads as unknown, and of a large one no more is
read than an event can hold.
"""

import json
import re
import time
from datetime import UTC, datetime
from typing import Any

from request_events.cost import CLIENT_CLOSED_REQUEST, COST_MIN, FAILURE, cost_of, status_of
from request_events.event_id import event_id_of
from request_events.limits import (
    COST_MAX,
    EVENT_BYTES_MAX,
    LABEL_MAX,
    LABELS,
    MODEL_MAX,
    PROVIDER_MAX,
    SECONDS_MAX,
    TAGS_MAX,
    TIER_MAX,
    UNKNOWN,
    USER_ID_MAX,
    names_someone,
)
from request_events.payload_values import (
    as_bool,
    as_dict,
    as_instant,
    as_label,
    as_number,
    as_string,
    as_tokens,
    cut,
    encodable,
)

LEDGER_BYTES_OWN = 100  # bytes of the fields that the service adds to an event in the ledger, without its key
USER_ID_BYTES_MAX = 1280  # of both places where the ledger holds a user id; in one, `#` and `%` are escaped
DISPENSABLE = ("tags", *LABELS, "source", "serviceTier", "costInputUSD", "costOutputUSD", "costToolsUSD")
"""Fields that an event which is too large loses, in this order."""
MODEL_BYTES_MIN = 128  # where that is not enough, the model's name is cut to so many bytes
CONVERSATION_HEADER = "x-librechat-conversation-id"
BATCH_MAX = 100_000  # the largest batch, in requests, that a provider accepts (Anthropic)
HEADERS_MAX = 1000  # a request with more headers is treated as having none: no client sends as many
LITELLM_TAG = "User-Agent:"
MASTER_KEY_USER = "default_user_id"

_SESSION = re.compile(r"_session_[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")

_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


def capture(kwargs: dict[str, Any], source: str | None = None) -> dict[str, Any] | None:
    """The event of one call, or None where the report is not an event. `source` names the reporter."""
    payload = as_dict(as_dict(kwargs).get("standard_logging_object"))
    if not payload or (event_id := event_id_of(kwargs, payload)) is None:
        return None
    status = status_of(payload)
    metadata = as_dict(payload.get("metadata"))
    error = as_dict(payload.get("error_information"))
    error_code = as_label(error.get("error_code")) or as_label(error.get("error_class"))
    provider = as_label(payload.get("custom_llm_provider")) or as_label(kwargs.get("custom_llm_provider"))
    cost = cost_of(payload)
    event = {
        "userId": _user(kwargs, payload, metadata),
        "model": _model_of(kwargs, payload, provider),
        "provider": cut(provider, PROVIDER_MAX) if provider else UNKNOWN,
        "tokens_in": as_tokens(payload.get("prompt_tokens")) or 0,
        "tokens_out": as_tokens(payload.get("completion_tokens")) or 0,
        **_times(payload, status == FAILURE),
        "costUSD": cost,
        "eventId": event_id or None,
        "status": status,
        "callType": as_label(payload.get("call_type")),
        "modelGroup": as_label(payload.get("model_group")),
        "teamId": as_label(metadata.get("user_api_key_team_id")),
        "keyAlias": as_label(metadata.get("user_api_key_alias")),
        "conversationId": _conversation(kwargs, payload, metadata),
        "errorCode": error_code,
        **_token_details(as_dict(metadata.get("usage_object"))),
        "stream": as_bool(payload.get("stream")),
        "cacheHit": as_bool(payload.get("cache_hit")),
        "estimated": True if status != FAILURE and error_code == CLIENT_CLOSED_REQUEST else None,
        "serviceTier": _service_tier(payload, metadata),
        **(_cost_parts(payload) if cost else {}),
        "source": source,
        "tags": _tags(payload.get("request_tags")),
    }
    return {name: value for name, value in event.items() if value is not None}


def encode(event: dict[str, Any]) -> bytes:
    """Write an event as one line of JSON. One that is too large loses DISPENSABLE fields, never its cost."""
    line = _json(event)
    room = EVENT_BYTES_MAX - LEDGER_BYTES_OWN - _key_bytes(event)
    if len(line) <= room:
        return line
    event = dict(event)
    for name in DISPENSABLE:
        if event.pop(name, None) is not None and len(line := _json(event)) <= room:
            return line
    return _json(event | {"model": cut(event["model"], MODEL_BYTES_MIN)})


def _json(event: dict[str, Any]) -> bytes:
    return _to_json(event).encode() + b"\n"


def _key_bytes(event: dict[str, Any]) -> int:
    return _escaped_bytes(event["userId"]) + len(event.get("eventId", "").encode())


def _escaped_bytes(user_id: str) -> int:
    return len(user_id.encode()) + 2 * (user_id.count("#") + user_id.count("%"))


def _user(kwargs: dict[str, Any], payload: dict[str, Any], metadata: dict[str, Any]) -> str:
    return (
        _user_id(payload.get("end_user"))
        or _user_id(kwargs.get("user"))
        or _user_id(as_dict(as_dict(kwargs.get("litellm_params")).get("metadata")).get("user_id"))
        or _user_id(as_dict(metadata.get("requester_metadata")).get("user_id"))
        or _key_user(metadata)
        or UNKNOWN
    )


def _key_user(metadata: dict[str, Any]) -> str | None:
    user_id = _user_id(metadata.get("user_api_key_user_id"))
    return user_id if user_id != MASTER_KEY_USER else None


def _user_id(value: object) -> str | None:
    text = as_string(value)
    if not text or len(text) > USER_ID_MAX or not names_someone(text) or text != encodable(text):
        return None
    if _is_session(text):
        return None
    return text if len(text.encode()) + _escaped_bytes(text) <= USER_ID_BYTES_MAX else None


def _is_session(text: str) -> bool:
    """Whether a text is a coding agent's session: a JSON object, or `user_..._session_<uuid>`."""
    if text.lstrip().startswith("{"):
        try:
            return isinstance(json.loads(text), dict)
        except ValueError:
            return False
    return bool(_SESSION.search(text))


def _model_of(kwargs: dict[str, Any], payload: dict[str, Any], provider: str | None) -> str:
    return (
        _batch_model(payload, provider)
        or _model(kwargs.get("model"), provider)
        or _model(payload.get("model"), provider)
        or UNKNOWN
    )


def _batch_model(payload: dict[str, Any], provider: str | None) -> str | None:
    """The model of a batch, if all its requests name the same one: LiteLLM lists one name a request."""
    models = as_dict(payload.get("hidden_params")).get("batch_models")
    if not isinstance(models, list) or len(models) > BATCH_MAX or set(map(type, models)) != {str}:
        return None
    return _model(models[0], provider) if models.count(models[0]) == len(models) else None


def _model(value: object, provider: str | None) -> str | None:
    model = (as_string(value) or "")[: LABEL_MAX + MODEL_MAX + 1]
    model = encodable(model.removeprefix(f"{provider}/") if provider else model)[:MODEL_MAX]
    return model if model.strip() else None


def _times(payload: dict[str, Any], failed: bool) -> dict[str, Any]:
    """`ts`, `latency` and `timeToFirstToken`: LiteLLM's payload has them in seconds since 1970."""
    start, end = as_instant(payload.get("startTime")), as_instant(payload.get("endTime"))
    if start is None:
        start = end if end is not None else time.time()
    times: dict[str, Any] = {
        "ts": datetime.fromtimestamp(start, UTC).isoformat(timespec="microseconds")[:-6] + "Z",
        "latency": _duration(start, end),
    }
    if payload.get("stream") is True:
        first = as_instant(payload.get("completionStartTime"))
        if first is not None and not (failed and first == end):  # LiteLLM sets it to the end if no token came
            times["timeToFirstToken"] = _duration(start, first)
    return times


def _duration(start: float, end: float | None) -> float:
    return round(min(max(end - start, 0.0), SECONDS_MAX), 6) if end is not None else 0.0


def _token_details(usage: dict[str, Any]) -> dict[str, int | None]:
    prompt = as_dict(usage.get("prompt_tokens_details"))
    completion = as_dict(usage.get("completion_tokens_details"))
    return {
        "tokens_cached": as_tokens(prompt.get("cached_tokens")),
        "tokens_cache_write": as_tokens(prompt.get("cache_write_tokens")),
        "tokens_reasoning": as_tokens(completion.get("reasoning_tokens")),
    }


def _service_tier(payload: dict[str, Any], metadata: dict[str, Any]) -> str | None:
    """The tier that the provider served: by which LiteLLM priced the call, else which the provider named."""
    for place in (payload.get("cost_breakdown"), metadata.get("usage_object"), payload.get("response")):
        if isinstance(place, dict) and (tier := as_label(place.get("service_tier"))):
            return cut(tier, TIER_MAX)
    return None


def _cost_parts(payload: dict[str, Any]) -> dict[str, float | None]:
    """Parts of the cost, where LiteLLM knows them."""
    parts = as_dict(payload.get("cost_breakdown"))
    return {
        "costInputUSD": _part(parts.get("input_cost")),
        "costOutputUSD": _part(parts.get("output_cost")),
        "costToolsUSD": _part(parts.get("tool_usage_cost")) or None,  # 0 in nearly all calls
    }


def _part(value: object) -> float | None:
    number = as_number(value)
    return number if number is not None and (number == 0 or COST_MIN <= number <= COST_MAX) else None


def _conversation(kwargs: dict[str, Any], payload: dict[str, Any], metadata: dict[str, Any]) -> str | None:
    session = as_label(payload.get("session_id"))
    if session and names_someone(session):
        return session
    conversation = as_label(_header(CONVERSATION_HEADER, kwargs, metadata))
    return conversation if conversation and names_someone(conversation) else None


def _header(wanted: str, kwargs: dict[str, Any], metadata: dict[str, Any]) -> object:
    """A header of the caller's request. LiteLLM keeps headers in several places; the last one counts."""
    request = as_dict(as_dict(kwargs.get("litellm_params")).get("proxy_server_request"))
    found: object = None
    for headers in (
        request.get("headers"),
        metadata.get("requester_custom_headers"),
        as_dict(metadata.get("requester_metadata")).get("headers"),
    ):
        named = as_dict(headers)
        if len(named) > HEADERS_MAX:
            continue
        for name in named:
            if isinstance(name, str) and len(name) == len(wanted) and name.lower() == wanted:
                value = named[name]
                found = value if value is not None and as_string(value) != "" else found
    return found


def _tags(value: object) -> list[str] | None:
    tags = map(as_label, value[: 2 * TAGS_MAX]) if isinstance(value, list) else ()
    return [tag for tag in tags if tag and not tag.startswith(LITELLM_TAG)][:TAGS_MAX] or None
