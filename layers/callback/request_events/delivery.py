"""Delivers one segment at a time: what is sent again, what is quarantined, and what waits for a later run.

A response that is not the service's own, or none, can mean an outage: nothing gets through, and the batch is
sent again and again. Or something on the way, a firewall say, blocks some events for what is in them: the
batch is divided, down to the blocked events, which stay in the outbox while others get through.
"""

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from request_events.delivery_log import log_blocked, log_clock_difference, log_rejected
from request_events.log import warn
from request_events.outbox import Outbox
from request_events.outbox_report import OutboxReporter
from request_events.responses import SERVICE_HEADER, BatchOutcome, Lines, clock_ahead, halves, parse_response
from request_events.segment import Postponed, Segment
from request_events.transport import NoResponse, Transport, Unreachable

BATCH_BYTES_MAX = 900_000  # bytes of a batch: less than the service's BODY_BYTES_MAX
BACKOFF_SECONDS = 0.5  # the longest pause after a first failure. It doubles with each further one.
BACKOFF_SECONDS_MAX = 60.0
TRIES = 4  # a batch is sent so often as a whole while the responses are not the service's own
DIVIDING = 24  # so many failures in a row can come from dividing one batch. More of them are an outage.
FAILURES_AGAIN = 16  # a segment that was blocked in its last run ends its run after so many failures
POSTPONED_SECONDS_MAX = 3600.0  # a blocked segment waits at most this long for its next run


@dataclass
class SegmentRun:
    """One run of a segment: what has become of its events so far."""

    previous: Postponed
    left: Lines = field(default_factory=list)  # events that stay in the outbox
    settled: int = 0  # how many events were delivered or quarantined
    early: float = math.inf  # in how many seconds the service will take the first event that is ahead
    no_room: bool = False  # whether an event could not be quarantined because the disk is full
    failures: int = 0  # how often the response was not the service's own, or there was none
    responses_before: int | None = None  # how often the service itself had responded before the first failure
    responses_between: int = 0  # how often it had before the last failure
    problem: str = ""
    is_complete: bool = True  # false if the process is closing, or if the run tried only once and failed
    is_blocked: bool = False


