"""The handler, loaded the way LiteLLM loads it: from a file, outside `sys.modules`. LiteLLM is a stand-in."""

import asyncio
import inspect
from collections.abc import AsyncGenerator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.callback.conftest import HTTPException, Load
from tests.unit.callback.recorded import PAYLOADS
from tests.unit.callback.service import Service, error


def succeed(handler: Any, kwargs: Any) -> None:
    """As LiteLLM calls it."""
    asyncio.run(
        handler.async_log_success_event(kwargs=kwargs, response_obj=None, start_time=None, end_time=None)
    )


def fail(handler: Any, kwargs: Any) -> None:
    asyncio.run(
        handler.async_log_failure_event(kwargs=kwargs, response_obj=None, start_time=None, end_time=None)
    )


def test_a_success_and_a_failure_of_one_call_are_two_events(load: Load, service: Service) -> None:
    handler = load()
    fail(handler, PAYLOADS["flaky_retry_async_failure"])
    succeed(handler, PAYLOADS["flaky_retry_async_success"])
    fail(handler, PAYLOADS["unknown_model_async_failure"])
    service.wait_for(lambda s: len(s.taken) == 2)
    assert {event_id.split(":")[1] for event_id in service.taken} == {"failure", "success"}


def test_only_the_async_hooks_are_implemented(load: Load) -> None:
    """LiteLLM calls the sync ones for images and for some failures as well."""
    own = {name for name in vars(type(load())) if not name.startswith("_")}
    assert own == {
        "async_log_success_event",
        "async_log_failure_event",
        "async_pre_call_hook",
        "async_post_call_streaming_iterator_hook",
    }


def test_the_hooks_take_litellms_names(load: Load) -> None:
    handler = load()
    for hook in (handler.async_log_success_event, handler.async_log_failure_event):
        assert list(inspect.signature(hook).parameters) == [
            "kwargs",
            "response_obj",
            "start_time",
            "end_time",
        ]


def test_the_hooks_of_a_request_take_litellms_names(load: Load) -> None:
    handler = load()
    assert list(inspect.signature(handler.async_pre_call_hook).parameters) == [
        *("user_api_key_dict", "cache", "data", "call_type"),
    ]
    assert list(inspect.signature(handler.async_post_call_streaming_iterator_hook).parameters) == [
        *("user_api_key_dict", "response", "request_data"),
    ]


def pre_call(handler: Any, data: Any, call_type: str = "acompletion") -> None:
    asyncio.run(
        handler.async_pre_call_hook(user_api_key_dict=None, cache=None, data=data, call_type=call_type)
    )


def test_what_would_hide_a_cost_is_changed_in_the_request(load: Load) -> None:
    data = {"model": "gpt-4o", "stream": True, "additional_drop_params": ["stream_options"]}
    pre_call(load(), data)
    assert data["additional_drop_params"] == []


def test_several_models_are_rejected_as_the_callers_mistake(load: Load) -> None:
    with pytest.raises(HTTPException) as caught:
        pre_call(load(), {"model": "gpt-4o-mini,gpt-4o"})
    assert caught.value.status_code == 400
    assert "Send a request for each model" in str(caught.value.detail)


