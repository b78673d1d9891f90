"""Whatever LiteLLM hands over: no exception, in little time, and an event that the service takes, or none.

Each recorded payload, with what can be read of it replaced by everything that it must not be.
"""

import gc
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from request_events.capture import capture, encode
from tests.events import entry_builder
from tests.unit.callback import hostile  # not its names: pytest looks at all that a module has
from tests.unit.callback.conftest import Load
from tests.unit.callback.recorded import PAYLOADS
from tests.unit.callback.test_capture import READ

BUILDER = entry_builder()
MORE = [
    "kwargs", "user", "litellm_params/proxy_server_request",
    *(
        f"standard_logging_object/{name}"
        for name in (
            "error_information/error_class", "model_map_information/model_map_value/mode",
            "model_map_information/model_map_value/input_cost_per_token", "metadata/requester_metadata",
            "metadata/requester_custom_headers/x-litellm-call-id",
            "metadata/requester_custom_headers/x-librechat-conversation-id",
            "metadata/usage_object/completion_tokens_details/reasoning_tokens",
            "metadata/usage_object/prompt_tokens_details/cache_write_tokens",
        )
    ),
]  # fmt: skip
PATHS = sorted({*READ, *MORE})
SOME = ("plain", "stream_usage", "claude_chat", "flaky_retry")
NAMES = [name for name in PAYLOADS if name.startswith(SOME)]


def changed(kwargs: Any, path: str, value: Any) -> Any:
    """A payload with another value at that path, or without one (`...`); the rest is shared."""
    if path == "kwargs":
        return value
    name, _, rest = path.partition("/")
    copy = dict(kwargs) if type(kwargs) is dict else {}
    if rest:
        copy[name] = changed(copy.get(name), rest, value)
    elif value is ...:
        copy.pop(name, None)
    else:
        copy[name] = value
    return copy


def inputs() -> Iterator[tuple[str, Any]]:
    """Each path with each value, then many at once; with what they are made of, for whoever debugs it."""
    for path in PATHS:
        for number, value in enumerate([*hostile.SMALL, *hostile.HUGE]):
            for name in NAMES if number < len(hostile.SMALL) else NAMES[:2]:
                yield f"{name} {path} {number}", changed(PAYLOADS[name], path, value)
    chance = random.Random(20261124)
    for number in range(4000):
        name = chance.choice(NAMES)
        kwargs: Any = PAYLOADS[name]
        for path in chance.sample(PATHS, chance.randint(2, 8)):
            value = chance.choice(hostile.HUGE) if chance.random() < 0.05 else chance.choice(hostile.SMALL)
            kwargs = changed(kwargs, path, value)
        yield f"{name} chance {number}", kwargs


@dataclass
class Seen:
    lines: list[bytes] = field(default_factory=list)
    calls: int = 0
    events: int = 0
    slowest: tuple[float, str] = (0.0, "")
    """Seconds of processor time, and of which call."""


@pytest.fixture
def no_garbage() -> Iterator[None]:
    """A collection, over the millions of values of `hostile`, could fall into any call."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("no_garbage")
def test_whatever_litellm_hands_over_it_is_an_event_that_the_service_takes_or_none(
    load: Load,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    handler = load(IMPACT_SERVICE_URL="http://127.0.0.1:9/")
    seen = Seen()
    append = handler._sender._outbox.append

    def see(line: bytes) -> int:
        seen.lines.append(line)
        return int(append(line))

    monkeypatch.setattr(handler._sender._outbox, "append", see)
    for name, kwargs in inputs():
        seen.lines.clear()
        began = time.thread_time()
        call(handler, kwargs)
        seen.slowest = max(seen.slowest, (time.thread_time() - began, name))
        seen.calls += 1
        for line in seen.lines:
            check(line, name)
            seen.events += 1
    assert seen.calls > 20_000
    assert seen.events > seen.calls // 2
    assert seen.slowest[0] < 0.01, seen.slowest
    told = [record.getMessage() for record in caplog.records]
    assert len(set(told)) == len(told)
    assert any("(RuntimeError)" in message for message in told)
    assert hostile.SECRET not in caplog.text


def call(handler: Any, kwargs: Any) -> None:
    """As LiteLLM does; it never waits for anything."""
    hook = handler.async_log_success_event(kwargs=kwargs, response_obj=None, start_time=None, end_time=None)
    with pytest.raises(StopIteration):
        hook.send(None)


def check(line: bytes, name: str) -> None:
    """The ledger takes it at the time that it tells of, and it is a line of its own."""
    assert line.count(b"\n") == 1
    event = json.loads(line, parse_float=Decimal, parse_constant=hostile.refuse)
    try:
        BUILDER.build(event, datetime.fromisoformat(event["ts"]))
    except Exception as refused:
        raise AssertionError(f"{name}: {refused}") from refused


@pytest.mark.parametrize("kind", [hostile.Provider, hostile.HOSTILE["str"]])
def test_a_text_of_a_class_of_its_own_is_the_text(kind: type) -> None:
    kwargs = changed(
        PAYLOADS["plain_async_success"], "standard_logging_object/custom_llm_provider", kind("openai")
    )
    kwargs = changed(kwargs, "standard_logging_object/end_user", hostile.HOSTILE["str"]("bob"))
    sent = json.loads(encode(capture(kwargs) or {}))
    assert (sent["provider"], sent["userId"], sent["model"]) == ("openai", "bob", "gpt-4o")


def test_one_field_that_raises_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    kwargs = PAYLOADS["plain_async_success"]
    whole = capture(kwargs)
    for name in ("session_id", "model_group", "error_information", "request_tags", "cache_hit", "stream"):
        kwargs = changed(kwargs, f"standard_logging_object/{name}", hostile.HOSTILE["object"]())
    assert capture(kwargs) == {name: value for name, value in (whole or {}).items() if name != "modelGroup"}


def test_a_time_before_there_was_a_litellm_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    kwargs = PAYLOADS["plain_async_success"]
    end = kwargs["standard_logging_object"]["endTime"]
    for unusable in (0, 1234.5, end * 1000):
        event = capture(changed(kwargs, "standard_logging_object/startTime", unusable))
        assert event
        assert datetime.fromisoformat(event["ts"]).timestamp() == pytest.approx(end)
        assert event["latency"] == 0
