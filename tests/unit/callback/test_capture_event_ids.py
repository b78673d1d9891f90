"""An event's id: the same however often LiteLLM tells of a call, another one for each paid call."""

import copy
import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from request_events.event_id import _READS_OF
from tests.unit.callback.test_capture import CHARGED, GARBAGE, PAYLOADS, READ, on_the_wire, put
from tests.unit.callback.test_capture_reported_cases import CASES

REAL: dict[str, dict[str, Any]] = PAYLOADS | {
    f"{name} {number}": call["kwargs"] for name, calls in CASES.items() for number, call in enumerate(calls)
}
ONE_ID_EACH = sorted(
    name
    for name, kwargs in REAL.items()
    if on_the_wire(kwargs) and kwargs["standard_logging_object"]["call_type"] not in _READS_OF
)
"""Those whose id is of a call, not of a background response or a batch."""
MICROSECONDS_OF_A_YEAR = 31_536_000 * 10**6

CALL = PAYLOADS["plain_async_success"]
READ_OF_A_RESPONSE = {"call_type": "aget_responses", "response": {"status": "completed", "background": True}}
READ_OF_A_BATCH = {"call_type": "aretrieve_batch", "id": "batch_1", "response": {"status": "completed"}}


@pytest.mark.parametrize(
    ("details", "payload", "event_id"),
    [
        ({}, {}, "7396d650-5725-4480-a15e-d9a34b228097:success:bbcd079607a8f74c"),
        ({"litellm_call_id": "{{ID}}"}, {}, "9a76637f06952405db15cde5ba775125:success:bbcd079607a8f74c"),
        ({"response_id": "resp_1"}, READ_OF_A_RESPONSE, "response:81ca300a4bf46715b10c32b0c3c466e5"),
        ({}, READ_OF_A_BATCH, "batch:b465b291b069fe1a61b32e0e06dc078a"),
    ],
)
def test_an_id_stays_the_same_in_later_versions(
    details: dict[str, Any], payload: dict[str, Any], event_id: str
) -> None:
    """Else an update counts twice what is read, or reported, before and after it."""
    changed = CALL | details | {"standard_logging_object": CALL["standard_logging_object"] | payload}
    assert on_the_wire(changed)["eventId"] == event_id


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(REAL)), st.dictionaries(st.sampled_from(READ), GARBAGE, max_size=6))
def test_the_same_payload_has_the_same_id_however_often_it_is_reported(
    name: str, changes: dict[str, Any]
) -> None:
    kwargs = copy.deepcopy(REAL[name])
    for path in sorted(changes, reverse=True):
        put(kwargs, path, changes[path])
    first, again = on_the_wire(kwargs), on_the_wire(copy.copy(kwargs))
    assert (first and first.get("eventId")) == (again and again.get("eventId"))


@given(st.sampled_from(sorted(REAL)))
def test_another_worker_that_reads_it_from_json_has_the_same_id(name: str) -> None:
    first, other = on_the_wire(REAL[name]), on_the_wire(json.loads(json.dumps(REAL[name])))
    assert first == other


@settings(deadline=None)
@given(st.sampled_from(ONE_ID_EACH), st.integers(1, MICROSECONDS_OF_A_YEAR))
def test_another_start_is_another_charge(name: str, later: int) -> None:
    first = on_the_wire(REAL[name])
    kwargs = copy.deepcopy(REAL[name])
    payload = kwargs["standard_logging_object"]
    begin = round(payload["startTime"] * 10**6)
    payload["startTime"] = (begin + later) / 10**6
    assume(round(payload["startTime"] * 10**6) != begin)
    assert on_the_wire(kwargs)["eventId"] != first["eventId"]


@settings(deadline=None)
@given(st.sampled_from(ONE_ID_EACH), st.sampled_from(CHARGED))
def test_another_kind_of_call_is_another_charge(name: str, call_type: str) -> None:
    first = on_the_wire(REAL[name])
    kwargs = copy.deepcopy(REAL[name])
    payload = kwargs["standard_logging_object"]
    assume(payload["call_type"] != call_type)
    payload["call_type"] = call_type
    assert on_the_wire(kwargs)["eventId"] != first["eventId"]


def test_of_all_real_payloads_no_two_charges_share_an_id() -> None:
    """But for those that LiteLLM tells twice: a background response that is read again."""
    ids = [event["eventId"] for event in map(on_the_wire, REAL.values()) if event]
    again = [event_id for event_id in ids if ids.count(event_id) > 1]
    assert {event_id.split(":")[0] for event_id in again} <= {"response", "batch"}
