"""Sends the outbox's events to the service from a thread of its own: when it delivers, rests, and ends.

What it does with a segment is in delivery.py.
"""

import contextlib
import os
import threading
import time
from collections.abc import Mapping
from enum import Enum, auto

from request_events.delivery import BACKOFF_SECONDS, Delivery, backoff
from request_events.limits import EVENTS_MAX
from request_events.log import warn
from request_events.outbox import Outbox
from request_events.outbox_report import OutboxReporter
from request_events.segment import SEGMENT_BYTES
from request_events.transport import RESPONSE_SECONDS, Transport

CHECK_SECONDS = 1.0  # how often the size of the current segment is checked while nothing can be delivered
REPORT_SECONDS = 10.0  # how often the outbox is measured and reported
DRAIN_SECONDS = 0.05  # the flush interval once the process is about to end


class State(Enum):
    """What a sender does. Its threads and a signal handler change it, by the transitions below."""

    STOPPED = auto()  # no thread delivers: `flush` does, or `start` will
    FORKED = auto()  # this is a child of a process that delivers. The first event starts a thread.
    DELIVERING = auto()  # the thread delivers, or pauses between two tries
    RESTING = auto()  # the thread waits for a full batch, or for the flush interval
    DRAINING = auto()  # the process is about to end: the next pause is skipped
    CLOSING = auto()  # the process ends: the thread delivers once more, without a pause, and ends


# All transitions but that of a fork. In any other state than those named, nothing changes.
_START = {State.STOPPED: State.DELIVERING, State.FORKED: State.DELIVERING}
_REST = {State.DELIVERING: State.RESTING}
_WAKE = {State.RESTING: State.DELIVERING}
_DRAIN = {State.DELIVERING: State.DRAINING, State.RESTING: State.DRAINING}
_SKIP_PAUSE = {State.DRAINING: State.DELIVERING}
_CLOSE = dict.fromkeys(State, State.CLOSING)


