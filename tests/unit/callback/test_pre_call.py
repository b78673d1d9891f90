"""What a caller may not ask: rejected, or changed so that LiteLLM reports what it costs."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from request_events.pre_call import CHAT_CALLS, FALLBACKS, MODEL_CALLS, RESPONSES_CALLS, InvalidRequest, check

USAGE = {"include_usage": True}
TOOLS = [{"type": "image_generation", "background": "transparent", "model": "gpt-image-1"}]
HONEST: list[dict[str, Any]] = [
    {"model": "gpt-4o", "messages": [{"role": "user", "content": "gpt-4o-mini,gpt-4o"}], "stream": True},
    {
        "model": "gpt-4o",
        "stream": True,
        "stream_options": {"include_usage": True, "include_obfuscation": False},
    },
    {"model": "gpt-4o", "additional_drop_params": ["temperature", "tools[*].strict", "stream_optionsX"]},
    {"model": "gpt-4o", "extra_body": {"top_k": 3, "guided_json": {"stream": True, "model": "x"}}},
    {"model": "gpt-4o", "extra_body": {"stream_options": {"include_usage": True}}},
    {"model": "gpt-4o", "extra_body": None, "additional_drop_params": None},
    {
        "model": "gpt-4o",
        "stream": False,
        "fallbacks": ["gpt-4o-mini", {"model": "claude", "tools": TOOLS}, {"a": ["b"]}],
    },
    {"model": "gpt-4o", "tools": TOOLS, "context_window_fallbacks": None, "router_settings_override": 7},
    {"model": None},
    {},
]


def checked(data: dict[str, Any], call_type: str = "acompletion") -> dict[str, Any]:
    check(data, call_type)
    return data


@pytest.mark.parametrize("call_type", sorted(MODEL_CALLS))
@pytest.mark.parametrize("data", HONEST)
def test_an_honest_request_stays_as_it_is(data: dict[str, Any], call_type: str) -> None:
    assert checked(copy.deepcopy(data), call_type) == data


@pytest.mark.parametrize("model", ["gpt-4o-mini,gpt-4o", "gpt-4o-mini , gpt-4o", ",gpt-4o", "gpt-4o,"])
@pytest.mark.parametrize("call_type", sorted(CHAT_CALLS))
def test_several_models_are_rejected(model: str, call_type: str) -> None:
    """LiteLLM asks all of them, and reports one."""
    with pytest.raises(InvalidRequest, match="Send a request for each model"):
        check({"model": model}, call_type)


@pytest.mark.parametrize("call_type", ["aembedding", "aresponses", "anthropic_messages"])
def test_a_comma_is_a_part_of_a_name_where_litellm_takes_it_for_one(call_type: str) -> None:
    assert checked({"model": "our,embedder"}, call_type) == {"model": "our,embedder"}


@pytest.mark.parametrize(
    "dropped",
    [
        *("stream_options", "stream_options.include_usage", "stream", "stream_options[0]"),
        *(".stream_options.include_usage", "...stream_options.include_usage", ".stream_options"),
    ],
)
def test_nobody_has_the_token_counts_of_a_stream_dropped(dropped: str) -> None:
    asked = {"stream": True, "additional_drop_params": ["temperature", dropped, "user"]}
    assert checked(asked)["additional_drop_params"] == ["temperature", "user"]


@pytest.mark.parametrize("dropped", [{"stream_options.include_usage": 1}, "stream_options", 7, True])
def test_what_is_no_list_of_parameters_drops_none(dropped: object) -> None:
    """LiteLLM takes the keys of an object as paths."""
    assert checked({"stream": True, "additional_drop_params": dropped}) == {"stream": True}


HIDDEN: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"additional_drop_params": ["stream_options"]}, {"additional_drop_params": []}),
    ({"extra_body": {"stream_options": {"include_usage": False}}}, {"extra_body": {"stream_options": USAGE}}),
    ({"extra_body": {"model": "gpt-4o"}}, {"extra_body": {}}),
    ({"custom_llm_provider": "ollama"}, {}),
    ({"background": True}, {}),
    ({"stream_options": None}, {}),
    ({"stream_options": {"include_usage": False}, "stream": True}, {}),
]


@pytest.mark.parametrize("place", FALLBACKS)
@pytest.mark.parametrize(
    "within",
    [
        lambda body: [{"model": "gpt-4o", **body}],
        lambda body: ["gpt-4o-mini", {"model": "gpt-4o", **body}],
        lambda body: [{"gpt-4o-mini": ["gpt-4o", {"model": "gpt-4o", **body}]}],
        lambda body: [{"model": "gpt-4o", "fallbacks": [{"model": "gpt-4o", **body}]}],
        lambda body: [{"temperature": 1, **body}],
    ],
)
@pytest.mark.parametrize(("asked", "left"), HIDDEN)
def test_nothing_hides_in_the_body_of_a_fallback(place: str, within: Any, asked: Any, left: Any) -> None:
    """LiteLLM puts it over the request's own once the first try has failed."""
    assert checked({place: within(copy.deepcopy(asked))}, "aresponses") == {place: within(left)}
    override = {"router_settings_override": {place: within(copy.deepcopy(asked))}}
    assert checked(override, "aresponses") == {"router_settings_override": {place: within(left)}}


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}, "no", []])
@pytest.mark.parametrize("place", FALLBACKS)
def test_a_stream_that_a_caller_lets_fall_back_is_counted(options: object, place: str) -> None:
    """A Claude counts its tokens unasked, so LiteLLM does not ask; the model it falls back to needs that."""
    asked = {"stream": True, "stream_options": options, place: ["gpt-4o"]}
    assert checked(asked) == {
        "stream": True,
        "stream_options": USAGE,
        "_litellm_strip_stream_usage": True,
        place: ["gpt-4o"],
    }
    own = {"stream": True, "stream_options": USAGE, place: ["gpt-4o"]}
    assert checked(copy.deepcopy(own)) == own


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}, "no", []])
def test_nobody_replaces_the_stream_options(options: object) -> None:
    extra = checked({"stream": True, "extra_body": {"stream_options": options, "top_k": 1}})["extra_body"]
    assert extra.pop("stream_options", {"include_usage": True}) == {"include_usage": True}
    assert extra == {"top_k": 1}


