"""The end of a process: within two seconds, the sender delivers what it can.

An event is on disk once `Sender.send` has returned, so the outbox has it however the process ends, and what
is not delivered goes out at the next start. Only these can be lost: events in memory while the disk is slow
or full, and calls that LiteLLM has not handed over yet. What runs, in which order:

- Exit: exit handlers, the one registered last first. LiteLLM hands over its calls, `report_all` reports
  streams that ended early, `Shutdown.close` closes the sender.
- SIGTERM under a server such as uvicorn: `_on_sigterm` drains the sender in a thread, blocks SIGTERM, and
  calls the server's handler. The server finishes its requests, and raises SIGTERM again with the signal's
  default, which would end the process without its exit handlers. Since SIGTERM is blocked, the process exits
  as above, and then `close` unblocks it: the process still ends by SIGTERM. If something keeps it alive,
  `_drain` sends SIGTERM once more, from a thread that does not block it.
- SIGTERM with its default: `_on_sigterm` closes the sender, and raises SIGTERM again.
- SIGKILL, or a loss of power: nothing runs. The next process delivers what is on disk.
"""

import atexit
import os
import signal
import threading
import time
from types import FrameType

from request_events.sender import Sender

CLOSE_SECONDS = 2.0  # how long the last delivery may take, from SIGTERM on if that came
CLOSE_SECONDS_MIN = 0.5  # how long it may take if the server needed longer than that to finish its requests
EXIT_SECONDS = 4.0  # how long the process may stay alive once its server has ended


class Shutdown:
    """Closes a sender when the process exits, or when SIGTERM ends it."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._pid = os.getpid()
        self._sigterm_at: float | None = None  # when the first SIGTERM came, on the monotonic clock
        atexit.register(self.close)
        self._former = signal.getsignal(signal.SIGTERM)
        in_main_thread = threading.current_thread() is threading.main_thread()
        is_handled = self._former not in (None, signal.SIG_IGN)
        if in_main_thread and is_handled and hasattr(signal, "pthread_sigmask"):
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
