"""What LiteLLM's config names: `litellm_settings.callbacks: ["litellm_callbacks.proxy_handler_instance"]`.

Environment, read once at the start:

IMPACT_SERVICE_URL    where events go (http://localhost:3090/api/request-event)
IMPACT_SERVICE_TOKEN  an ingest token of the service
IMPACT_OUTBOX         folder of the events that are not delivered yet, on a disk that outlives the process
                      (impact-service/outbox in $XDG_STATE_HOME or ~/.local/state; on AWS Lambda in /tmp)
IMPACT_BATCH_SIZE     events in one request at most (100)
IMPACT_FLUSH_SECONDS  how long an event may wait for others (1)
"""

import asyncio
import atexit
import importlib.util
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from litellm.integrations.custom_logger import CustomLogger

if importlib.util.find_spec("request_events") is None:  # a copy beside LiteLLM's config, with the package
    sys.path.append(str(Path(__file__).resolve().parent))

from request_events import pre_call
from request_events.capture import capture, encode
from request_events.cost import CLIENT_CLOSED_REQUEST, FAILURE, STREAM_HAD_BEGUN
from request_events.limits import SOURCE_MAX, UNKNOWN
from request_events.log import warn
from request_events.outbox import Outbox
from request_events.sender import Sender
from request_events.shutdown import Shutdown, at_exit_before
from request_events.unreported_streams import Ended, UnreportedStreams, start_of_the_try

DEFAULT_URL = "http://localhost:3090/api/request-event"
LAMBDA_TIMEOUT_SECONDS = 3.0


def _version() -> str:
    try:
        return metadata.version("litellm")
    except metadata.PackageNotFoundError:  # a copy of its source, or a stand-in
        return "unknown"


SOURCE = f"litellm/{_version()}"[:SOURCE_MAX]
"""Who reports an event."""


