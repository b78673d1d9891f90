"""The end of a process: what is in the outbox goes out first, within two seconds."""

import atexit
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from request_events.sender import Sender

FLUSH_SECONDS = 2.0
LAST_EVENTS_SECONDS = 0.5
"""What is left for the events of requests that the server took longer than that to finish."""
EXIT_SECONDS = 4.0


class Shutdown:
    """Flushes a sender when the process exits, or is told to by SIGTERM.

    A server such as uvicorn shuts down on SIGTERM, puts the signal's default back and raises it again: the
    process dies on the spot, without its exit handlers, and with the calls that LiteLLM has still queued
    for its callbacks. So the main thread blocks SIGTERM once it has come. The second one then stays pending
    until the process has exited in the ordinary way and the sender is done: it still ends by SIGTERM.
    """

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._pid = os.getpid()
        self._told: float | None = None
        atexit.register(self.close)
        self._former = signal.getsignal(signal.SIGTERM)
        in_main_thread = threading.current_thread() is threading.main_thread()
        if (
            in_main_thread
            and hasattr(signal, "pthread_sigmask")
            and self._former not in (None, signal.SIG_IGN)
        ):
            signal.signal(signal.SIGTERM, self._on_sigterm)

    def close(self) -> None:
        """Deliver what can be delivered by now, and let a SIGTERM that was held back end the process."""
        if os.getpid() != self._pid:  # a child inherits exit handlers
            return
        now = time.monotonic()
        until = now + FLUSH_SECONDS
        if self._told is not None:
            until = max(self._told + FLUSH_SECONDS, now + LAST_EVENTS_SECONDS)
        self._sender.close(until - now)
        if self._told is not None:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        if self._told is None and os.getpid() == self._pid:
            self._told = time.monotonic()
            if callable(self._former):
                threading.Thread(target=self._see_to_the_end, name="impact-shutdown", daemon=True).start()
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        if callable(self._former):
            self._former(number, frame)
        else:
            self.close()
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def _see_to_the_end(self) -> None:
        """Deliver at once; and let nothing keep a process alive that its server has ended.

        In a thread, because the one that the signal interrupted may hold a lock that the sender needs.
        """
        self._sender.drain()
        while signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            time.sleep(0.05)
        time.sleep(EXIT_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)


def at_exit_before(earlier: Callable[[], object]) -> None:
    """Have another exit handler run before those registered so far."""
    atexit.unregister(earlier)
    atexit.register(earlier)