@pytest.mark.parametrize("name", ["model", "stream", "background"])
def test_nobody_replaces_what_litellm_prices_by(name: str) -> None:
    assert checked({"extra_body": {name: "gpt-4o", "top_k": 1}}) == {"extra_body": {"top_k": 1}}


@pytest.mark.parametrize("call_type", sorted(RESPONSES_CALLS))
@pytest.mark.parametrize("value", [True, "true", 1])
def test_a_response_is_not_made_in_the_background(call_type: str, value: object) -> None:
    """Its cost is known to whoever reads it once it is complete; that may never happen."""
    assert checked({"model": "o3", "background": value}, call_type) == {"model": "o3"}


def test_nobody_is_charged_by_another_providers_prices() -> None:
    assert checked({"model": "gpt-4o", "custom_llm_provider": "ollama"}) == {"model": "gpt-4o"}


@pytest.mark.parametrize(
    "call_type", ["acreate_batch", "acreate_file", "afile_content", "alist_batches", None]
)
def test_calls_of_no_model_are_left_alone(call_type: object) -> None:
    """There a caller has to name the provider."""
    data = {"custom_llm_provider": "azure", "model": "a,b", "extra_body": {"model": "c"}}
    asked = copy.deepcopy(data)
    check(asked, call_type)
    assert asked == data


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(
    data=st.dictionaries(
        st.sampled_from(
            [
                *("model", "stream", "stream_options", "extra_body", "additional_drop_params", "background"),
                *FALLBACKS,
            ]
        ),
        ANY,
    ),
    call_type=st.sampled_from(sorted(MODEL_CALLS)),
)
def test_whatever_is_asked_the_check_ends_and_a_second_one_finds_nothing(
    data: dict[str, Any], call_type: str
) -> None:
    try:
        check(data, call_type)
    except InvalidRequest:
        assert "," in data["model"]
        return
    once = copy.deepcopy(data)
    assert checked(data, call_type) == once
