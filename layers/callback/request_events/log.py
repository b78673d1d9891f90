"""The callback's log: one line a minute for one cause, however often it happens."""

import contextlib
import logging
import time

SECONDS = 60.0
CAUSES_MAX = 100  # after so many causes, all further ones count as one

_logger = logging.getLogger("request_events")
_last: dict[str, float] = {}


def warn(cause: str, text: str, *args: object, every: float = SECONDS, level: int = logging.WARNING) -> bool:
    """Log a warning, unless the same cause was logged within the last minute (or `every` seconds).

    Return whether it was logged. Never raises: a broken log handler must not fail a request.
    """
    now = time.monotonic()
    if cause not in _last and len(_last) >= CAUSES_MAX:
        cause = "others"
    last = _last.get(cause)
    if last is not None and now - last < every:
        return False
    _last[cause] = now
    with contextlib.suppress(Exception):
        _logger.log(level, "impact service: " + text, *args)
    return True
