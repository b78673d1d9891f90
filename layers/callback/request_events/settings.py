"""The callback's settings, read once at the start from environment variables:

IMPACT_SERVICE_URL    where events go (http://localhost:3090/api/request-event)
IMPACT_SERVICE_TOKEN  an ingest token of the service
IMPACT_OUTBOX         folder of undelivered events, on a disk that outlives the process
                      (impact-service/outbox in $XDG_STATE_HOME or ~/.local/state; on AWS Lambda in /tmp)
IMPACT_BATCH_SIZE     events in one request at most (100)
IMPACT_FLUSH_SECONDS  seconds that an event may wait for others (10)
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from request_events.limits import EVENTS_MAX
from request_events.log import warn
from request_events.outbox import Outbox
from request_events.sender import Sender

DEFAULT_URL = "http://localhost:3090/api/request-event"
LAMBDA_TIMEOUT_SECONDS = 3.0


def is_on_lambda(environ: Mapping[str, str]) -> bool:
    return bool(environ.get("AWS_LAMBDA_FUNCTION_NAME"))


def make_sender(environ: Mapping[str, str]) -> Sender:
    """The sender that the environment describes. An invalid setting is logged, and its default used."""
    token = environ.get("IMPACT_SERVICE_TOKEN", "").strip()
    if not token or not token.isascii() or not token.isprintable():
        warn("token", "IMPACT_SERVICE_TOKEN is missing or contains invalid characters: no event is delivered")
        token = ""  # nosec B105  # none
    named = environ.get("IMPACT_OUTBOX")
    folder = named or _default_outbox(environ)
    outbox = Outbox(Path(os.path.expanduser(folder)).absolute(), is_default=not named)
    options: dict[str, Any] = {
        "batch_size": _number(environ, "IMPACT_BATCH_SIZE", 100, 1, EVENTS_MAX),
        "flush_seconds": _number(environ, "IMPACT_FLUSH_SECONDS", 10.0, 0.01, 3600),
    }
    if is_on_lambda(environ):
        options["timeout"] = LAMBDA_TIMEOUT_SECONDS
    url = environ.get("IMPACT_SERVICE_URL", "").strip() or DEFAULT_URL
    try:
        return Sender(outbox, url, token, **options)
    except ValueError as error:
        warn("url", "IMPACT_SERVICE_URL %s; taking %s", error, DEFAULT_URL)
        return Sender(outbox, DEFAULT_URL, token, **options)


def _default_outbox(environ: Mapping[str, str]) -> str:
    if is_on_lambda(environ):
        return "/tmp/impact-outbox"  # noqa: S108  # nosec B108  # the only place on Lambda
    return (environ.get("XDG_STATE_HOME") or "~/.local/state") + "/impact-service/outbox"


def _number(environ: Mapping[str, str], name: str, default: float, low: float, high: float) -> float:
    text = environ.get(name, "").strip()
    if not text:
        return default
    try:
        value = type(default)(text)
    except ValueError:
        value = None
    if value is None or not low <= value <= high:
        warn(name, "%s must be a number from %s to %s; taking %s", name, low, high, default)
        return default
    return value
