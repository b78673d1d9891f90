"""Reports on the outbox to operators: in the proxy's log if something is wrong, and as Prometheus metrics."""

import logging
import math

from request_events import prometheus
from request_events.log import warn
from request_events.outbox import FOLDER_BYTES, MEMORY_EVENTS, Outbox
from request_events.outbox_stats import OutboxStats
from request_events.quarantine import REJECTED, REJECTED_BYTES

LATE_SECONDS = 300.0  # events that wait for this much longer than the flush interval are logged
RECOVERED_SECONDS = 60.0  # deliveries have recovered once no event waits this much longer than it
REPEAT_SECONDS = 600.0  # how often a delay is logged while it lasts
MB = 1_000_000
LINE_BYTES_MAX = 4096  # no event's line is longer: with less room than this, the outbox is full


class OutboxReporter:
    """Measures an outbox and reports on it. Reads files: not for the event loop."""

    def __init__(self, outbox: Outbox, flush_seconds: float) -> None:
        self._outbox = outbox
        self._flush_seconds = flush_seconds
        self._late = False
        self._logged_dropped = self._logged_rejected_dropped = 0
        self._delivered = 0
        self._published: dict[str, int] = {}

    def delivered(self, events: int) -> None:
        """Add to the number of events that the service has taken."""
        self._delivered += events

    def report(self, now: float) -> None:
        """Log what is wrong, and set the metrics; `now` in seconds since 1970. Raises OSError."""
        stats = self._outbox.measure()
        age = max(0.0, now - stats.oldest) if stats.oldest is not None else 0.0
        room = int(max(0, min(FOLDER_BYTES - stats.here.bytes, stats.here.free)))
        self._log_delay(stats, age, room)
        self._log_room(stats, room)
        self._log_dropped(stats.here.bytes)
        self._log_rejected(stats.here.rejected_bytes)
        if stats.here.stranger is not None:
            text = "the outbox holds files that are not its own, or a newer version's: %r is left alone"
            warn("stranger", text, stats.here.stranger, every=math.inf)
        self._publish(stats, age, room)

    def _log_delay(self, stats: OutboxStats, age: float, room: int) -> None:
        beyond = age - self._flush_seconds
        if beyond > LATE_SECONDS:
            self._late = True
            text = "%d events (%.1f MB) wait in the outbox, the oldest for %d minutes; room for %d MB more"
            numbers = (stats.events, stats.bytes / MB, age // 60, room // MB)
            warn("late", text, *numbers, every=REPEAT_SECONDS)
        elif self._late and beyond < RECOVERED_SECONDS:
            self._late = False
            text = "deliveries have caught up: %d events wait in the outbox"
            warn("caught up", text, stats.events, every=0)

    def _log_room(self, stats: OutboxStats, room: int) -> None:
        here = stats.here.bytes
        if here > room:
            text = "the outbox is %d%% full: %d events wait (%d MB), room for about %d more; "
            text += "once it is full, new events are dropped"
            more = room * stats.events // stats.bytes
            warn("room", text, 100 * here // (here + room), stats.events, stats.bytes // MB, more)
        waiting = self._outbox.in_memory
        if waiting > MEMORY_EVENTS // 10:
            text = "%d events wait in memory, room for %d more; they are lost if the process is killed"
            warn("memory", text, waiting, MEMORY_EVENTS - waiting)

    def _log_dropped(self, bytes_here: int) -> None:
        dropped = self._outbox.dropped
        is_full = bytes_here >= FOLDER_BYTES - LINE_BYTES_MAX
        if dropped > self._logged_dropped and warn(
            "dropped",
            "%d events were dropped since the start of this process, the newest ones: %s, "
            "and %d wait in memory",
            *(dropped, "the outbox is full" if is_full else "the disk takes none", self._outbox.in_memory),
            level=logging.ERROR,
        ):
            self._logged_dropped = dropped

    def _log_rejected(self, rejected_bytes: int) -> None:
        if rejected_bytes > REJECTED_BYTES // 2:
            text = "the outbox's folder %s/ holds %d MB, %d at most: see why, then delete its files"
            numbers = (rejected_bytes // MB, REJECTED_BYTES // MB)
            warn("rejected/", text, REJECTED, *numbers, every=REPEAT_SECONDS)
        dropped = self._outbox.rejected_dropped
        if dropped > self._logged_rejected_dropped and warn(
            "rejected dropped",
            "%d rejected events were dropped since the start of this process: the folder %s/ is full",
            *(dropped, REJECTED),
            level=logging.ERROR,
        ):
            self._logged_rejected_dropped = dropped

    def _publish(self, stats: OutboxStats, age: float, room: int) -> None:
        counts = {
            "impact_events_delivered_total": self._delivered,
            "impact_events_rejected_total": self._outbox.rejected,
            "impact_events_dropped_total": self._outbox.dropped,
        }
        gauges: dict[str, float] = {
            "impact_outbox_events": stats.events,
            "impact_outbox_bytes": stats.bytes,
            "impact_outbox_limit_bytes": stats.bytes + room,
            "impact_outbox_oldest_age_seconds": age,
            "impact_outbox_rejected_bytes": stats.here.rejected_bytes,
            "impact_outbox_memory_events": self._outbox.in_memory,
        }
        increases = {name: count - self._published.get(name, 0) for name, count in counts.items()}
        if prometheus.publish(gauges, increases):
            self._published = counts
