"""From LiteLLM's payloads, recorded from real calls, to events."""

import copy
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impact.calendar import timestamp
from request_events.capture import capture, encode
from tests.events import NOON, entry_builder
from tests.unit.callback.recorded import PAYLOADS

BUILDER = entry_builder()
"""What the service itself says of an event."""


GPT_4O: dict[str, Any] = {
    "model": "gpt-4o",
    "provider": "openai",
    "status": "success",
    "tokens_in": 1200,
    "tokens_out": 300,
    "tokens_cached": 1000,
    "tokens_reasoning": 120,
    "costUSD": Decimal("0.00475"),
    "costInputUSD": Decimal("0.00175"),
    "costOutputUSD": Decimal("0.003"),
    "callType": "acompletion",
    "modelGroup": "gpt-4o",
}
CLAUDE: dict[str, Any] = {
    "model": "claude-sonnet-4-5-20250929",
    "provider": "anthropic",
    "status": "success",
    "tokens_in": 1250,
    "tokens_out": 300,
    "tokens_cached": 1000,
    "tokens_cache_write": 50,
    "tokens_reasoning": 0,
    "costUSD": Decimal("0.0055875000000000005"),
    "costInputUSD": Decimal("0.0010875"),
    "costOutputUSD": Decimal("0.0045000000000000005"),
    "callType": "acompletion",
    "modelGroup": "claude",
}
FAILURE: dict[str, Any] = {
    "provider": "openai",
    "status": "failure",
    "tokens_in": 0,
    "tokens_out": 0,
    "costUSD": 0,
    "callType": "acompletion",
    "errorCode": "500",
    "cacheHit": False,
}


def event(
    base: dict[str, Any], call_id: str, user: str, ts: str, latency: str, **more: Any
) -> dict[str, Any]:
    own = {"eventId": f"{call_id}:{base['status']}:", "userId": user, "ts": f"2026-11-23T{ts}Z"}
    fields = base | own | {"latency": Decimal(latency)} | more
    return {name: value for name, value in fields.items() if value is not None}