class Sender:
    """Sends the outbox's events to the service, in batches, again and again until the service has them."""

    def __init__(
        self,
        outbox: Outbox,
        url: str,
        token: str,
        *,
        batch_size: int = 100,
        flush_seconds: float = 10.0,
        timeout: float = RESPONSE_SECONDS,
    ) -> None:
        """`timeout` in seconds. Raises ValueError if the URL cannot work."""
        self._reset(State.STOPPED)
        self._transport = Transport(url, token, timeout)
        self._outbox = outbox
        self._service_folders = outbox.claim(self._transport.url, token)
        self._batch_size = min(batch_size, EVENTS_MAX)
        self._flush_seconds = flush_seconds
        self._reporter = OutboxReporter(outbox, flush_seconds)
        self._delivery = Delivery(
            outbox, self._transport, self._reporter, self._batch_size, self._pause, self._identified
        )
        self._thread: threading.Thread | None = None
        self._writer: threading.Thread | None = None
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def start(self) -> None:
        """Deliver in the background from now on, first what an earlier process has left."""
        self._move(_START)
        thread = threading.Thread(target=self._run, name="impact-sender", daemon=True)
        with contextlib.suppress(RuntimeError):  # the process ends: the next one delivers what is on disk
            thread.start()
            self._thread = thread

    def send(self, line: bytes) -> None:
        """Accept one event, a line of JSON, and keep it on disk. Never waits for the service."""
        is_full = self._outbox.append(line) == self._batch_size and self._state is State.RESTING
        if is_full or self._outbox.size >= SEGMENT_BYTES:
            self._wake.set()
        if self._outbox.is_slow and self._thread is not None:
            self._write.set()
            if self._state is State.CLOSING:  # no request waits any more, and no new thread may run
                self._outbox.spill()
            elif self._writer is None:
                self._start_writer()
        if self._thread is None and self._state is State.FORKED:
            self.start()

    def flush(self) -> bool:
        """Deliver in the calling thread, trying once. Return whether nothing is left."""
        with self._delivering:
            return self._deliver_all(patient=False)

    def drain(self) -> None:
        """Deliver quickly from now on: the process is about to end."""
        self._flush_seconds = min(self._flush_seconds, DRAIN_SECONDS)
        self._move(_DRAIN)
        self._wake.set()

    def close(self, seconds: float) -> None:
        """Deliver what can be delivered within so many seconds. The rest stays in the outbox."""
        self._move(_CLOSE)
        self._wake.set()
        self._write.set()
        if (writer := self._writer) is not None:
            writer.join(seconds)
        elif self._outbox.waits_in_memory:
            self._outbox.spill()
        if self._thread is not None:
            self._thread.join(seconds)
            if self._thread.is_alive():
                return
            self._report()
        self._transport.close()
        self._outbox.close()

    def _reset(self, state: State) -> None:
        self._state = state
        # Reentrant: a signal handler that closes may interrupt the thread that holds it.
        self._moving = threading.RLock()
        self._wake = threading.Event()
        self._write = threading.Event()
        self._delivering = threading.Lock()
        self._report_at = -REPORT_SECONDS

    def _after_fork(self) -> None:
        """In the child: a fork copies no threads, and the connection is the parent's."""
        delivers = self._state is State.FORKED or self._thread is not None
        self._outbox.after_fork()
        self._transport.after_fork()
        self._thread = self._writer = None
        self._reset(State.FORKED if delivers else State.STOPPED)

    def _move(self, transition: Mapping[State, State]) -> bool:
        """Change the state, and return whether it changed."""
        with self._moving:
            before = self._state
            self._state = transition.get(before, before)
            return self._state is not before

    # The delivering thread

    def _run(self) -> None:
        failures = 0
        while True:
            is_last = self._state is State.CLOSING  # read first: earlier events are delivered in this pass
            try:
                with self._delivering:
                    self._deliver_all(patient=True)
                failures = 0
            except Exception as error:  # must not end the deliveries
                name = type(error).__name__  # not its text, which can hold the token
                warn(name, "delivery failed (%s) and is tried again", name)
                if self._state is not State.CLOSING:
                    self._wake.wait(backoff(failures, BACKOFF_SECONDS))
                failures += 1
            if is_last:
                return
            self._rest()

    def _rest(self) -> None:
        """Wait for a full batch, or for the flush interval."""
        self._move(_REST)  # first: from here on `send` wakes this thread
        if self._state is not State.CLOSING and self._outbox.count < self._batch_size:
            self._wake.wait(self._flush_seconds)
        self._move(_WAKE)
        self._wake.clear()

    def _pause(self, seconds: float) -> bool:
        """Wait before the next try. Return False if the sender is closing: then there is none."""
        end = time.monotonic() + seconds
        while self._state is not State.CLOSING:
            remaining = end - time.monotonic()
            if self._move(_SKIP_PAUSE) or remaining <= 0:
                return True
            self._wake.wait(min(remaining, CHECK_SECONDS))
            self._wake.clear()
            self._check_outbox()
        return False

    def _deliver_all(self, patient: bool) -> bool:
        self._outbox.seal()
        is_blocked = False  # one blocked segment is enough to see that others are still blocked
        while (segment := self._outbox.next_segment(fresh_only=is_blocked)) is not None:
            try:
                self._check_outbox()
                run = self._delivery.deliver(segment, patient)
                if not run.is_complete:
                    return False
                is_blocked |= run.is_blocked
            finally:
                segment.close()
            if run.failures:  # newer events have their run before this segment's next one
                self._outbox.seal()
        self._check_outbox()
        return not self._outbox.is_postponed

    def _check_outbox(self) -> None:
        """Keep segments small and report, also while nothing can be delivered."""
        if self._outbox.size >= SEGMENT_BYTES or self._outbox.waits_in_memory:
            self._outbox.seal()
        if time.monotonic() >= self._report_at:
            self._report()

    def _report(self) -> None:
        self._report_at = time.monotonic() + REPORT_SECONDS
        self._find_other_folders()
        try:
            self._reporter.report(time.time())
        except Exception as error:  # must not end the deliveries
            name = type(error).__name__
            warn(f"report {name}", "cannot tell how much waits in the outbox (%s)", name)

    def _find_other_folders(self) -> None:
        """Deliver from the outbox's other folders of the same service too."""
        if self._service_folders is None:
            return
        with contextlib.suppress(OSError):
            self._outbox.others = self._service_folders.same()
            if self._delivery.responses_seen:  # before that it is not known which service this is
                self._service_folders.log_others()

    def _identified(self, service_id: str) -> None:
        if self._service_folders is not None and service_id and service_id != self._service_folders.id:
            self._service_folders.learn(service_id)
            self._find_other_folders()

    # The writing thread, while the disk is slow

    def _start_writer(self) -> None:
        writer = threading.Thread(target=self._write_behind, name="impact-writer", daemon=True)
        with contextlib.suppress(RuntimeError):  # the process ends: `close` writes them then
            writer.start()
            self._writer = writer

    def _write_behind(self) -> None:
        """Write to disk what `send` leaves in memory, so that no request waits for the disk."""
        while self._outbox.is_slow and self._state is not State.CLOSING:
            self._outbox.spill()
            self._write.wait(CHECK_SECONDS)
            self._write.clear()
        self._writer = None
        self._outbox.spill()