@dataclass(eq=False)
class Delivery:
    """Delivers segments, and remembers across them how often the service responded and how often not."""

    outbox: Outbox
    transport: Transport
    reporter: OutboxReporter
    batch_size: int
    pause: Callable[[float], bool]  # waits so many seconds; False: there is to be no further try
    identified: Callable[[str], None]  # gets the id by which the service names itself in a response, or ""
    responses_seen: int = 0  # how often the service itself has decided on events
    failures: int = 0  # in a row
    suspect_until: float = 0.0  # until then a failed batch is divided at once

    def deliver(self, segment: Segment, patient: bool) -> SegmentRun:
        """Send a segment until each event is delivered, quarantined or left for a later run.

        Without `patient`: try once, and leave the rest.
        """
        run = SegmentRun(segment.previous)
        run.is_complete = self._send_all(segment, run, patient)
        if run.is_complete or not patient:
            self._finish(segment, run)
        return run

    def _send_all(self, segment: Segment, run: SegmentRun, patient: bool) -> bool:
        blocked_runs = run.previous.blocked_runs
        # A run that tries once sees one failure: smaller batches in each further run find the blocked event.
        size = self.batch_size if patient else max(1, self.batch_size >> blocked_runs)
        if blocked_runs:  # the run may end early: so other events come first each time
            segment.reorder(_shuffled)
        batches = segment.batches(size, BATCH_BYTES_MAX)
        for batch in batches:
            parts = [batch]
            is_suspect = blocked_runs or time.monotonic() < self.suspect_until
            tries = 1 if is_suspect else max(1, TRIES - self.failures)
            while parts:
                part = parts.pop()
                outcome = self._send(part)
                self._settle(part, outcome, run)
                parts += outcome.again
                if not outcome.problem:
                    continue
                tries -= outcome.is_foreign
                if patient and outcome.is_foreign and tries <= 0:
                    parts += _divided(parts.pop(), run)
                if not patient or (blocked_runs and run.failures >= FAILURES_AGAIN):
                    run.left += [line for rest in (*parts, *batches) for line in rest]
                    return patient
                if not self.pause(self._seconds_until_next_try(outcome, is_part=tries <= 0)):
                    return False
        return True

    def _send(self, lines: Lines) -> BatchOutcome:
        host, sent = self.transport.host, time.time()
        try:
            response = self.transport.post(b"[" + b",".join(lines) + b"]")
        except Unreachable as error:
            return BatchOutcome([lines], problem=str(error))
        except NoResponse as error:
            problem = f"no response from {host} ({error}): check IMPACT_SERVICE_URL"
            return BatchOutcome([lines], problem=problem, is_foreign=True)
        outcome = parse_response(lines, response.status, response.headers, response.body)
        if outcome.is_foreign:
            outcome.problem = f"{host} answers {response.status}, not in the service's words"
        else:
            log_clock_difference(clock_ahead(response.headers, sent, time.time()))
            self.identified(response.headers.get(SERVICE_HEADER, ""))
        return outcome

    def _settle(self, part: Lines, outcome: BatchOutcome, run: SegmentRun) -> None:
        """Quarantine the rejected events of a batch, and add what came of the batch to the run."""
        for line, reason in outcome.rejected:
            try:
                is_kept = self.outbox.quarantine(line, reason)
            except OSError as problem:
                warn("quarantine", "cannot quarantine a rejected event: %s", problem.strerror or "OSError")
                run.left.append(line)
                run.no_room = True
            else:
                run.settled += 1
                log_rejected(line, reason, is_kept=is_kept)
        for line, seconds in outcome.early:
            run.left.append(line)
            run.early = min(run.early, seconds)
        decided = len(part) - sum(map(len, outcome.again))
        delivered = decided - len(outcome.rejected) - len(outcome.early)
        self.reporter.delivered(delivered)
        run.settled += delivered
        if outcome.is_foreign:
            run.responses_between = self.responses_seen
            if run.responses_before is None:
                run.responses_before = self.responses_seen
            run.failures += 1
            run.problem = outcome.problem
        if decided:
            self.responses_seen += 1
            self.failures = 0
        if outcome.problem:
            self.failures += 1
            warn(outcome.problem, "%s; no event is lost, delivery is tried again", outcome.problem)

    def _seconds_until_next_try(self, outcome: BatchOutcome, *, is_part: bool) -> float:
        if not outcome.is_foreign:
            return backoff(self.failures - 1, outcome.retry_after)
        if is_part and self.failures < DIVIDING:
            return random.uniform(0, BACKOFF_SECONDS / 5)  # noqa: S311  # nosec B311  # nothing secret
        return backoff(self.failures - 1, min(outcome.retry_after, BACKOFF_SECONDS_MAX))

    def _finish(self, segment: Segment, run: SegmentRun) -> None:
        """Keep the events that are left, and set when their next run is.

        Something on the way blocks them if they failed, others got through, and they failed again. In an
        outage, however long, all failures come before anything gets through. Blocked events are never
        quarantined: whatever blocks them may stop doing so.
        """
        if not run.left and not segment.stuck:
            segment.delete()
            return
        previous = run.previous
        before = run.responses_before if previous.responses_seen is None else previous.responses_seen
        run.is_blocked = run.failures > 0 and before is not None and run.responses_between > before
        blocked_runs, seconds = previous.blocked_runs, run.early
        if run.is_blocked or run.no_room or segment.stuck:
            blocked_runs = 1 if run.settled else blocked_runs + 1
            longest = POSTPONED_SECONDS_MAX if run.is_blocked else BACKOFF_SECONDS_MAX
            seconds = min(seconds, longest, 2 * BACKOFF_SECONDS * 2 ** min(blocked_runs, 16))
        until = time.monotonic() + (seconds if seconds < math.inf else 0.0)
        segment.postpone(Postponed(until, blocked_runs, run.responses_between if run.failures else None))
        if run.is_blocked:
            self.suspect_until = time.monotonic() + POSTPONED_SECONDS_MAX
            log_blocked(run.problem, len(run.left))
        try:
            segment.keep(run.left)
        except OSError as problem:  # what was delivered is sent again, and becomes duplicates
            warn("keep", "a file of the outbox cannot be made smaller: %s", problem.strerror or "OSError")


def backoff(attempt: int, retry_after: float) -> float:
    """Seconds until the next try: a random part of a pause that doubles, but at least `retry_after`."""
    longest = min(BACKOFF_SECONDS_MAX, BACKOFF_SECONDS * 2 ** min(attempt, 10))
    jitter = random.uniform(0, longest)  # noqa: S311  # nosec B311  # nothing secret
    return max(jitter, retry_after)


def _shuffled(lines: Lines) -> Lines:
    return random.sample(lines, len(lines))  # nosec B311  # nothing secret


def _divided(lines: Lines, run: SegmentRun) -> list[Lines]:
    """The halves of a batch that failed; a single event is left for a later run."""
    if len(lines) == 1:
        run.left += lines
        return []
    return halves(lines)