EXPECTED = {
    "alias_async_success": event(
        GPT_4O, "73034ffc-bbc4-4b04-a8f6-ba5fae37fff8", "u-al", "07:23:36.462262", "0.031451",
        model="gpt-4o-mini", modelGroup="alias-mini", costUSD=Decimal("0.000285"),
        costInputUSD=Decimal("0.00010499999999999999"), costOutputUSD=Decimal("0.00017999999999999998"),
    ),
    "all_async_success": event(
        GPT_4O, "029ef5ef-bb10-4f52-bbf8-fa70d11c83fe", "u-hdr", "07:23:31.996785", "0.0308"
    ),
    "body_user_async_success": event(
        GPT_4O, "4132007e-af24-49fe-886a-c72e44d1c3b3", "u-body", "07:23:30.170021", "0.034567"
    ),
    "cache1_async_success": event(
        GPT_4O, "3da3fcba-c8bf-4f5c-9f96-627a1bd2de78", "u-c1", "07:23:50.290439", "0.031121"
    ),
    "cache2_async_success": event(
        GPT_4O, "98aeabb4-c498-48f9-aef7-cc7545532e34", "u-c1", "07:23:50.742812", "0.000648",
        costUSD=0, cacheHit=True, costInputUSD=None, costOutputUSD=None,
    ),
    "claude_chat_async_success": event(
        CLAUDE, "52ba4a73-88a6-4678-9832-fafe22f01ec7", "u-cl", "07:23:55.729080", "0.007945"
    ),
    "emb_async_success": event(
        GPT_4O, "cf6a001b-122e-4cb7-8b21-4ec5a6719b9f", "u-emb", "07:23:37.383884", "0.009847",
        model="text-embedding-3-small", modelGroup="emb", callType="aembedding", costUSD=Decimal("8.4E-7"),
        tokens_in=42, tokens_out=0, tokens_cached=None, tokens_reasoning=None,
        costInputUSD=Decimal("8.4E-7"), costOutputUSD=0,
    ),
    "fail_nofallback_async_failure": event(
        FAILURE, "68aea482-6fb9-4514-be0a-4572b8ef08ea", "u-nf", "07:23:45.188186", "0.012156",
        model="fail-model", modelGroup="bad",
    ),
    "flaky_retry_async_failure": event(
        FAILURE, "5de1772b-33a0-4667-839e-8c50e2a9c678", "u-fl", "07:23:38.286656", "0.00975",
        model="flaky-1", modelGroup="flaky",
    ),
    # The same call: it worked at last. LiteLLM has no price for the model, which is not the same as free.
    "flaky_retry_async_success": event(
        GPT_4O, "5de1772b-33a0-4667-839e-8c50e2a9c678", "u-fl", "07:23:39.131226", "0.032042",
        model="flaky-1", modelGroup="flaky", costUSD=None, costInputUSD=None, costOutputUSD=None,
    ),
    "hdr_customer_async_success": event(
        GPT_4O, "59a2c5b3-cdb7-420f-8af4-20e75979a216", "u-hdr", "07:23:30.632262", "0.030042"
    ),
    "hdr_internal_async_success": event(
        GPT_4O, "d41fb089-c2bb-48fb-8543-fd72648807fc", "u-internal", "07:23:31.084209", "0.033533"
    ),
    "img_sync_success": event(
        GPT_4O, "31a05513-db8d-47a7-8f38-564054103f09", "u-img", "07:23:37.829958", "0.014002",
        model="gpt-image-1", modelGroup="img", callType="aimage_generation", costUSD=Decimal("0.04005"),
        tokens_in=10, tokens_out=1000, tokens_cached=0, tokens_reasoning=None,
        costInputUSD=None, costOutputUSD=None,
    ),
    "litellm_meta_async_success": event(
        GPT_4O, "dee45085-1123-4062-bd12-8a6ec89a90b5", "u-lmeta", "07:23:32.920258", "0.030986"
    ),
    "meta_userid_async_success": event(
        GPT_4O, "de5ede0c-b907-420b-aa3b-c82b31bd49a2", "u-meta", "07:23:29.712156", "0.030894", tags=["t1"]
    ),
    "msgs_async_success": event(
        CLAUDE, "8f3334eb-a72f-40a0-8a53-95a4c1affd10", "u-msg", "07:23:53.994460", "0.007548",
        callType="anthropic_messages",
    ),
    "msgs_on_openai_stream_async_success": event(
        GPT_4O, "bb753b7a-901b-4764-94f0-e76945b74d82", "u-msgos", "07:23:55.288053", "0.017534",
        callType="anthropic_messages", stream=True, timeToFirstToken=Decimal("0.011906"),
    ),
    "nocase_async_failure": None,  # rejected by LiteLLM itself
    "nocase_sync_failure": None,
    "plain_async_success": event(
        GPT_4O, "7396d650-5725-4480-a15e-d9a34b228097", "unknown", "07:23:28.164711", "1.108738"
    ),
    "resp_async_success": event(
        GPT_4O, "da525fc9-0742-4385-9a42-ee85f72d9936", "u-resp", "07:23:51.668304", "0.085423",
        callType="aresponses",
    ),
    "resp_claude_async_success": event(
        CLAUDE, "57b38308-c827-4cea-b7b6-431c65bdd039", "u-respc", "07:23:52.643924", "0.00951",
        callType="aresponses",
    ),
    "spoof_meta_async_success": event(
        GPT_4O, "685e30a4-b009-4f21-973c-1119cfe6fd69", "u-meta", "07:23:34.723760", "0.028752"
    ),
    "std_hdr_async_success": event(
        GPT_4O, "1dd0bae2-123a-45b9-abca-f035d7f0adb1", "u-stdhdr", "07:23:31.541596", "0.029767"
    ),
    "stream_nousage_async_success": event(
        GPT_4O, "2a069430-af92-42fb-b6f6-e31313b963fa", "u-s1", "07:23:35.164544", "0.395818",
        stream=True, cacheHit=False, timeToFirstToken=Decimal("0.368176"),
    ),
    "stream_usage_async_success": event(
        GPT_4O, "ff8e8510-2c63-46eb-8c2b-1816760339b6", "u-s2", "07:23:35.974128", "0.074574",
        stream=True, cacheHit=False, timeToFirstToken=Decimal("0.036637"),
    ),
    "unknown_model_async_failure": None,
    "unknown_model_sync_failure": None,
}  # fmt: skip


def on_the_wire(kwargs: Any) -> Any:
    """The event as the service reads it from JSON; None where there is none."""
    captured = capture(kwargs)
    return None if captured is None else json.loads(encode(captured), parse_float=Decimal)


