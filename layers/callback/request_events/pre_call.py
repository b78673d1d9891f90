"""What a caller may not ask of the proxy, because LiteLLM would then report less than the provider charges.

Each rule is as narrow as possible. Seen with LiteLLM 1.106.2 and 1.110.2.
"""

from typing import Any

CHAT_CALLS = frozenset(("acompletion", "completion"))
RESPONSES_CALLS = frozenset(("aresponses", "responses"))
MODEL_CALLS = (
    CHAT_CALLS
    | RESPONSES_CALLS
    | frozenset(("atext_completion", "text_completion", "anthropic_messages", "aembedding", "embeddings"))
    | frozenset(("aimage_generation", "image_generation", "aspeech", "atranscription", "arerank"))
)

SEVERAL_MODELS = "One request asks one model. Send a request for each model."


class Refused(Exception):
    """A request that must not reach a provider. Its text tells the caller why."""


def check(data: dict[str, Any], call_type: object) -> None:
    """Change a request in place, so that LiteLLM will report what it costs.

    `data` is its body, as LiteLLM hands it to `async_pre_call_hook`. Raises Refused.
    """
    if call_type not in MODEL_CALLS:
        return
    if call_type in CHAT_CALLS and _names_several_models(data):
        raise Refused(SEVERAL_MODELS)
    if "additional_drop_params" in data:
        _keep_stream_options(data)
    if "extra_body" in data:
        _clean_extra_body(data["extra_body"])
    if "background" in data and call_type in RESPONSES_CALLS:
        del data["background"]  # whoever never reads the answer through the proxy would not be charged
    data.pop("custom_llm_provider", None)  # another provider's prices, for the model of this one


def _names_several_models(data: dict[str, Any]) -> bool:
    """LiteLLM calls each of `gpt-4o-mini,gpt-4o`, and reports one of them, at the other one's price."""
    model = data.get("model")
    return isinstance(model, str) and "," in model


def _keep_stream_options(data: dict[str, Any]) -> None:
    """Without `stream_options` a provider sends no token counts: LiteLLM guesses them from visible text."""
    dropped = data["additional_drop_params"]
    if isinstance(dropped, list):
        data["additional_drop_params"] = [name for name in dropped if not _is_about_the_stream(name)]


def _is_about_the_stream(name: object) -> bool:
    """Whether it is `stream`, `stream_options` or, as LiteLLM has it, a path into them."""
    return isinstance(name, str) and name.partition(".")[0].partition("[")[0] in ("stream", "stream_options")


def _clean_extra_body(extra: object) -> None:
    """What is in `extra_body` replaces what LiteLLM sends to the provider."""
    if not isinstance(extra, dict):
        return
    options = extra.get("stream_options")
    if isinstance(options, dict):
        options["include_usage"] = True
    else:
        extra.pop("stream_options", None)
    for name in ("model", "stream", "background"):
        extra.pop(name, None)
