"""Log lines for people: one a minute for one cause, however often it happens."""

import logging
import time

SECONDS = 60.0

_logger = logging.getLogger("request_events")
_last: dict[str, float] = {}


def warn(cause: str, message: str, *args: object) -> None:
    """Log a warning, unless the same cause was logged within the last minute."""
    now = time.monotonic()
    if now - _last.get(cause, -SECONDS) >= SECONDS:
        _last[cause] = now
        _logger.warning("impact service: " + message, *args)
