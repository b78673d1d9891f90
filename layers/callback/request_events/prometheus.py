"""The outbox's metrics in Prometheus. LiteLLM serves them at /metrics.

Used only if the process has imported prometheus_client already. All workers measure the same folder, so of
their gauges the most recent one counts; each worker's own events in memory are added up.
"""

import sys
from typing import Any

from request_events.log import warn

FOLDER, OWN = "livemostrecent", "livesum"
GAUGES = {
    "impact_outbox_events": ("Events on disk that are not delivered yet", FOLDER),
    "impact_outbox_bytes": ("Bytes of the events on disk that are not delivered yet", FOLDER),
    "impact_outbox_limit_bytes": ("Bytes of undelivered events that the outbox has room for", FOLDER),
    "impact_outbox_oldest_age_seconds": ("How long the oldest undelivered event has been waiting", FOLDER),
    "impact_outbox_rejected_bytes": ("Bytes in the outbox's folder rejected/", FOLDER),
    "impact_outbox_memory_events": ("Events that wait in memory, because the disk takes none", OWN),
}
COUNTERS = {
    "impact_events_delivered_total": "Events that the service has taken",
    "impact_events_rejected_total": "Events that the service rejected, or that were not whole",
    "impact_events_dropped_total": "Events that are lost because disk and memory were full",
}

_registered: dict[str, Any] = {}


def publish(gauges: dict[str, float], increases: dict[str, int]) -> bool:
    """Set gauges and raise counters. Return whether that worked."""
    client = sys.modules.get("prometheus_client")
    if not hasattr(client, "Gauge") or not hasattr(client, "Counter"):  # not imported, or only in part
        return False
    try:
        _register(client)
        for name, value in gauges.items():
            _registered[name].set(value)
        for name, increase in increases.items():
            _registered[name].inc(increase)
    except Exception as error:  # another version of it, a second copy of this module, a full disk
        warn(
            "metrics",
            "no metrics in Prometheus (%s); events are delivered all the same",
            type(error).__name__,
            every=float("inf"),
        )
        return False
    return True


def _register(client: Any) -> None:
    for name, (text, mode) in GAUGES.items():
        if name not in _registered:
            _registered[name] = client.Gauge(name, text, multiprocess_mode=mode)
    for name, text in COUNTERS.items():
        if name not in _registered:
            _registered[name] = client.Counter(name, text)
