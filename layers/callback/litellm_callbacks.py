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
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from litellm.integrations.custom_logger import CustomLogger

if importlib.util.find_spec("request_events") is None:  # a copy beside LiteLLM's config, with the package
    sys.path.append(str(Path(__file__).resolve().parent))

from request_events.capture import capture, encode
from request_events.courier import Courier
from request_events.notices import warn
from request_events.outbox import Outbox
from request_events.rules import SOURCE_MAX
from request_events.shutdown import Shutdown, at_exit_before

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
        self._courier = _courier(environ, self._on_lambda)
        if not self._on_lambda:
            self._courier.start()
            self._shutdown = Shutdown(self._courier)
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

    async def _report(self, kwargs: dict[str, Any]) -> None:
        try:
            event = capture(kwargs, SOURCE)
            if event is None:
                return
            self._courier.send(encode(event))
            if self._on_lambda:  # which freezes the process, threads and all, once it has answered
                await asyncio.get_running_loop().run_in_executor(None, self._courier.flush)
        except Exception as error:
            name = type(error).__name__  # and no more of it: its text can hold what a user wrote
            warn(name, "a request could not be reported (%s)", name)


def _courier(environ: Mapping[str, str], on_lambda: bool) -> Courier:
    token = environ.get("IMPACT_SERVICE_TOKEN", "").strip()
    if not token or not token.isascii() or not token.isprintable():
        warn("token", "IMPACT_SERVICE_TOKEN is no token: the service will refuse every event until it is one")
        token = ""  # nosec B105  # none
    folder = environ.get("IMPACT_OUTBOX") or _default_outbox(environ, on_lambda)
    outbox = Outbox(Path(os.path.expanduser(folder)).absolute())
    options: dict[str, Any] = {
        "batch_size": _number(environ, "IMPACT_BATCH_SIZE", int, 100, (1, 500)),
        "flush_seconds": _number(environ, "IMPACT_FLUSH_SECONDS", float, 1.0, (0.01, 3600)),
    }
    if on_lambda:
        options["timeout"] = LAMBDA_TIMEOUT_SECONDS
    url = environ.get("IMPACT_SERVICE_URL", "").strip() or DEFAULT_URL
    try:
        return Courier(outbox, url, token, **options)
    except ValueError as error:
        warn("url", "IMPACT_SERVICE_URL %s; taking %s", error, DEFAULT_URL)
        return Courier(outbox, DEFAULT_URL, token, **options)


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
    try:
        from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

        at_exit_before(GLOBAL_LOGGING_WORKER._flush_on_exit)
    except (ImportError, AttributeError):  # another version of LiteLLM: those events go out at the next start
        return


proxy_handler_instance = Aim2BalanceCallbackHandler()
