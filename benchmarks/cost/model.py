"""What the service costs on AWS: dollars a month, from measured units and list prices."""

from dataclasses import dataclass
from math import ceil, inf
from types import MappingProxyType

GB = 2**30
MILLION = 1_000_000
HOURS = 730  # of a month, as AWS counts
DAYS = HOURS / 24

PRICES_DATE = "November 2026"
PRICES = MappingProxyType(  # dollars, us-east-1, on demand, without free tiers
    {
        # aws.amazon.com/dynamodb/pricing/on-demand: Standard, and Standard-Infrequent Access
        "write": 0.625 / MILLION,
        "read": 0.125 / MILLION,
        "write, IA": 0.78 / MILLION,
        "read, IA": 0.155 / MILLION,
        "storage, GB-month": 0.25,
        "storage, IA, GB-month": 0.10,
        "point-in-time recovery, GB-month": 0.20,
        # aws.amazon.com/lambda/pricing: arm64
        "GB-second": 0.0000133334,
        "invocation": 0.20 / MILLION,
        # aws.amazon.com/sqs/pricing and, for Scheduler, aws.amazon.com/eventbridge/pricing
        "SQS request": 0.40 / MILLION,
        "schedule": 1.00 / MILLION,
        # aws.amazon.com/cloudwatch/pricing
        "alarm": 0.10,
        "metric": 0.30,
        "log storage, GB-month": 0.03 * 0.15,  # compressed to 15 %
    }
)
API_TIERS = ((300 * MILLION, 1.00 / MILLION), (inf, 0.90 / MILLION))
"""Dollars a request of an HTTP API, up to so many a month (aws.amazon.com/api-gateway/pricing)."""
LOG_TIERS = ((10_240, 0.50), (30_720, 0.25), (51_200, 0.10), (inf, 0.05))
"""Dollars a GB of logs that AWS services write ("vended"), up to so many GB a month."""


@dataclass(frozen=True)
class Units:
    """What was measured, and by which command."""

    # `python -m benchmarks.cost`, by DynamoDB's own rule for the size of an item
    event_bytes: int = 836  # of a streamed chat from LibreChat with all fields, footprint and euros
    summary_bytes: int = 1230  # of a user's day with two models
    summary_bytes_of_one_model: int = 951
    # the same: what a delivery writes to the logs of ingest (Lambda's own lines too) and of the API
    log_bytes: int = 851
    # `python -m benchmarks.ingest`: processor time of an event. The wait for DynamoDB is assumed.
    ingest_ms: float = 1.8
    ingest_wait_ms: float = 12.0
    # `python -m benchmarks.rollup`: events that a worker reads in a second
    events_a_second: int = 50_000
    # `python -m benchmarks.units` with DynamoDB Local: of State, for one recompute of a (day, shard)
    state_reads: float = 3.5
    state_writes: float = 6.0  # four of them are usage by dimension, of 60 users and keys


@dataclass(frozen=True)
class Usage:
    """How the service is used: by users with 1,000 events a month, on 22 days, with two models."""

    events: int  # a month
    delivered: int  # events in a delivery
    shards: int = 16
    retention_days: int = 400
    user_events: float = 1000 / 22  # of a user on a day
    user_hours: int = 5  # of a day in which a user is active: each makes the rollup write the summary again
    lateness_hours: int = 3  # ALLOWED_LATENESS: how long a day stays open after its end

    @property
    def user_days(self) -> float:
        return self.events / self.user_events

    @property
    def months_kept(self) -> float:
        return self.retention_days / DAYS


OVERHEAD_BYTES = 100  # of an item, which DynamoDB bills as stored
READ_BYTES = 4096  # of a strongly consistent read unit; an eventually consistent one reads twice as many
INGEST_GB, WORKER_GB, SMALL_GB = 1.0, 1769 / 1024, 0.5
INGEST_SHARE = 1024 / 1769  # of a processor
ALARMS = 25
METRICS = 8  # those that a stack without trouble emits
EMPTY_POLLS = 5 * 3 * 60 * HOURS  # Lambda's five pollers of RollupQueue wait 20 s each
RECOMPUTE_SECONDS = 0.2  # without reading events


def tiered(amount: float, tiers: tuple[tuple[float, float], ...]) -> float:
    """Dollars for an amount whose price falls with it. `tiers`: up to how much, and its price."""
    dollars, begin = 0.0, 0.0
    for end, price in tiers:
        dollars += max(min(amount, end) - begin, 0) * price
        begin = end
    return dollars


def dollars(units: Units, usage: Usage, *, first_month: bool = False) -> dict[str, float]:
    """Return the dollars of a month, by what they are for.

    In the first month the tables grow from nothing: half a month's items are stored on average. In the steady
    state the ledger holds `retention_days`, and summaries, which are kept for good, as many.
    """
    months = 0.5 if first_month else usage.months_kept
    ledger_gb = usage.events * (units.event_bytes + OVERHEAD_BYTES) * months / GB
    summaries_gb = usage.user_days * (units.summary_bytes + OVERHEAD_BYTES) * months / GB
    deliveries = usage.events / usage.delivered
    open_hours = 24 / 2 + usage.lateness_hours  # of an event's day, on average after its arrival
    recomputes = DAYS * usage.shards * (24 + usage.lateness_hours)
    # Each hour reads the open days at half the price; once a day has closed, it is read at the full price.
    reads = (open_hours / 2 + 1) * units.event_bytes / READ_BYTES
    summary_units = ceil(units.summary_bytes / 1024)
    # The first hour of use has one model; the last write, once the day has closed, makes it final.
    summary_writes = ceil(units.summary_bytes_of_one_model / 1024) + usage.user_hours * summary_units
    index_writes = 1
    log_gb = deliveries * units.log_bytes / GB
    ingest_seconds = (units.ingest_wait_ms + units.ingest_ms / INGEST_SHARE * usage.delivered) / 1000
    worker_seconds = usage.events * (open_hours + 1) / units.events_a_second + recomputes * RECOMPUTE_SECONDS
    p = PRICES
    return {
        "ledger: writes": usage.events * ceil(units.event_bytes / 1024) * p["write, IA"],
        "ledger: storage": ledger_gb * p["storage, IA, GB-month"],
        "ledger: point-in-time recovery": ledger_gb * p["point-in-time recovery, GB-month"],
        "rollup: reads of the ledger": usage.events * reads * p["read, IA"],
        "rollup: summaries": usage.user_days
        * ((summary_writes + index_writes) * p["write, IA"] + (open_hours / 2 + 1) * p["read, IA"]),
        "rollup: totals, marks": recomputes
        * (units.state_reads * p["read"] + units.state_writes * p["write"]),
        "rollup: Lambda, SQS": worker_seconds * WORKER_GB * p["GB-second"]
        + recomputes * p["invocation"]
        + (EMPTY_POLLS + 2.1 * recomputes) * p["SQS request"]
        + 2 * HOURS * (SMALL_GB * p["GB-second"] + p["invocation"] + p["schedule"]),
        "summaries: storage, recovery": summaries_gb
        * (p["storage, IA, GB-month"] + p["point-in-time recovery, GB-month"]),
        "deliveries: API": tiered(deliveries, API_TIERS),
        "deliveries: Lambda": deliveries * (ingest_seconds * INGEST_GB * p["GB-second"] + p["invocation"]),
        "deliveries: logs": tiered(log_gb, LOG_TIERS) + log_gb * p["log storage, GB-month"],
        "alarms, metrics": ALARMS * p["alarm"] + METRICS * p["metric"],
    }
