"""Which of LiteLLM's reports is a charge, under which id it counts, and what it costs.

LiteLLM reports more than charges: what it refused itself, reads of what was charged before, files, lists. And
it reports several charges under one call id: the rounds of a tool loop, a retry, a fallback.
"""

import re
from hashlib import blake2b
from itertools import repeat
from typing import Any

from request_events.limits import COST_MAX, EVENT_ID_MAX, is_unfilled
from request_events.payload_values import (
    as_dict,
    as_instant,
    as_label,
    as_number,
    as_string,
    as_text,
    as_tokens,
)

SUCCESS, FAILURE = "success", "failure"

RESPONSES, BATCHES = "response", "batch"
_READS_OF = {
    **dict.fromkeys(("aget_responses", "get_responses", "acancel_responses", "cancel_responses"), RESPONSES),
    **dict.fromkeys(("aretrieve_batch", "retrieve_batch"), BATCHES),
}
"""Calls that may be the first to see that something made in the background is complete."""
_NO_CHARGE = re.compile(
    r"a?(get|list|retrieve|delete|cancel)_"
    r"|a?file_|a?create_(batch|file|thread|assistants|skill)$|a?_?add_message$"
    r"|a?(video|vector_store|vector_store_file)_(retrieve|content|list|delete|get)"
)
"""Calls that read, or keep something for later: what it is about is charged elsewhere, or not at all."""
_UNFINISHED = ("queued", "in_progress", "validating", "finalizing", "cancelling")

DIGEST_BYTES = 8
OWN_ID_BYTES = 16
CALL_ID_MAX = EVENT_ID_MAX - len(f":{SUCCESS}:") - 2 * DIGEST_BYTES
CALL_ID_READ = 10_000
"""How much of an id is looked at."""

COST_MIN = 1e-21
"""A smaller float than this can have more decimal places than an event may, and is no price."""
VALUES_MAX = 1000
"""How many values of a model's entry in the price map are looked at."""

CLIENT_CLOSED_REQUEST = "499"
STREAM_HAD_BEGUN = "stream_had_begun"
"""In a payload of our own: the provider had answered before the stream ended, so it may charge."""
_TIME_OUTS = ("408", "504", CLIENT_CLOSED_REQUEST)


def charge_id(kwargs: dict[str, Any], payload: dict[str, Any]) -> str | None:
    """The id under which a report counts, or "" where LiteLLM names none. None where nothing is charged.

    It is the same however often the report comes, and another one for each charge.
    """
    call_type = as_label(payload.get("call_type")) or ""
    if kind := _READS_OF.get(call_type):
        return _background_id(kind, kwargs, payload)
    if _NO_CHARGE.match(call_type):
        return None
    if as_dict(payload.get("response")).get("background") is True:  # counts when a read sees it complete
        return _background_id(RESPONSES, kwargs, payload)
    if status_of(payload) == FAILURE and not _was_asked(payload):
        return None
    return _call_id(kwargs, payload, call_type)


def status_of(payload: dict[str, Any]) -> str:
    return FAILURE if as_string(payload.get("status")) == FAILURE else SUCCESS


def _was_asked(payload: dict[str, Any]) -> bool:
    """Tell a failure at a provider, or a charge for one, from what LiteLLM refused by itself.

    A call that it cancels because the client left (`cancel_on_disconnect`) names the provider elsewhere.
    """
    error = as_dict(payload.get("error_information"))
    provider = error.get("llm_provider")
    if as_label(error.get("error_code")) == CLIENT_CLOSED_REQUEST:
        provider = provider or payload.get("custom_llm_provider")
    return bool(as_label(provider)) or _has_use(payload)


def _has_use(payload: dict[str, Any]) -> bool:
    """Whether there are tokens, or a cost."""
    counts = (as_tokens(payload.get(name)) or 0 for name in ("prompt_tokens", "completion_tokens"))
    return any(counts) or (as_number(payload.get("response_cost")) or 0) > 0


