"""Waiting for a condition, never for a time."""

import time
from collections.abc import Callable

PATIENCE_SECONDS = 240.0
"""After so long something will never come. A busy machine needs a tenth of it, so it decides nothing."""
AGAIN_SECONDS = 30.0
"""What has not come after so long may have been lost on its way."""
POLL_SECONDS = 0.05


def wait_until(
    condition: Callable[[], bool],
    what: str,
    *,
    again: Callable[[], object] | None = None,
    seconds: float = PATIENCE_SECONDS,
) -> None:
    """Poll until the condition holds. Raises TimeoutError, which says what did not come.

    `again` is what brings the condition about, for where it can get lost: it is called now and then.
    """
    start = last = time.monotonic()
    while not condition():
        now = time.monotonic()
        if now - start > seconds:
            raise TimeoutError(f"not in {seconds:.0f} s: {what}")
        if again is not None and now - last > AGAIN_SECONDS:
            again()
            last = time.monotonic()
        time.sleep(POLL_SECONDS)
