"""Rejects or changes requests of which LiteLLM would report less than the provider charges.

Each rule is as narrow as possible. Found with LiteLLM 1.106.2 and 1.110.2.
"""

import re
from typing import Any

CHAT_CALLS = frozenset(("acompletion", "completion"))
RESPONSES_CALLS = frozenset(("aresponses", "responses"))
MODEL_CALLS = (
    CHAT_CALLS
    | RESPONSES_CALLS
    | frozenset(("atext_completion", "text_completion", "anthropic_messages", "aembedding", "embeddings"))
    | frozenset(("aimage_generation", "image_generation", "aspeech", "atranscription", "arerank"))
)

# Fields in which a caller names other models, each perhaps with a body of its own.
FALLBACKS = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
_FIRST_OF_A_PATH = re.compile(r"[^.\[]+|\[[^\]]*\]")
"""The first part of a path such as `tools[*].strict` (see LiteLLM's dot_notation_indexing.py)."""

SEVERAL_MODELS = "One request asks one model. Send a request for each model."


class InvalidRequest(Exception):
    """A request that must not reach a provider. The text tells the caller why."""


def check(data: dict[str, Any], call_type: object) -> None:
    """Change a request in place, so that LiteLLM will report what it costs.

    `data` is the body, as LiteLLM hands it to `async_pre_call_hook`. Raises InvalidRequest.
    """
    if call_type not in MODEL_CALLS:
        return
    if call_type in CHAT_CALLS and _names_several_models(data):
        raise InvalidRequest(SEVERAL_MODELS)
    _clean(data, call_type)
    settings = data.get("router_settings_override")
    sources = (data, settings) if isinstance(settings, dict) else (data,)
    if fallbacks := [source[name] for source in sources for name in FALLBACKS if source.get(name)]:
        _clean_fallbacks(fallbacks, call_type)
        if call_type in CHAT_CALLS:
            _ask_for_usage(data)


def _clean(body: dict[str, Any], call_type: object) -> None:
    if "additional_drop_params" in body:
        _keep_stream_options(body)
    if "extra_body" in body:
        _clean_extra_body(body["extra_body"])
    if "background" in body and call_type in RESPONSES_CALLS:
        del body["background"]  # a response that is never read through the proxy would not be reported
    body.pop("custom_llm_provider", None)  # it would price this provider's model by another provider's prices


def _ask_for_usage(data: dict[str, Any]) -> None:
    """Ask for token counts at the end of a stream. The caller does not see them unless he asked for them.

    LiteLLM does this itself, but not if the first model sends them unasked and a fallback does not.
    """
    options = data.get("stream_options")
    options = options if isinstance(options, dict) else {}
    if data.get("stream") and options.get("include_usage") is not True:
        data["stream_options"] = {**options, "include_usage": True}
        data["_litellm_strip_stream_usage"] = True


def _clean_fallbacks(targets: list[Any], call_type: object) -> None:
    """Check the bodies of fallbacks: LiteLLM merges each into the request's own body, after this check."""
    while targets:
        target = targets.pop()
        if isinstance(target, list):
            targets.extend(target)
        elif isinstance(target, dict) and isinstance(target.get("model"), str):
            _clean_target(target, call_type)
            targets.extend(target[name] for name in FALLBACKS if name in target)
        elif isinstance(target, dict):  # `{"gpt-4o-mini": ["gpt-4o", {...}]}`, or a body without a model
            others = [value for value in target.values() if isinstance(value, list)]
            targets.extend(others)
            if len(others) < len(target):
                _clean_target(target, call_type)


def _clean_target(target: dict[str, Any], call_type: object) -> None:
    _clean(target, call_type)
    for name in ("stream", "stream_options"):  # the request's own hold for all
        target.pop(name, None)


def _names_several_models(data: dict[str, Any]) -> bool:
    """Whether the model is like `a,b`: LiteLLM calls both, and reports one, at the other's price."""
    model = data.get("model")
    return isinstance(model, str) and "," in model


def _keep_stream_options(data: dict[str, Any]) -> None:
    """Keep `stream_options`: without it a provider sends no token counts, and LiteLLM guesses them."""
    dropped = data["additional_drop_params"]
    if isinstance(dropped, list):
        data["additional_drop_params"] = [name for name in dropped if not _is_about_the_stream(name)]
    elif dropped is not None:  # LiteLLM accepts any iterable of paths
        del data["additional_drop_params"]


def _is_about_the_stream(name: object) -> bool:
    """Whether a path is `stream`, `stream_options` or leads into them."""
    first = _FIRST_OF_A_PATH.search(name) if isinstance(name, str) else None
    return first is not None and first[0] in ("stream", "stream_options")


def _clean_extra_body(extra: object) -> None:
    """Clean `extra_body`, whose fields replace those that LiteLLM sends to the provider."""
    if not isinstance(extra, dict):
        return
    options = extra.get("stream_options")
    if isinstance(options, dict):
        options["include_usage"] = True
    else:
        extra.pop("stream_options", None)
    for name in ("model", "stream", "background"):
        extra.pop(name, None)
