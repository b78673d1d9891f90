"""LiteLLM's queue of finished calls, from which it calls its callbacks."""

import atexit
from typing import Any


def has_waiting_calls() -> bool:
    """Whether LiteLLM still has calls to hand to its callbacks."""
    queue = getattr(_queue(), "_queue", None)
    return queue is not None and not queue.empty()


def empty_before_the_last_delivery() -> None:
    """At exit LiteLLM hands over the calls that still wait: do that before the sender closes."""
    if (flush := getattr(_queue(), "_flush_on_exit", None)) is not None:
        atexit.unregister(flush)
        atexit.register(flush)  # the exit handler registered last runs first


def _queue() -> Any:
    """None in a version of LiteLLM that has no such queue: what waits there goes out at the next start."""
    try:
        from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER
    except ImportError:
        return None
    return GLOBAL_LOGGING_WORKER
