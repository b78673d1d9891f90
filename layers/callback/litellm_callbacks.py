"""What LiteLLM's config names: `litellm_settings.callbacks: ["litellm_callbacks.proxy_handler_instance"]`.

Its environment variables are in request_events/settings.py.
"""

import asyncio
import atexit
import importlib.util
import os
import sys
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from litellm.integrations.custom_logger import CustomLogger

if importlib.util.find_spec("request_events") is None:  # a copy beside LiteLLM's config, with the package
    sys.path.append(str(Path(__file__).resolve().parent))

from request_events import litellm_queue, pre_call
from request_events.capture import capture, encode
from request_events.limits import SOURCE_MAX
from request_events.log import warn
from request_events.settings import is_on_lambda, make_sender
from request_events.shutdown import Shutdown
from request_events.unreported_streams import EndedStream, UnreportedStreams, as_failure


def _version() -> str:
    try:
        return metadata.version("litellm")
    except metadata.PackageNotFoundError:  # a copy of LiteLLM's source, or a stand-in
        return "unknown"


SOURCE = f"litellm/{_version()}"[:SOURCE_MAX]  # the reporter that events name


class Aim2BalanceCallbackHandler(CustomLogger):  # type: ignore[misc]
    """Reports each request of a LiteLLM proxy to the Impact Service: loses none, and slows none down.

    It has only the `async_*` hooks: for some requests LiteLLM calls the others too.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        super().__init__()
        self._on_lambda = is_on_lambda(environ)
        self._sender = make_sender(environ)
        self._unreported = UnreportedStreams(self._report_ended, litellm_queue.has_waiting_calls)
        if not self._on_lambda:
            self._sender.start()
            self._shutdown = Shutdown(self._sender)
            atexit.register(self._unreported.report_all)  # the exit handler registered last runs first
            litellm_queue.empty_before_the_last_delivery()

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
        """LiteLLM calls this before it asks a provider. Rejects (400) or mends what hides a cost."""
        try:
            pre_call.check(data, call_type)
        except pre_call.InvalidRequest as invalid:
            from fastapi import HTTPException  # the proxy has it, `litellm` alone has not

            raise HTTPException(400, {"error": str(invalid)}) from None
        except Exception as error:
            _warn_of(error, "a request could not be checked (%s)")

    async def async_post_call_streaming_iterator_hook(
        self, user_api_key_dict: object, response: AsyncIterator[Any], request_data: dict[str, Any]
    ) -> AsyncIterator[Any]:
        """LiteLLM sends each stream through this. It only notices if a stream ends early."""
        try:
            async for part in response:
                yield part
        except BaseException as reason:  # the client left, or the stream broke
            self._ended_early(request_data, reason)
            raise

    def _ended_early(self, request_data: dict[str, Any], reason: BaseException) -> None:
        try:
            ended = EndedStream(request_data["litellm_logging_obj"], reason, datetime.now())
            self._unreported.add(ended, asyncio.get_running_loop().call_later)
        except Exception as error:
            _warn_of(error, "a stream that ended early could not be reported (%s)")

    def _report_ended(self, ended: EndedStream) -> None:
        try:
            event = capture(as_failure(ended), SOURCE)
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
            if self._on_lambda:  # Lambda freezes the process, threads and all, once it has answered
                await asyncio.get_running_loop().run_in_executor(None, self._sender.flush)
        except Exception as error:
            _warn_of(error, "a request could not be reported (%s)")


def _warn_of(error: Exception, text: str) -> None:
    name = type(error).__name__  # not its text, which can hold what a user wrote
    warn(name, text, name)


proxy_handler_instance = Aim2BalanceCallbackHandler()
