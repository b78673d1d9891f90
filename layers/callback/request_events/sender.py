"""Delivers what the outbox holds, from a thread of its own, for as long as it takes."""

import contextlib
import json
import logging
import math
import os
import random
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from request_events.limits import AHEAD_SECONDS
from request_events.log import warn
from request_events.outbox import SEGMENT_BYTES, Outbox, Postponed, Segment
from request_events.outbox_report import OutboxReporter
from request_events.responses import SERVICE_HEADER, BatchOutcome, Lines, ahead, halves, parse_response
from request_events.transport import RESPONSE_SECONDS, NoResponse, Response, Transport, Unreachable

BATCH_EVENTS_MAX = 500
"""The service takes no more at once."""
BODY_BYTES_MAX = 900_000
BACKOFF_SECONDS = 0.5
BACKOFF_SECONDS_MAX = 60.0
TRIES = 4
"""How often a batch is sent whole while the answers are not the service's own. Then it is divided."""
DIVIDING = 24
"""How many failures in a row are taken for those of dividing one batch. More of them are an outage."""
FAILURES_AGAIN = 16
"""A segment that was refused in an earlier turn ends its turn after so many failures."""
POSTPONED_SECONDS_MAX = 3600.0
LOOK_SECONDS = 1.0
"""How often the size of a segment is looked at while nothing can be delivered."""
REPORT_SECONDS = 10.0
"""How often it is looked at how much waits in the outbox."""
DRAIN_SECONDS = 0.05
"""How soon an event is sent once the process is about to end."""
CLOCKS_DIFFER_SECONDS = 120.0
"""From this difference to the service's clock on, that of this machine is reported in the log."""


@dataclass
class SegmentRun:
    """What became of a segment's events."""

    before: Postponed
    left: Lines = field(default_factory=list)
    """Those that stay in the outbox."""
    gone: int = 0
    """How many were taken or put aside."""
    early: float = math.inf
    """In how many seconds the first of those can be taken that are ahead of the service's clock."""
    no_room: bool = False
    """Whether some are to be put aside, and the disk is full."""
    failures: int = 0
    """How often something came back that is not the service's word, or nothing."""
    answers_at_first: int | None = None
    """How often the service itself had answered before the first failure."""
    answers_at_last: int = 0
    """The same before the last one."""
    problem: str = ""


