"""The keys under which things lie in DynamoDB. They come from the event alone: the key is the idempotency."""

import hashlib

MARK = "mark"
"""State kind: (day, shard)s that an event reached after their day had closed, MARK_GROUP to an item."""
OLD_MARK = "late"
"""State kind: the same as earlier versions left it, an item each."""
SHARD_TOTAL = "total"
"""State kind: the sum of a (day, shard), over all its users."""
DAILY_TOTAL = "day"
"""State kind: the sum of a day, over all its shards."""
PERIOD = "settings"
"""State kind: from which day on which settings hold."""
PROGRESS = "rollup"
"""State kind: how far days are final."""
FX_RATE = "rate"
"""State kind: the euro reference rate of an ECB date."""
MARK_GROUP = 32
"""Shards whose late marks share an item: as many as fit a write unit."""
SORT_KEY_BYTES = 1024
"""DynamoDB's limit for a sort key."""


def shard_of(user_id: str, shard_count: int) -> int:
    return int.from_bytes(hashlib.sha256(user_id.encode()).digest()[:8]) % shard_count


def day_shard(day: str, shard: int) -> str:
    """Partition of the ledger, and key of a (day, shard) in State: `2026-11-23#07`."""
    return f"{day}#{shard:02d}"


def parse_day_shard(key: str) -> tuple[str, int]:
    day, _, shard = key.partition("#")
    return day, int(shard)


def fx_rate_key(ecb_date: str, correction: int = 0) -> str:
    """Key of a rate in State: `2026-11-20` for the first one of an ECB date, `2026-11-20#01` corrects it."""
    return f"{ecb_date}#{correction:02d}" if correction else ecb_date


def parse_fx_rate_key(key: str) -> tuple[str, int]:
    ecb_date, _, correction = key.partition("#")
    return ecb_date, int(correction or 0)


def user_prefix(user_id: str) -> str:
    """What the sort keys of one user's events begin with, and of nobody else's."""
    return user_id.replace("%", "%25").replace("#", "%23") + "#"


def has_room(user_id: str) -> bool:
    """Tell whether an id fits a key at all: no event of another one can be in the ledger."""
    try:
        return len(user_prefix(user_id).encode()) <= SORT_KEY_BYTES
    except UnicodeEncodeError:
        return False


def user_event(user_id: str, event_id: str) -> str:
    return user_prefix(user_id) + event_id