def test_a_request_that_cannot_be_checked_goes_on(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    pre_call(load(), None)
    assert [record.getMessage() for record in caplog.records] == [
        "impact service: a request could not be checked (AttributeError)"
    ]


GIVEN_UP: dict[str, Any] = {
    "litellm_call_id": "given-up",
    "start_time": datetime.now(),
    "call_type": "acompletion",
    "user": "alice",
    "model": "gpt-4o",
    "custom_llm_provider": "openai",
}


async def parts(*parts: str) -> AsyncGenerator[str]:
    for part in parts:
        yield part


def streamed(
    handler: Any, source: AsyncGenerator[str], details: Any = GIVEN_UP, **call: object
) -> AsyncGenerator[str]:
    """A stream as LiteLLM sends it through the hook."""
    data = {"litellm_logging_obj": SimpleNamespace(model_call_details=details, **call)}
    stream: AsyncGenerator[str] = handler.async_post_call_streaming_iterator_hook(
        user_api_key_dict=None, response=source, request_data=data
    )
    return stream


async def give_up_before_the_first_part(handler: Any, details: Any = GIVEN_UP) -> None:
    asked = asyncio.Event()

    async def thinking() -> AsyncGenerator[str]:
        asked.set()
        await asyncio.Event().wait()
        yield "never"

    reading = asyncio.ensure_future(anext(streamed(handler, thinking(), details)))
    await asked.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


def test_a_stream_goes_through_as_it_is_and_is_no_event_of_its_own(load: Load, service: Service) -> None:
    handler = load()

    async def read() -> list[str]:
        return [part async for part in streamed(handler, parts("one", "two"))]

    assert asyncio.run(read()) == ["one", "two"]
    handler._unreported.report_all()
    succeed(handler, PAYLOADS["plain_async_success"])
    service.wait_for(lambda s: len(s.taken) == 1)


class BrokenStream(Exception):
    """As LiteLLM raises it."""

    status_code = 503


async def break_off(handler: Any, details: Any = GIVEN_UP) -> None:
    async def breaks() -> AsyncGenerator[str]:
        yield "one"
        raise BrokenStream("cut")

    with pytest.raises(BrokenStream, match="cut"):
        async for _ in streamed(handler, breaks(), details):
            pass


def test_a_stream_that_breaks_and_that_litellm_does_not_report_is_an_unpriced_event(
    load: Load, service: Service
) -> None:
    """LiteLLM's failure hook names no provider and no tokens then, as for what it rejects itself."""
    handler = load()
    details = PAYLOADS["unknown_model_async_failure"] | GIVEN_UP
    asyncio.run(break_off(handler, details))
    fail(handler, details)
    handler._unreported.report_all()
    service.wait_for(lambda s: len(s.taken) == 1)
    [[event]] = service.requests
    assert (event["status"], event["errorCode"], event["provider"]) == ("failure", "503", "openai")
    assert "costUSD" not in event


def test_a_stream_given_up_before_its_first_part_is_an_unpriced_event(load: Load, service: Service) -> None:
    handler = load()
    asyncio.run(give_up_before_the_first_part(handler))
    handler._unreported.report_all()
    service.wait_for(lambda s: len(s.taken) == 1)
    [[event]] = service.requests
    assert event["eventId"].startswith("given-up:failure:")
    assert {name: event.get(name) for name in ("userId", "model", "provider", "status", "errorCode")} == {
        "userId": "alice",
        "model": "gpt-4o",
        "provider": "openai",
        "status": "failure",
        "errorCode": "499",
    }
    assert (event["tokens_in"], event["tokens_out"], event["stream"]) == (0, 0, True)
    assert not {"costUSD", "costEUR", "timeToFirstToken"} & event.keys()


def test_a_stream_from_the_cache_costs_nothing_though_it_is_given_up(load: Load, service: Service) -> None:
    """LiteLLM reports neither."""
    handler = load()

    async def read_one() -> None:
        stream = streamed(handler, parts("one", "two"), caching_details={"cache_hit": True})
        await anext(stream)
        await stream.aclose()

    asyncio.run(read_one())
    handler._unreported.report_all()
    service.wait_for(lambda s: len(s.taken) == 1)
    [[event]] = service.requests
    assert (event["costUSD"], event["cacheHit"], event["errorCode"]) == (0, True, "499")


def test_a_stream_that_is_closed_in_the_middle_is_given_up_too(load: Load, service: Service) -> None:
    """A server closes the generator where the client goes between two parts."""
    handler = load()

    async def read_one() -> None:
        stream = streamed(handler, parts("one", "two"))
        assert await anext(stream) == "one"
        await stream.aclose()

    asyncio.run(read_one())
    handler._unreported.report_all()
    service.wait_for(lambda s: len(s.taken) == 1)


@pytest.mark.parametrize("end", [give_up_before_the_first_part, break_off])
@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("hook", [succeed, fail])
def test_where_litellm_reports_it_after_all_there_is_one_event(
    load: Load, service: Service, hook: Any, is_first: bool, end: Any
) -> None:
    handler = load()
    details = PAYLOADS["stream_usage_async_success"] | {"start_time": datetime.now()}
    told = [lambda: asyncio.run(end(handler, details)), lambda: hook(handler, details)]
    for tell in reversed(told) if is_first else told:
        tell()
    handler._unreported.report_all()
    service.wait_for(lambda s: len(s.taken) == 1)
    [[event]] = service.requests
    assert event["tokens_in"] > 0


def test_a_stream_of_which_nothing_is_known_is_logged(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    handler = load()

    async def read_one() -> None:
        stream = handler.async_post_call_streaming_iterator_hook(
            user_api_key_dict=None, response=parts("one", "two"), request_data={}
        )
        await anext(stream)
        await stream.aclose()

    asyncio.run(read_one())
    assert [record.getMessage() for record in caplog.records] == [
        "impact service: a stream that ended early could not be reported (KeyError)"
    ]


def test_it_never_raises_and_names_nobody(
    load: Load, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    handler = load()

    def broken(line: bytes) -> None:
        raise RuntimeError(line)

    monkeypatch.setattr(handler._sender, "send", broken)
    for _ in range(3):
        succeed(handler, PAYLOADS["body_user_async_success"])
    succeed(handler, None)
    assert len(caplog.records) == 1
    assert "u-body" not in caplog.text


def test_on_lambda_it_delivers_before_it_returns(load: Load, service: Service, tmp_path: Path) -> None:
    handler = load(AWS_LAMBDA_FUNCTION_NAME="proxy")
    succeed(handler, PAYLOADS["plain_async_success"])
    assert len(service.taken) == 1
    service.script.append(lambda _: error(503))
    succeed(handler, PAYLOADS["body_user_async_success"])
    assert len(service.taken) == 1
    succeed(handler, PAYLOADS["emb_async_success"])
    assert len(service.taken) == 3
