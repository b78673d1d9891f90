"""An event's id: the same however often LiteLLM tells of a call, another one for each paid call."""

import copy
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from request_events.capture import capture
from request_events.event import RequestEvent
from request_events.event_id import _READS_OF
from tests.unit.callback.recorded import PAYLOADS
from tests.unit.callback.test_capture import GARBAGE, READ, on_the_wire, put
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
NOT_CHARGED = [
    *("afile_content", "afile_list", "acreate_file", "afile_delete", "alist_batches", "acreate_batch"),
    *("acancel_batch", "alist_input_items", "adelete_responses", "aget_responses", "list_mcp_tools"),
    *("avideo_content", "avideo_list", "aretrieve_fine_tuning_job", "avector_store_file_list"),
]


CHARGED = [
    *("acompletion", "aembedding", "aresponses", "anthropic_messages", "aimage_generation", "aspeech"),
    *(
        "atranscription",
        "arerank",
        "atext_completion",
        "pass_through_endpoint",
        "call_mcp_tool",
        "agenerate_content",
    ),
    *("avideo_generation", "avector_store_search", "asearch", "aocr", "acreate_video", "_arealtime", ""),
]

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


@pytest.mark.parametrize("call_id", ["x" * 500, "é" * 100, "{{ID}}"])
def test_a_call_id_that_cannot_be_an_event_id_has_a_stand_in(kwargs: dict[str, Any], call_id: str) -> None:
    first, second = on_the_wire(kwargs | {"litellm_call_id": call_id}), on_the_wire(kwargs)
    assert first["eventId"] == on_the_wire(kwargs | {"litellm_call_id": call_id})["eventId"]
    assert ":success:" in first["eventId"]
    assert first["eventId"] != second["eventId"]
    RequestEvent.model_validate(first)


@pytest.mark.parametrize("place", ["requester_metadata", "requester_custom_headers"])
def test_a_caller_cannot_hide_a_request_behind_the_id_of_an_earlier_one(
    kwargs: dict[str, Any], payload: dict[str, Any], place: str
) -> None:
    headers = {"X-LiteLLM-Call-Id": kwargs["litellm_call_id"]}
    payload["metadata"][place] = {"headers": headers} if place == "requester_metadata" else headers
    first, again = on_the_wire(kwargs), on_the_wire(kwargs)
    payload["startTime"] += 0.25
    later = on_the_wire(kwargs)
    assert first["eventId"] == again["eventId"] != later["eventId"]


@pytest.mark.parametrize(
    "change",
    [{"startTime": 1795418609.000001}, {"call_type": "call_mcp_tool"}, {"status": "failure"}],
    ids=["start", "kind", "status"],
)
def test_calls_of_one_call_id_that_differ_are_events_of_their_own(
    kwargs: dict[str, Any], payload: dict[str, Any], change: dict[str, Any]
) -> None:
    payload["error_information"] = {"llm_provider": "openai"}
    first = on_the_wire(kwargs)
    payload |= change
    second = on_the_wire(kwargs)
    assert first["eventId"] != second["eventId"]
    for each in (first, second):
        assert each["eventId"].startswith(f"{kwargs['litellm_call_id']}:")


def test_two_failures_of_one_call_that_were_both_charged_are_two_events() -> None:
    kwargs = copy.deepcopy(PAYLOADS["flaky_retry_async_failure"])
    payload = kwargs["standard_logging_object"]
    payload |= {"prompt_tokens": 1200, "completion_tokens": 7, "response_cost": 0.003}
    payload["error_information"] = {"error_class": "ReadError"}
    broken = on_the_wire(kwargs)
    payload |= {"startTime": payload["endTime"], "model_group": "fallback"}
    assert on_the_wire(kwargs)["eventId"] != broken["eventId"]
    assert broken["costUSD"] == Decimal("0.003")


@pytest.mark.parametrize("call_type", NOT_CHARGED)
@pytest.mark.parametrize("status", ["success", "failure"])
def test_reading_what_exists_is_no_event(
    kwargs: dict[str, Any], payload: dict[str, Any], call_type: str, status: str
) -> None:
    payload |= {"call_type": call_type, "status": status, "error_information": {"llm_provider": "openai"}}
    assert capture(kwargs) is None


@pytest.mark.parametrize("call_type", CHARGED)
def test_what_is_made_is_an_event(kwargs: dict[str, Any], payload: dict[str, Any], call_type: str) -> None:
    payload["call_type"] = call_type
    assert on_the_wire(kwargs)["costUSD"] == Decimal("0.00475")


@pytest.fixture
def read(kwargs: dict[str, Any], payload: dict[str, Any]) -> dict[str, Any]:
    """A read of a background response that is complete."""
    payload |= {"call_type": "aget_responses", "response": {"status": "completed", "background": True}}
    kwargs["response_id"] = "resp_1"
    return kwargs


def test_a_background_response_counts_once_however_often_it_is_read(
    read: dict[str, Any], payload: dict[str, Any]
) -> None:
    first = on_the_wire(read)
    payload["startTime"] += 60
    again = on_the_wire(read | {"litellm_call_id": "another"})
    other = on_the_wire(read | {"response_id": "resp_2"})
    assert first["costUSD"] == Decimal("0.00475")
    assert first["eventId"] == again["eventId"] != other["eventId"]
    assert first["eventId"] not in ("resp_1", "response:resp_1")


@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_a_read_of_a_background_response_that_is_not_complete_takes_no_id(
    read: dict[str, Any], payload: dict[str, Any], status: str
) -> None:
    payload["response"]["status"] = status
    assert capture(read) is None
    payload |= {"prompt_tokens": 0, "completion_tokens": 0, "response_cost": 0.0, "call_type": "aresponses"}
    assert capture(read) is None  # when it is made


def test_a_batch_counts_once_when_it_is_complete(kwargs: dict[str, Any], payload: dict[str, Any]) -> None:
    payload |= {"call_type": "aretrieve_batch", "id": "batch_1", "model": "unknown"}
    payload["hidden_params"] = {"batch_models": ["gpt-4o-mini", "gpt-4o-mini"]}
    first = on_the_wire(kwargs | {"model": None})
    payload["startTime"] += 60
    assert on_the_wire(kwargs | {"litellm_call_id": "another"})["eventId"] == first["eventId"]
    assert (first["model"], first["costUSD"]) == ("gpt-4o-mini", Decimal("0.00475"))
    payload |= {"prompt_tokens": 0, "completion_tokens": 0, "response_cost": 0.0}
    assert capture(kwargs) is None