class Sender:
    """Sends the outbox's events to the service, in batches, again and again until it has them."""

    def __init__(
        self,
        outbox: Outbox,
        url: str,
        token: str,
        *,
        batch_size: int = 100,
        flush_seconds: float = 1.0,
        timeout: float = RESPONSE_SECONDS,
    ) -> None:
        self._transport = Transport(url, token, timeout)
        self._outbox = outbox
        self._folders = outbox.claim(self._transport.url, token)
        self._batch_size = min(batch_size, BATCH_EVENTS_MAX)
        self._flush_seconds = flush_seconds
        self._reporter = OutboxReporter(outbox, flush_seconds)
        self._thread: threading.Thread | None = None
        self._writer: threading.Thread | None = None
        self._answers_seen = 0  # how often the service itself has said what became of events
        self._failures = 0  # in a row: answers that are somebody else's, or none
        self._suspect_until = 0.0  # somebody has refused events for what is in them
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def start(self) -> None:
        """Deliver in the background from now on, first what a former process has left."""
        self._forked = False
        thread = threading.Thread(target=self._run, name="impact-sender", daemon=True)
        with contextlib.suppress(RuntimeError):  # the process ends: the next one delivers what is on disk
            thread.start()
            self._thread = thread

    def send(self, line: bytes) -> None:
        """Accept one event, a line of JSON. It is safe on disk when this returns; it never waits for more."""
        full = self._outbox.append(line) == self._batch_size and self._idle
        if full or self._outbox.size >= SEGMENT_BYTES:
            self._wake.set()
        if self._outbox.is_slow and self._thread is not None:
            self._write.set()
            if self._closing:  # nobody is served any more, and no thread may outlive this one
                self._outbox.spill()
            elif self._writer is None:
                self._start_writer()
        if self._forked:
            self.start()

    def flush(self) -> bool:
        """Deliver now, in this thread, trying once; tell whether nothing is left."""
        with self._delivering:
            return self._deliver_all(patient=False)

    def drain(self) -> None:
        """Send at once from now on, what waits and what comes: the process is about to end."""
        self._flush_seconds = min(self._flush_seconds, DRAIN_SECONDS)
        self._hurried = True
        self._wake.set()

    def close(self, seconds: float) -> None:
        """Deliver what can be delivered within so many seconds. The rest stays in the outbox."""
        self._closing = True
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

    def _reset(self) -> None:
        self._wake = threading.Event()
        self._write = threading.Event()
        self._delivering = threading.Lock()
        self._idle = self._closing = self._hurried = self._forked = False
        self._report_at = -REPORT_SECONDS

    def _after_fork(self) -> None:
        """A fork takes no threads along, and its parent's connection is not its own."""
        in_background = self._forked or self._thread is not None
        self._outbox.after_fork()
        self._transport.after_fork()
        self._thread = self._writer = None
        self._reset()
        self._forked = in_background

    def _run(self) -> None:
        failures = 0
        while True:
            closing = self._closing  # read first: what is appended before it is set is still delivered
            try:
                with self._delivering:
                    self._deliver_all(patient=True)
                failures = 0
            except Exception as error:  # whatever it is, it must not end the deliveries
                name = type(error).__name__  # and no more of it: its text can hold the token
                warn(name, "delivery failed (%s) and is tried again", name)
                if not self._closing:
                    self._wake.wait(_backoff(failures, BACKOFF_SECONDS))
                failures += 1
            if closing:
                return
            self._rest()

    def _rest(self) -> None:
        """Wait for a full batch, or for as long as an event may wait for others."""
        self._idle = True  # set first: from here on `send` wakes us, and it could not before
        if not self._closing and self._outbox.count < self._batch_size:
            self._wake.wait(self._flush_seconds)
        self._idle = False
        self._wake.clear()

    def _deliver_all(self, patient: bool) -> bool:
        self._outbox.seal()
        is_refused = False  # of several that were refused before, one a time is enough to see it again
        while (segment := self._outbox.take(fresh_only=is_refused)) is not None:
            try:
                self._look()
                run = SegmentRun(segment.before)
                goes_on = self._deliver(segment, run, patient)
                if goes_on or not patient:
                    is_refused |= self._end(segment, run)
                if not goes_on:
                    return False
            finally:
                segment.close()
            if run.failures:  # what came meanwhile gets its turn before this one's next
                self._outbox.seal()
        self._look()
        return not self._outbox.is_postponed

    def _deliver(self, segment: Segment, run: SegmentRun, patient: bool) -> bool:
        """Send a segment, until each event of it is taken, put aside or left for another run.

        False if there was no time for that. Who has no patience tries once, and leaves the rest.
        """
        # Without patience there is one failure a turn: smaller batches in the next find what is refused.
        size = self._batch_size if patient else max(1, self._batch_size >> run.before.turns)
        if run.before.turns:  # its turn may end early: each time others come first
            segment.reorder(_shuffled)
        batches = segment.batches(size, BODY_BYTES_MAX)
        for batch in batches:
            parts = [batch]
            is_suspect = run.before.turns or time.monotonic() < self._suspect_until
            tries = 1 if is_suspect else max(1, TRIES - self._failures)
            while parts:
                part = parts.pop()
                answer = self._send(part)
                self._settle(part, answer, run)
                parts += answer.again
                if not answer.problem:
                    continue
                tries -= answer.is_foreign
                if patient and answer.is_foreign and tries <= 0:
                    parts += _divided(parts.pop(), run)
                if not patient or (run.before.turns and run.failures >= FAILURES_AGAIN):
                    run.left += [line for rest in (*parts, *batches) for line in rest]
                    return patient
                if not self._pause(self._seconds_until_next_try(answer, is_part=tries <= 0)):
                    return False
        return True

    def _settle(self, part: Lines, answer: BatchOutcome, run: SegmentRun) -> None:
        """Put aside what is refused for good, and remember what else an answer says."""
        for line, reason in answer.rejected:
            try:
                is_kept = self._outbox.quarantine(line, reason)
            except OSError as problem:
                warn("aside", "no room to put aside what is refused: %s", problem.strerror or "OSError")
                run.left.append(line)
                run.no_room = True
            else:
                run.gone += 1
                _report(line, reason, is_kept=is_kept)
        for line, seconds in answer.early:
            run.left.append(line)
            run.early = min(run.early, seconds)
        settled = len(part) - sum(map(len, answer.again))
        taken = settled - len(answer.rejected) - len(answer.early)
        self._reporter.delivered(taken)
        run.gone += taken
        if answer.is_foreign:
            run.answers_at_last = self._answers_seen
            if run.answers_at_first is None:
                run.answers_at_first = self._answers_seen
            run.failures += 1
            run.problem = answer.problem
        if settled:
            self._answers_seen += 1
            self._failures = 0
        if answer.problem:
            self._failures += 1
            warn(answer.problem, "%s; no event is lost, delivery is tried again", answer.problem)

    def _seconds_until_next_try(self, answer: BatchOutcome, *, is_part: bool) -> float:
        if not answer.is_foreign:
            return _backoff(self._failures - 1, answer.retry_after)
        if is_part and self._failures < DIVIDING:
            return random.uniform(0, BACKOFF_SECONDS / 5)  # noqa: S311  # nosec B311  # nothing secret
        return _backoff(self._failures - 1, min(answer.retry_after, BACKOFF_SECONDS_MAX))

    def _end(self, segment: Segment, run: SegmentRun) -> bool:
        """Keep of a segment what is left, and see when its next turn comes; tell whether it was refused.

        It was if it failed, others got through, and it failed again: in an outage, however long, all failures
        come before what gets through. What is refused on the way is never put aside: whoever does that may
        stop doing it.
        """
        if not run.left and not segment.stuck:
            segment.delete()
            return False
        no_room = run.no_room or bool(segment.stuck)
        since = run.answers_at_first if run.before.answers_seen is None else run.before.answers_seen
        is_refused = run.failures > 0 and since is not None and run.answers_at_last > since
        turns, seconds = run.before.turns, run.early
        if is_refused or no_room:
            turns = 1 if run.gone else turns + 1
            longest = POSTPONED_SECONDS_MAX if is_refused else BACKOFF_SECONDS_MAX
            seconds = min(seconds, longest, 2 * BACKOFF_SECONDS * 2 ** min(turns, 16))
        answers_seen = run.answers_at_last if run.failures else None
        until = time.monotonic() + (seconds if seconds < math.inf else 0.0)
        segment.postpone(Postponed(until, turns, answers_seen))
        if is_refused:
            self._tell_of_refusal(run)
        try:
            segment.keep(run.left)
        except OSError as problem:  # what was delivered is sent again, and told to be a duplicate
            warn("keep", "a file of the outbox cannot be made smaller: %s", problem.strerror or "OSError")
        return is_refused

    def _tell_of_refusal(self, run: SegmentRun) -> None:
        self._suspect_until = time.monotonic() + POSTPONED_SECONDS_MAX
        warn(
            f"refused: {run.problem}",
            "%s, but only to some events: %d of them wait in the outbox for what is in them, while others "
            "get through. Does a firewall on the way do that? They are tried again, in an hour at most",
            *(run.problem, len(run.left)),
        )

    def _pause(self, seconds: float) -> bool:
        """Wait before the next try, but not when in a hurry; False if there is to be none."""
        end = time.monotonic() + seconds
        while not self._closing:
            remaining = end - time.monotonic()
            if remaining <= 0 or self._hurried:
                self._hurried = False  # one try at once, then as always
                return True
            self._wake.wait(min(remaining, LOOK_SECONDS))
            self._wake.clear()
            self._look()
        return False

    def _look(self) -> None:
        """See after the outbox while deliveries go on, or fail: segments stay small, and people are told."""
        if self._outbox.size >= SEGMENT_BYTES or self._outbox.waits_in_memory:
            self._outbox.seal()
        if time.monotonic() >= self._report_at:
            self._report()

    def _report(self) -> None:
        self._report_at = time.monotonic() + REPORT_SECONDS
        self._look_for_others()
        try:
            self._reporter.report(time.time())
        except Exception as error:  # what nobody can be told is no reason not to deliver
            name = type(error).__name__
            warn(f"report {name}", "cannot tell how much waits in the outbox (%s)", name)

    def _look_for_others(self) -> None:
        """Deliver also what waits for the same service in other folders of the outbox."""
        if self._folders is None:
            return
        with contextlib.suppress(OSError):
            self._outbox.others = self._folders.same()
            if self._answers_seen:  # before that it is not known which service this is
                self._folders.tell_of_others()

    def _learn(self, service_id: str) -> None:
        """The service says who it is."""
        if self._folders is not None and service_id and service_id != self._folders.id:
            self._folders.learn(service_id)
            self._look_for_others()

    def _send(self, lines: Lines) -> BatchOutcome:
        host, sent = self._transport.host, time.time()
        try:
            reply = self._post(b"[" + b",".join(lines) + b"]")
        except Unreachable as error:
            return BatchOutcome([lines], problem=str(error))
        except NoResponse as error:
            problem = f"no answer from {host} ({error}): check IMPACT_SERVICE_URL"
            return BatchOutcome([lines], problem=problem, is_foreign=True)
        answer = parse_response(lines, reply.status, reply.headers, reply.body)
        if answer.is_foreign:
            answer.problem = f"{host} answers {reply.status}, not in the service's words"
        else:
            _tell_of_clocks(ahead(reply.headers, sent, time.time()))
            self._learn(reply.headers.get(SERVICE_HEADER, ""))
        return answer

    def _post(self, body: bytes) -> Response:
        return self._transport.post(body)

    def _start_writer(self) -> None:
        writer = threading.Thread(target=self._write_behind, name="impact-writer", daemon=True)
        with contextlib.suppress(RuntimeError):  # the process ends: `close` does it then
            writer.start()
            self._writer = writer

    def _write_behind(self) -> None:
        """While the disk is slow, bring to it what `send` has left in memory, so that nobody waits for it."""
        while self._outbox.is_slow and not self._closing:
            self._outbox.spill()
            self._write.wait(LOOK_SECONDS)
            self._write.clear()
        self._writer = None
        self._outbox.spill()


