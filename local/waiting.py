"""Wait for a condition instead of a fixed time."""

import time
from collections.abc import Callable

PATIENCE_SECONDS = 240.0
"""Time limit for any wait. Even a busy machine needs only a tenth of it."""
AGAIN_SECONDS = 30.0
"""After this time, what is waited for may have been lost: `again` is called."""
POLL_SECONDS = 0.05


def wait_until(
    condition: Callable[[], bool],
    what: str,
    *,
    again: Callable[[], object] | None = None,
    seconds: float = PATIENCE_SECONDS,
) -> None:
    """Poll until the condition holds. Raises TimeoutError with `what`, a name for the condition.

    `again` repeats the action that brings the condition about, where that action can get lost. It is called
    every AGAIN_SECONDS.
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
