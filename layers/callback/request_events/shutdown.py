"""The end of a process: within two seconds, the sender delivers what it can.

An event is on disk once `Sender.send` has returned, so however the process ends, the outbox has it: what is
not delivered goes out at the next start. Only events in memory, and calls that LiteLLM has not handed over
yet, can be lost. Which code runs, in which order:

- The process exits (`sys.exit`, its main thread returns): exit handlers run, the one registered last first.
  LiteLLM hands over its waiting calls, `UnreportedStreams.report_all` reports streams, `Shutdown.close`
  closes the sender.
- SIGTERM, while a server such as uvicorn handles it: `_on_sigterm` drains the sender in a thread, blocks
  SIGTERM and calls the server's handler. The server finishes its requests, restores the signal's default and
  raises SIGTERM again, which would end the process without its exit handlers. Since SIGTERM is blocked, it
  stays pending: the process exits as above, and then `Shutdown.close` unblocks it, so that the process still
  ends by SIGTERM. If something keeps the process alive after the server has ended, `_drain` sends SIGTERM to
  the process from a thread in which it is not blocked.
- SIGTERM, with no handler but the default: `_on_sigterm` closes the sender and raises SIGTERM again.
- SIGKILL, or a loss of power: nothing runs. The kernel frees the outbox's locks, and another process
  delivers.
"""

import atexit
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from request_events.sender import Sender

CLOSE_SECONDS = 2.0
"""How long the last delivery may take, from SIGTERM on if that came."""
CLOSE_SECONDS_MIN = 0.5
"""How long it may take if the server needed longer than that to finish its requests."""
EXIT_SECONDS = 4.0
"""How long the process may stay alive once its server has ended."""


class Shutdown:
    """Closes a sender when the process exits, or when SIGTERM ends it."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._pid = os.getpid()
        self._sigterm_at: float | None = None
        """When the first SIGTERM came, on the monotonic clock."""
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
        """Deliver what can be delivered in time, and let a blocked SIGTERM end the process."""
        if os.getpid() != self._pid:  # a child inherits exit handlers
            return
        now = time.monotonic()
        until = now + CLOSE_SECONDS
        if self._sigterm_at is not None:
            until = max(self._sigterm_at + CLOSE_SECONDS, now + CLOSE_SECONDS_MIN)
        self._sender.close(until - now)
        if self._sigterm_at is not None:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        if self._sigterm_at is None and os.getpid() == self._pid:
            self._sigterm_at = time.monotonic()
            if callable(self._former):
                threading.Thread(target=self._drain, name="impact-shutdown", daemon=True).start()
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        if callable(self._former):
            self._former(number, frame)
        else:
            self.close()
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def _drain(self) -> None:
        """In a thread, because the one that the signal interrupted may hold a lock that the sender needs."""
        self._sender.drain()
        while signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            time.sleep(0.05)
        time.sleep(EXIT_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)


def at_exit_before(earlier: Callable[[], object]) -> None:
    """Have an exit handler run before those registered so far."""
    atexit.unregister(earlier)
    atexit.register(earlier)
