"""Rules of this API that OpenAPI cannot express. Everything else that schemathesis finds is a failure."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import schemathesis
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.core.transport import Response
from schemathesis.openapi.checks import UnsupportedMethodResponse

EXAMPLE_TIMES = ("2026-11-23T07:23:28.164Z", "2026-11-23T08:00:00Z")
OF_WHAT = ("userId", "teamId", "keyAlias", "tag", "model", "provider", "day")
LABELS = ("tags", "callType", "modelGroup", "teamId", "keyAlias", "conversationId", "errorCode")


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Make a request of the schema really valid: then it must be accepted."""
    is_valid = case.meta is not None and case.meta.generation.mode.is_positive
    if case.method == "POST":
        for event in filter(_is_event, case.body if isinstance(case.body, list) else [case.body]):
            if is_valid or event.get("ts") in EXAMPLE_TIMES:
                event["ts"] = datetime.now(UTC).isoformat()
            if is_valid:
                _make_storable(event)
    elif case.method == "GET" and is_valid:
        _make_answerable(case.query, is_summaries=case.path == "/api/summaries")


def _is_event(value: Any) -> bool:
    return isinstance(value, dict)


def _make_storable(event: dict[str, Any]) -> None:
    """Numbers of 38 places; 2,048 bytes in the ledger."""
    for name in (
        "latency",
        "timeToFirstToken",
        "costEUR",
        "costUSD",
        "costInputUSD",
        "costOutputUSD",
        "costToolsUSD",
    ):
        if isinstance(event.get(name), float):
            event[name] = round(event[name], 20)
    if len(json.dumps(event, ensure_ascii=False).encode()) > 1500:
        for name in LABELS:
            event.pop(name, None)
    for name in ("userId", "eventId"):
        if isinstance(event.get(name), str) and len(event[name].encode()) > 200:
            event[name] = "alice"


def _make_answerable(query: dict[str, Any], *, is_summaries: bool) -> None:
    """Of one thing alone; only a cursor that the API returned; at most 366 days, `from` before `to`."""
    if is_summaries:
        first, *others = [name for name in OF_WHAT if name in query] or ["userId"]
        query.setdefault(first, "alice")
        for name in others:
            del query[name]
    if "cursor" in query:
        query["cursor"] = ""
    for name in ("from", "to"):
        if name in query:
            query[name] = (date(2026, 1, 1) + timedelta(days=30 * (name == "to"))).isoformat()


@schemathesis.hook
def filter_failure(context: Any, failure: Failure, case: Any, response: Response) -> bool:
    """Accept responses that are right although the document does not say so."""
    if isinstance(failure, AcceptedNegativeData) and isinstance(case.body, list):
        # An array is accepted, and its invalid events are rejected one by one.
        return not (response.status_code == 200 and response.json()["rejected"])
    if isinstance(failure, UnsupportedMethodResponse):
        # API Gateway has no 405: a method without a route is a 404, as the document says.
        return not (response.status_code == 404 and response.json() == {"message": "Not Found"})
    return True
