"""From what became of each event to the response."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from impact.http import HttpError, Response, respond
from impact.ledger_writer import WriteOutcome
from impact.types import FieldErrors

RETRY_AFTER = {"retry-after": "2"}


@dataclass(frozen=True)
class EventResult:
    """What became of an event: its outcome, or the errors that it was rejected for."""

    index: int  # its place in the array
    event_id: str | None
    outcome: WriteOutcome | None = None
    errors: FieldErrors | None = None


def single_response(result: EventResult) -> Response:
    """Answer a request with one event. Raises HttpError where it was rejected."""
    if result.errors:
        raise HttpError(422, "invalid", "The event is not valid.", result.errors)
    if result.outcome is WriteOutcome.RETRY:
        return respond(503, _unavailable(), RETRY_AFTER)
    is_new = result.outcome is WriteOutcome.CREATED
    status = "created" if is_new else "duplicate"
    return respond(201 if is_new else 200, {"eventId": result.event_id, "status": status})


def array_response(results: Sequence[EventResult]) -> Response:
    """Answer a request with an array of events."""
    outcomes = [result.outcome for result in results]
    body: dict[str, Any] = {
        "created": outcomes.count(WriteOutcome.CREATED),
        "duplicates": outcomes.count(WriteOutcome.DUPLICATE),
        "rejected": [_named(result) | {"errors": result.errors} for result in results if result.errors],
    }
    retry = [_named(result) for result in results if result.outcome is WriteOutcome.RETRY]
    return (
        respond(503, _unavailable() | body | {"retry": retry}, RETRY_AFTER) if retry else respond(200, body)
    )


def _named(result: EventResult) -> dict[str, Any]:
    return {"index": result.index, "eventId": result.event_id}


def _unavailable() -> dict[str, Any]:
    return HttpError(503, "storage", "Not all events could be stored. Send them again.").body