@pytest.mark.parametrize("name", PAYLOADS)
def test_each_recorded_payload_gives_exactly_its_event(name: str) -> None:
    sent, expected = on_the_wire(PAYLOADS[name]), EXPECTED[name]
    if expected is None:
        assert sent is None
        return
    assert sent.pop("eventId")[:-16] == expected["eventId"]  # the rest is a digest
    assert sent == {field: value for field, value in expected.items() if field != "eventId"}


def put(kwargs: dict[str, Any], path: str, value: Any) -> None:
    *parents, name = path.split("/")
    for parent in parents:
        if not isinstance(kwargs.get(parent), dict):
            kwargs[parent] = {}
        kwargs = kwargs[parent]
    kwargs[name] = value


NAMES_OF_A_USER = [
    "standard_logging_object/end_user",
    "user",
    "litellm_params/metadata/user_id",
    "standard_logging_object/metadata/requester_metadata/user_id",
    "standard_logging_object/metadata/user_api_key_user_id",
]


@pytest.mark.parametrize(
    "unusable", ["", "  ", "{{LIBRECHAT_USER_ID}}", None, 1.5, True, "x" * 257, "😀" * 256, "\ud800", []]
)
@pytest.mark.parametrize("place", range(len(NAMES_OF_A_USER)))
def test_the_first_usable_name_is_the_user(kwargs: dict[str, Any], place: int, unusable: Any) -> None:
    for number, path in enumerate(NAMES_OF_A_USER):
        put(kwargs, path, unusable if number < place else f"user-{number}")
    assert on_the_wire(kwargs)["userId"] == f"user-{place}"


def test_no_other_field_names_a_user(kwargs: dict[str, Any], payload: dict[str, Any]) -> None:
    payload["metadata"] |= {"spend_logs_metadata": {"user_id": "spend"}, "user_api_key_end_user_id": "end"}
    assert on_the_wire(kwargs)["userId"] == "unknown"


def test_a_number_can_be_a_user(kwargs: dict[str, Any]) -> None:
    assert on_the_wire(kwargs | {"user": 42})["userId"] == "42"


@pytest.mark.parametrize(
    ("model", "provider", "expected"),
    [
        ("gpt-4o", "openai", "gpt-4o"),
        ("openai/gpt-4o", "openai", "gpt-4o"),
        ("anthropic/claude-3", "openrouter", "anthropic/claude-3"),
        ("openrouter/anthropic/claude-3", "openrouter", "anthropic/claude-3"),
        ("meta/llama", None, "meta/llama"),
    ],
)
def test_only_the_providers_own_name_is_a_prefix_of_the_model(
    kwargs: dict[str, Any], payload: dict[str, Any], model: str, provider: str | None, expected: str
) -> None:
    kwargs |= {"model": model, "custom_llm_provider": None}
    payload["custom_llm_provider"] = provider
    sent = on_the_wire(kwargs)
    assert (sent["model"], sent["provider"]) == (expected, provider or "unknown")


@pytest.mark.parametrize(
    "path",
    [
        "standard_logging_object/metadata/requester_metadata/headers",
        "standard_logging_object/metadata/requester_custom_headers",
        "litellm_params/proxy_server_request/headers",
    ],
)
def test_the_conversation_comes_from_librechats_header(kwargs: dict[str, Any], path: str) -> None:
    put(kwargs, path, {"X-LibreChat-Conversation-ID": "c-1"})
    assert on_the_wire(kwargs)["conversationId"] == "c-1"
    put(kwargs, "standard_logging_object/session_id", "session")
    assert on_the_wire(kwargs)["conversationId"] == "session"


def test_an_unfilled_conversation_header_is_none(kwargs: dict[str, Any], payload: dict[str, Any]) -> None:
    headers = {"x-librechat-conversation-id": "{{LIBRECHAT_BODY_CONVERSATIONID}}"}
    payload["metadata"]["requester_custom_headers"] = headers
    assert "conversationId" not in on_the_wire(kwargs)


def test_key_team_and_error_of_a_client_that_hung_up(kwargs: dict[str, Any], payload: dict[str, Any]) -> None:
    payload["metadata"] |= {"user_api_key_alias": "librechat", "user_api_key_team_id": "team-1"}
    payload["error_information"]["error_code"] = "499"
    sent = on_the_wire(kwargs)
    assert (sent["keyAlias"], sent["teamId"], sent["errorCode"]) == ("librechat", "team-1", "499")
    assert (sent["status"], sent["estimated"]) == ("success", True)


