"""Which of LiteLLM's reports become events, and under which id.

LiteLLM also reports what costs nothing: requests that it rejected itself, files, lists, reads of a response
that is charged already. And it reports several charged calls under one call id: the rounds of a tool loop, a
retry, a fallback.
"""

import re
from hashlib import blake2b
from typing import Any

from request_events.cost import CLIENT_CLOSED_REQUEST, FAILURE, SUCCESS, has_usage, status_of
from request_events.limits import EVENT_ID_MAX, is_unfilled
from request_events.payload_values import as_dict, as_instant, as_label, as_text

RESPONSES, BATCHES = "response", "batch"
_READS_OF = {
    **dict.fromkeys(("aget_responses", "get_responses", "acancel_responses", "cancel_responses"), RESPONSES),
    **dict.fromkeys(("aretrieve_batch", "retrieve_batch"), BATCHES),
}
"""Calls that read a background response or a batch: the first that sees it complete makes the event."""
_NO_CHARGE = re.compile(
    r"a?(get|list|retrieve|delete|cancel)_"
    r"|a?file_|a?create_(batch|file|thread|assistants|skill)$|a?_?add_message$"
    r"|a?(video|vector_store|vector_store_file)_(retrieve|content|list|delete|get)"
)
"""Calls that only read, or store something for later: another call is charged, or none."""
_UNFINISHED = ("queued", "in_progress", "validating", "finalizing", "cancelling")

DIGEST_BYTES = 8
OWN_ID_BYTES = 16
CALL_ID_MAX = EVENT_ID_MAX - len(f":{SUCCESS}:") - 2 * DIGEST_BYTES
CALL_ID_READ = 10_000  # how many characters of an id are read


def event_id_of(kwargs: dict[str, Any], payload: dict[str, Any]) -> str | None:
    """The event's id, or "" where LiteLLM names no call. None where the report is not an event.

    Repeated reports of one call get the same id, and every charged call gets an id of its own.
    """
    call_type = as_label(payload.get("call_type")) or ""
    if kind := _READS_OF.get(call_type):
        return _background_id(kind, kwargs, payload)
    if _NO_CHARGE.match(call_type):
        return None
    if as_dict(payload.get("response")).get("background") is True:  # a read will see it complete
        return _background_id(RESPONSES, kwargs, payload)
    if status_of(payload) == FAILURE and not _reached_provider(payload):
        return None
    return _call_id(kwargs, payload, call_type)


def _reached_provider(payload: dict[str, Any]) -> bool:
    """Whether a failed request was sent to a provider, or charged, and not rejected by LiteLLM itself.

    Where LiteLLM cancels a call because its client left (`cancel_on_disconnect`), the error names no
    provider.
    """
    error = as_dict(payload.get("error_information"))
    provider = error.get("llm_provider")
    if as_label(error.get("error_code")) == CLIENT_CLOSED_REQUEST:
        provider = provider or payload.get("custom_llm_provider")
    return bool(as_label(provider)) or has_usage(payload)


def _background_id(kind: str, kwargs: dict[str, Any], payload: dict[str, Any]) -> str | None:
    """The id of a background response or a batch, the same for all its reads. None until it is complete."""
    response = as_dict(payload.get("response"))
    is_background = kind == BATCHES or response.get("background") is True
    if not is_background or response.get("status") in _UNFINISHED or not has_usage(payload):
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
    """The call id, the status, and a digest that tells calls of one call id apart: their type and start.

    A caller can choose the call id, but cannot hide a call behind an earlier event of that id, because nobody
    knows in advance the microsecond in which a call will start.
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