def _background_id(kind: str, kwargs: dict[str, Any], payload: dict[str, Any]) -> str | None:
    """That of a background response or a batch, once it is complete; of all its reads the same."""
    response = as_dict(payload.get("response"))
    is_background = kind == BATCHES or response.get("background") is True
    if not is_background or response.get("status") in _UNFINISHED or not _has_use(payload):
        return None
    parameters = as_dict(kwargs.get("optional_params"))
    named = (
        (kwargs.get("response_id"), parameters.get("response_id"), response.get("id"))
        if kind == RESPONSES
        else (payload.get("id"), kwargs.get("batch_id"), response.get("id"))
    )
    own = next((text[:CALL_ID_READ] for text in map(as_text, named) if text), "")
    return f"{kind}:{_digest(OWN_ID_BYTES, own)}" if own else None


def _call_id(kwargs: dict[str, Any], payload: dict[str, Any], call_type: str) -> str:
    """The call id, the status, and what tells this call from others of that id: its kind and its start.

    So nobody hides a call behind an earlier one, by a call id of his own choice or by an event under that id:
    nobody knows the microsecond in which a call will begin.
    """
    call_id = as_text(kwargs.get("litellm_call_id")) or as_text(payload.get("litellm_call_id"))
    if not call_id or not (call_id := call_id[:CALL_ID_READ]).strip():
        return ""
    status = status_of(payload)
    is_usable = len(call_id) <= CALL_ID_MAX and call_id.isascii() and not is_unfilled(call_id)
    beginning = call_id if is_usable else _digest(OWN_ID_BYTES, call_id)
    return f"{beginning}:{status}:{_digest(DIGEST_BYTES, call_type, as_instant(payload.get('startTime')))}"


def _digest(size: int, *parts: object) -> str:
    return blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=size).hexdigest()


def cost_of(payload: dict[str, Any]) -> float | None:
    """US dollars, as LiteLLM's float: JSON holds its `repr`, which is exact. None where nobody knows."""
    if payload.get("cache_hit") is True:
        return 0
    known = payload.get("response_cost")
    cost = as_number(known)
    if known is None or cost == 0:
        return 0 if _is_free(payload) or _was_refused(payload) else None
    return cost if cost is not None and COST_MIN <= cost <= COST_MAX else None


def _was_refused(payload: dict[str, Any]) -> bool:
    """Tell a failure that nobody charges. After a time-out, or where the client left, the provider may."""
    error = as_dict(payload.get("error_information"))
    code, name = as_label(error.get("error_code")) or "", as_label(error.get("error_class")) or ""
    is_open = code in _TIME_OUTS or "timeout" in name.lower() or "cancelled" in name.lower()
    may_be_charged = is_open or payload.get(STREAM_HAD_BEGUN) is True
    return status_of(payload) == FAILURE and not _has_use(payload) and not may_be_charged


def _is_free(payload: dict[str, Any]) -> bool:
    """Tell a model that somebody declared to be free from one that LiteLLM has no price for.

    Both have rates of 0. Those that LiteLLM makes up are the int 0; in its map and in an operator's
    configuration they are floats (litellm 1.106.2 and 1.110.2).
    """
    if payload.get("response_cost_failure_debug_info"):
        return False
    model = as_dict(as_dict(payload.get("model_map_information")).get("model_map_value"))
    rates = _rates(model, VALUES_MAX)
    return any(isinstance(rate, float) for rate in rates) and not any(rates)


def _rates(model: dict[str, Any], budget: int) -> list[int | float]:
    """Every number under a name with `cost` in it, also within lists of tiers.

    None at all where a model has more values than the budget allows to look at.
    """
    rates: list[int | float] = []
    inside: list[tuple[Any, bool]] = [(model, False)]
    for value, is_rate in inside:  # which grows meanwhile
        budget -= len(value)
        if budget < 0:
            return []
        for name, each in value.items() if isinstance(value, dict) else zip(repeat(""), value, strict=False):
            if each is None:  # most of them
                continue
            named = is_rate or (isinstance(name, str) and "cost" in name)
            if isinstance(each, (dict, list)):
                inside.append((each, named))
            elif named and (rate := as_number(each)) is not None:
                rates.append(rate)
    return rates
