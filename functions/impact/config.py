"""What the stack's parameters say, read from the environment that the template gives each function."""

import os
from datetime import timedelta
from zoneinfo import ZoneInfo

from impact.calendar import Calendar


def calendar() -> Calendar:
    return Calendar(
        zone=ZoneInfo(os.environ.get("REPORTING_TIME_ZONE", "UTC")),
        retention=timedelta(days=int(os.environ.get("RETENTION_DAYS", "400"))),
    )


def shard_count() -> int:
    return int(os.environ.get("SHARD_COUNT", "16"))