class Aim2BalanceCallbackHandler(CustomLogger):  # type: ignore[misc]
    """Reports each request of a LiteLLM proxy to the Impact Service: loses none, slows none down.

    Only the `async_*` hooks are there: LiteLLM calls the others beside them for some of the same requests.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        super().__init__()
        self._on_lambda = bool(environ.get("AWS_LAMBDA_FUNCTION_NAME"))
        self._sender = _sender(environ, self._on_lambda)
        self._unreported = UnreportedStreams(self._report_ended, _litellm_is_behind)
        if not self._on_lambda:
            self._sender.start()
            self._shutdown = Shutdown(self._sender)
            atexit.register(self._unreported.report_all)  # of exit handlers the last one runs first
            _drain_litellm_first()

    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: object, start_time: object, end_time: object
    ) -> None:
        """LiteLLM calls this, with these names, once a provider has answered."""
        await self._report(kwargs)

    async def async_log_failure_event(
        self, kwargs: dict[str, Any], response_obj: object, start_time: object, end_time: object
    ) -> None:
        """LiteLLM waits for this before it answers a failed request, retries it or falls back."""
        await self._report(kwargs)

    async def async_pre_call_hook(
        self, user_api_key_dict: object, cache: object, data: dict[str, Any], call_type: str
    ) -> None:
        """LiteLLM calls this before it asks a provider. It refuses (400) or changes what hides a cost."""
        try:
            pre_call.check(data, call_type)
        except pre_call.InvalidRequest as refused:
            from fastapi import HTTPException  # which the proxy has, and `litellm` alone has not

            raise HTTPException(400, {"error": str(refused)}) from None
        except Exception as error:
            _warn_of(error, "a request could not be checked (%s)")

    async def async_post_call_streaming_iterator_hook(
        self, user_api_key_dict: object, response: AsyncIterator[Any], request_data: dict[str, Any]
    ) -> AsyncIterator[Any]:
        """LiteLLM sends each stream through this. It only looks whether one ends early."""
        try:
            async for part in response:
                yield part
        except BaseException as reason:  # the client has gone, or the stream broke
            self._ended_early(request_data, reason)
            raise

    def _ended_early(self, request_data: dict[str, Any], reason: BaseException) -> None:
        try:
            ended = Ended(request_data["litellm_logging_obj"], reason, datetime.now())
            self._unreported.add(ended, asyncio.get_running_loop().call_later)
        except Exception as error:
            _warn_of(error, "a stream that ended early could not be reported (%s)")

    def _report_ended(self, ended: Ended) -> None:
        try:
            event = capture(_as_failure(ended), SOURCE)
            if event is not None:
                self._sender.send(encode(event))
        except Exception as error:
            _warn_of(error, "a stream that ended early could not be reported (%s)")

    async def _report(self, kwargs: dict[str, Any]) -> None:
        try:
            event = capture(kwargs, SOURCE)
            if event is None:
                return
            self._unreported.reported(kwargs)
            self._sender.send(encode(event))
            if self._on_lambda:  # which freezes the process, threads and all, once it has answered
                await asyncio.get_running_loop().run_in_executor(None, self._sender.flush)
        except Exception as error:
            _warn_of(error, "a request could not be reported (%s)")


def _warn_of(error: Exception, text: str) -> None:
    name = type(error).__name__  # and no more of it: its text can hold what a user wrote
    warn(name, text, name)


def _as_failure(ended: Ended) -> dict[str, Any]:
    """What LiteLLM would hand its failure hook, had it reported the stream as the paid one that it may be."""
    from litellm.litellm_core_utils.litellm_logging import get_standard_logging_object_payload

    details = ended.call.model_call_details
    payload = get_standard_logging_object_payload(
        kwargs=details,
        init_response_obj={},
        start_time=start_of_the_try(details),
        end_time=ended.time,
        logging_obj=ended.call,
        status=FAILURE,
    )
    caching = getattr(ended.call, "caching_details", None)
    failure = {
        **(payload or {}),
        "stream": True,
        "cache_hit": isinstance(caching, dict) and caching.get("cache_hit") is True,
        "error_information": {
            **_error_of(ended.reason),
            "llm_provider": details.get("custom_llm_provider") or UNKNOWN,
        },
        STREAM_HAD_BEGUN: True,
    }
    return {**details, "standard_logging_object": failure}


def _error_of(reason: BaseException) -> dict[str, str]:
    if isinstance(reason, (asyncio.CancelledError, GeneratorExit)):
        return {"error_code": CLIENT_CLOSED_REQUEST, "error_class": "ClientDisconnected"}
    code = getattr(reason, "status_code", None)
    return {
        "error_code": str(code) if isinstance(code, int) else "",
        "error_class": type(reason).__name__,
    }


def _sender(environ: Mapping[str, str], on_lambda: bool) -> Sender:
    token = environ.get("IMPACT_SERVICE_TOKEN", "").strip()
    if not token or not token.isascii() or not token.isprintable():
        warn("token", "IMPACT_SERVICE_TOKEN is no token: the service will refuse every event until it is one")
        token = ""  # nosec B105  # none
    named = environ.get("IMPACT_OUTBOX")
    folder = named or _default_outbox(environ, on_lambda)
    outbox = Outbox(Path(os.path.expanduser(folder)).absolute(), is_default=not named)
    options: dict[str, Any] = {
        "batch_size": _number(environ, "IMPACT_BATCH_SIZE", int, 100, (1, 500)),
        "flush_seconds": _number(environ, "IMPACT_FLUSH_SECONDS", float, 1.0, (0.01, 3600)),
    }
    if on_lambda:
        options["timeout"] = LAMBDA_TIMEOUT_SECONDS
    url = environ.get("IMPACT_SERVICE_URL", "").strip() or DEFAULT_URL
    try:
        return Sender(outbox, url, token, **options)
    except ValueError as error:
        warn("url", "IMPACT_SERVICE_URL %s; taking %s", error, DEFAULT_URL)
        return Sender(outbox, DEFAULT_URL, token, **options)


def _default_outbox(environ: Mapping[str, str], on_lambda: bool) -> str:
    if on_lambda:
        return "/tmp/impact-outbox"  # noqa: S108  # nosec B108  # the only place on Lambda
    return (environ.get("XDG_STATE_HOME") or "~/.local/state") + "/impact-service/outbox"


def _number(
    environ: Mapping[str, str],
    name: str,
    kind: Callable[[str], float],
    default: float,
    limits: tuple[float, float],
) -> float:
    text = environ.get(name, "").strip()
    if not text:
        return default
    try:
        value = kind(text)
    except ValueError:
        value = None
    low, high = limits
    if value is None or not low <= value <= high:
        warn(name, "%s must be a number from %s to %s; taking %s", name, low, high, default)
        return default
    return value


def _drain_litellm_first() -> None:
    """At exit LiteLLM hands over the calls it has still queued: that must come before the last delivery."""
    if (flush := getattr(_litellm_queue(), "_flush_on_exit", None)) is not None:
        at_exit_before(flush)  # else another version of LiteLLM: those events go out at the next start


def _litellm_is_behind() -> bool:
    """Whether calls wait in LiteLLM's queue for its callbacks."""
    queue = getattr(_litellm_queue(), "_queue", None)
    return queue is not None and not queue.empty()


def _litellm_queue() -> Any:
    """What hands calls to LiteLLM's callbacks, or None in a version of LiteLLM that has no such thing."""
    try:
        from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER
    except ImportError:
        return None
    return GLOBAL_LOGGING_WORKER


proxy_handler_instance = Aim2BalanceCallbackHandler()