def _shuffled(lines: Lines) -> Lines:
    return random.sample(lines, len(lines))  # nosec B311  # nothing secret


def _divided(lines: Lines, run: SegmentRun) -> list[Lines]:
    """The halves of what was refused; a single event is left for another run."""
    if len(lines) == 1:
        run.left += lines
        return []
    return halves(lines)


def _tell_of_clocks(seconds: float | None) -> None:
    if seconds is None or abs(seconds) < CLOCKS_DIFFER_SECONDS:
        return
    what = (
        "ahead of the service's: events wait until their time has come"
        if seconds > AHEAD_SECONDS
        else "ahead of the service's"
        if seconds > 0
        else "behind the service's: requests count for a time, or a day, that is too early"
    )
    text = "the clock of this machine (%s) is %d minutes %s; set it right"
    minutes = round(abs(seconds) / 60)
    warn("clock", text, socket.gethostname(), minutes, what, every=600, level=logging.ERROR)


def _report(line: bytes, reason: Any, *, is_kept: bool) -> None:
    """Log a rejected event by its id and by what is wrong with it, without anything that is in it."""
    try:
        event_id = json.loads(line).get("eventId")
    except (ValueError, AttributeError, RecursionError):
        event_id = None
    errors = reason if isinstance(reason, list) else []
    fields = sorted({str(error.get("field")) for error in errors if isinstance(error, dict)})
    warn(
        "rejected",
        "event %s is refused for good (%s); it is %s the outbox's folder rejected/",
        event_id,
        ", ".join(fields) or "not valid",
        "kept in" if is_kept else "lost, because it could not be put into",
    )


def _backoff(attempt: int, retry_after: float) -> float:
    longest = min(BACKOFF_SECONDS_MAX, BACKOFF_SECONDS * 2 ** min(attempt, 10))
    jitter = random.uniform(0, longest)  # noqa: S311  # nosec B311  # nothing secret
    return max(jitter, retry_after)
