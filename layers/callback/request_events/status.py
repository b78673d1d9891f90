"""What an operator is told of the outbox: in the proxy's log while something is wrong, and in Prometheus."""

import logging
import math

from request_events import metrics
from request_events.depth import REJECTED, Depth
from request_events.notices import warn
from request_events.outbox import FOLDER_BYTES, MEMORY_EVENTS, REJECTED_BYTES, Outbox

LATE_SECONDS = 300.0
"""An event that waits for longer is told of, beyond how long it may wait for others."""
RECOVERED_SECONDS = 60.0
"""Deliveries have recovered once no event waits for longer, beyond that."""
REPEAT_SECONDS = 600.0
"""How often a delay is told of while it lasts."""
MB = 1_000_000
EVENT_BYTES_MAX = 4096
"""No event is larger: with less room than this, the outbox is full."""


class Status:
    """Looks at an outbox now and then. Not on the event loop: it reads files."""

    def __init__(self, outbox: Outbox, flush_seconds: float) -> None:
        self._outbox = outbox
        self._flush_seconds = flush_seconds
        self._late = False
        self._told_dropped = self._told_rejected_dropped = 0
        self._delivered = 0
        self._published: dict[str, int] = {}

    def delivered(self, events: int) -> None:
        """Count what the service has taken."""
        self._delivered += events

    def report(self, now: float) -> None:
        """Log what there is to say and set the metrics; `now` in seconds since 1970. Raises OSError."""
        depth = self._outbox.measure()
        age = max(0.0, now - depth.oldest) if depth.oldest is not None else 0.0
        room = int(max(0, min(FOLDER_BYTES - depth.bytes_here, depth.free)))
        self._tell_of_delay(depth, age, room)
        self._tell_of_room(depth, room)
        self._tell_of_losses(depth)
        self._tell_of_rejected(depth)
        if depth.stranger is not None:
            warn(
                "stranger",
                "the outbox holds files that are not its own, or a newer version's: %r is left alone",
                depth.stranger,
                every=math.inf,
            )
        self._publish(depth, age, room)

    def _tell_of_delay(self, depth: Depth, age: float, room: int) -> None:
        beyond = age - self._flush_seconds
        if beyond > LATE_SECONDS:
            self._late = True
            text = "%d events (%.1f MB) wait in the outbox, the oldest for %d minutes; room for %d MB more"
            numbers = (depth.events, depth.bytes / MB, age // 60, room // MB)
            warn("late", text, *numbers, every=REPEAT_SECONDS)
        elif self._late and beyond < RECOVERED_SECONDS:
            self._late = False
            warn(
                "caught up", "deliveries have caught up: %d events wait in the outbox", depth.events, every=0
            )

    def _tell_of_room(self, depth: Depth, room: int) -> None:
        if depth.bytes_here > room:
            warn(
                "room",
                "the outbox is %d%% full: %d events wait (%d MB), room for about %d more; "
                "once it is full, new events are dropped",
                *(100 * depth.bytes_here // (depth.bytes_here + room), depth.events, depth.bytes // MB),
                room * depth.events // depth.bytes,
            )
        waiting = self._outbox.in_memory
        if waiting > MEMORY_EVENTS // 10:
            warn(
                "memory",
                "%d events wait in memory, room for %d more; they are lost if the process is killed",
                *(waiting, MEMORY_EVENTS - waiting),
            )

    def _tell_of_losses(self, depth: Depth) -> None:
        dropped = self._outbox.dropped
        if dropped > self._told_dropped and warn(
            "dropped",
            "%d events were dropped since the start of this process, the newest ones: %s, "
            "and %d wait in memory",
            *(
                dropped,
                "the outbox is full"
                if depth.bytes_here >= FOLDER_BYTES - EVENT_BYTES_MAX
                else "the disk takes none",
            ),
            self._outbox.in_memory,
            level=logging.ERROR,
        ):
            self._told_dropped = dropped

    def _tell_of_rejected(self, depth: Depth) -> None:
        if depth.rejected_bytes > REJECTED_BYTES // 2:
            text = "the outbox's folder %s/ holds %d MB, %d at most: see why, then delete its files"
            numbers = (depth.rejected_bytes // MB, REJECTED_BYTES // MB)
            warn("rejected/", text, REJECTED, *numbers, every=REPEAT_SECONDS)
        dropped = self._outbox.rejected_dropped
        if dropped > self._told_rejected_dropped and warn(
            "rejected dropped",
            "%d refused events were dropped since the start of this process: the folder %s/ is full",
            *(dropped, REJECTED),
            level=logging.ERROR,
        ):
            self._told_rejected_dropped = dropped

    def _publish(self, depth: Depth, age: float, room: int) -> None:
        counts = {
            "impact_events_delivered_total": self._delivered,
            "impact_events_rejected_total": self._outbox.rejected,
            "impact_events_dropped_total": self._outbox.dropped,
        }
        gauges: dict[str, float] = {
            "impact_outbox_events": depth.events,
            "impact_outbox_bytes": depth.bytes,
            "impact_outbox_limit_bytes": depth.bytes + room,
            "impact_outbox_oldest_age_seconds": age,
            "impact_outbox_rejected_bytes": depth.rejected_bytes,
            "impact_outbox_memory_events": self._outbox.in_memory,
        }
        increases = {name: count - self._published.get(name, 0) for name, count in counts.items()}
        if metrics.publish(gauges, increases):
            self._published = counts