@pytest.mark.parametrize("user_id", ["#" * 256, "%" * 256, "ü" * 256, "漢" * 213, "😀" * 160, "漢#" * 128])
def test_a_user_id_that_the_ledger_has_room_for_is_sent(
    kwargs: dict[str, Any], payload: dict[str, Any], user_id: str
) -> None:
    payload["end_user"] = user_id
    sent = on_the_wire(kwargs)
    assert BUILDER.build(sent | {"ts": timestamp(NOON)}, NOON).item["userId"] == user_id


@pytest.mark.parametrize("user_id", ["a", "#" * 256, "漢" * 213])
@pytest.mark.parametrize(
    "fields", [(), ("eventId", "userId", "ts", "model", "provider", "tokens_in", "tokens_out", "latency")]
)
def test_an_event_of_each_size_fits_the_ledger(
    kwargs: dict[str, Any], user_id: str, fields: tuple[str, ...]
) -> None:
    """One that is a byte too large would be rejected for good, and the request would be missing."""
    captured = capture(kwargs, "litellm/1.106.2") or {}
    captured = {name: value for name, value in captured.items() if name in fields or not fields}
    lost = set()
    for size in range(1, 8 * 256):
        tags = [*["t" * 256] * (size // 256), "t" * (size % 256 or 1)]
        sent = json.loads(encode(captured | {"userId": user_id, "tags": tags}), parse_float=Decimal)
        lost.add("tags" not in sent)
        BUILDER.build(sent | {"ts": timestamp(NOON)}, NOON)
    assert lost == {False, True}


@pytest.mark.parametrize("user_id", ["漢" * 256, "é" * 256 + "#", "😀" * 161, "漢#" * 127 + "漢漢"])
def test_a_user_id_of_which_the_ledger_has_no_room_for_all_is_not_sent(
    kwargs: dict[str, Any], payload: dict[str, Any], user_id: str
) -> None:
    payload["end_user"] = user_id
    assert on_the_wire(kwargs)["userId"] != user_id


@pytest.mark.parametrize(
    ("code", "provider", "is_due"),
    [("499", "openai", True), ("499", "", False), ("429", "openai", False), ("400", "openai", False)],
)
def test_a_call_that_was_cancelled_because_its_client_left_is_an_unpriced_event(
    kwargs: dict[str, Any], payload: dict[str, Any], code: str, provider: str, is_due: bool
) -> None:
    """The provider has the request by then. What LiteLLM rejects itself names a provider there, too."""
    payload |= {"status": "failure", "prompt_tokens": 0, "completion_tokens": 0, "response_cost": 0.0}
    payload |= {"custom_llm_provider": provider}
    payload["error_information"] = {"error_code": code, "error_class": "HTTPException", "llm_provider": ""}
    if not is_due:
        assert capture(kwargs) is None
        return
    event = on_the_wire(kwargs)
    assert (event["errorCode"], event["provider"], event.get("costUSD")) == ("499", "openai", None)


@pytest.mark.parametrize(
    "models", [["gpt-4o", "gpt-4o-mini"], [], [None, None], [["gpt-4o"]], "gpt-4o", None]
)
def test_a_batch_for_several_models_has_none_of_them(
    kwargs: dict[str, Any], payload: dict[str, Any], models: object
) -> None:
    payload |= {"call_type": "aretrieve_batch", "id": "batch_1", "model": "unknown"}
    payload["hidden_params"] = {"batch_models": models}
    assert on_the_wire(kwargs | {"model": None})["model"] == "unknown"


SESSIONS = [
    '{"device_id": "d", "account_uuid": "", "session_id": "11111111-1111-4111-8111-111111111111"}',
    '  {"session_id": "x"}',
    "user_0a1b_account__session_33333333-3333-4333-8333-333333333333",
    "user_0a1b_account_44444444-4444-4444-8444-444444444444_session_33333333-3333-4333-8333-333333333333",
]


@pytest.mark.parametrize("session", SESSIONS)
@pytest.mark.parametrize("place", range(len(NAMES_OF_A_USER) - 1))
def test_a_session_of_a_coding_agent_is_no_user(kwargs: dict[str, Any], place: int, session: str) -> None:
    put(kwargs, NAMES_OF_A_USER[place], session)
    put(kwargs, NAMES_OF_A_USER[-1], "emp-0042")
    assert on_the_wire(kwargs)["userId"] == "emp-0042"


@pytest.mark.parametrize("user", ["my_session_", "{alice}", "[1]", "session_1", "a{}", "bob_session_7"])
def test_an_id_that_only_looks_like_one_is_a_user(
    payload: dict[str, Any], kwargs: dict[str, Any], user: str
) -> None:
    payload["end_user"] = user
    assert on_the_wire(kwargs)["userId"] == user


@pytest.mark.parametrize("place", ["cost_breakdown", "metadata/usage_object", "response"])
def test_the_service_tier_is_what_was_served(
    kwargs: dict[str, Any], payload: dict[str, Any], place: str
) -> None:
    put(payload, f"{place}/service_tier", "priority")
    assert on_the_wire(kwargs)["serviceTier"] == "priority"


def test_an_event_that_is_too_large_loses_its_labels_but_not_its_cost(
    kwargs: dict[str, Any], payload: dict[str, Any]
) -> None:
    payload |= {"request_tags": ["t" * 300] * 100, "model_group": "g" * 1000, "end_user": "ü" * 256}
    kwargs["model"] = "m" * 1000
    sent = json.loads(encode(capture(kwargs) or {}), parse_float=Decimal)
    BUILDER.build(sent | {"ts": timestamp(NOON)}, NOON)
    assert "tags" not in sent
    assert (sent["userId"], sent["costUSD"]) == ("ü" * 256, Decimal("0.00475"))


def test_nothing_of_the_conversation_or_of_a_key_is_sent(
    kwargs: dict[str, Any], payload: dict[str, Any]
) -> None:
    kwargs |= {"api_key": "SECRET", "messages": [{"content": "SECRET"}]}
    payload |= {"messages": "SECRET", "response": "SECRET", "error_str": "SECRET", "trace_id": "SECRET"}
    payload["metadata"]["user_api_key_hash"] = "SECRET"
    assert "SECRET" not in json.dumps(capture(kwargs))


GARBAGE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**300),
    st.floats(),
    st.text(st.characters(), max_size=3),  # with halves of surrogate pairs
    st.sampled_from(
        [
            "",
            "{{X}}",
            "x" * 5000,
            "漢" * 213,
            "漢" * 256,
            "\ud800",
            "\U0001f600" * 300,
            "#" * 256,
            "\0",
            "a\nb",
        ]
    ),
    st.binary(max_size=3),
    st.lists(st.one_of(st.none(), st.text(), st.integers(), st.just("t" * 999)), max_size=60),
    st.dictionaries(st.one_of(st.text(), st.integers()), st.one_of(st.floats(), st.text()), max_size=3),
    st.just(object()),
)
READ = [
    *NAMES_OF_A_USER,
    *("litellm_call_id", "model", "custom_llm_provider", "litellm_params", "litellm_params/metadata"),
    *("standard_logging_object", "litellm_params/proxy_server_request/headers"),
    *(
        f"standard_logging_object/{name}"
        for name in [
            *(
                "status",
                "error_information",
                "error_information/llm_provider",
                "error_information/error_code",
            ),
            *("metadata", "metadata/usage_object", "metadata/usage_object/prompt_tokens_details"),
            *(
                "metadata/usage_object/prompt_tokens_details/cached_tokens",
                "metadata/requester_metadata/headers",
            ),
            *("metadata/user_api_key_alias", "metadata/user_api_key_team_id", "prompt_tokens", "cache_hit"),
            *("completion_tokens", "response_cost", "startTime", "endTime", "completionStartTime", "stream"),
            *("model", "model_group", "custom_llm_provider", "call_type", "session_id", "request_tags"),
            *("model_map_information", "model_map_information/model_map_value", "litellm_call_id"),
        ]
    ),
]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(PAYLOADS)), st.dictionaries(st.sampled_from(READ), GARBAGE, max_size=12))
def test_whatever_litellm_hands_over_an_event_is_valid(name: str, changes: dict[str, Any]) -> None:
    kwargs = copy.deepcopy(PAYLOADS[name])
    for path in sorted(changes, reverse=True):  # inner ones before what holds them
        put(kwargs, path, changes[path])
    sent = on_the_wire(kwargs)
    if sent is not None:
        BUILDER.build(sent | {"ts": timestamp(NOON)}, NOON)  # else the service would reject it


@pytest.mark.parametrize(
    "kwargs", [None, [], {}, {"standard_logging_object": None}, {"standard_logging_object": []}]
)
def test_without_litellms_payload_there_is_no_event(kwargs: Any) -> None:
    assert capture(kwargs) is None
