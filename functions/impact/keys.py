"""The keys in DynamoDB. Those of events come from the event alone: the key makes delivery idempotent."""

import hashlib

MARK = "mark"  # State kind: late marks, MARK_GROUP shards of a day to an item
OLD_MARK = "late"  # State kind: late marks of earlier releases, an item each
SHARD_TOTAL = "total"  # State kind: the total of a (day, shard), over its users
DAILY_TOTAL = "day"  # State kind: the total of a day, over its shards
PERIOD = "settings"  # State kind: the settings of days
PROGRESS = "rollup"  # State kind: the rollup's watermark
FX_RATE = "rate"  # State kind: the euro reference rate of an ECB date
BREAKDOWN = "breakdown"  # State kind: usage by dimension, of the shards of a day or of days
PRICE = "price"  # State kind: the price book, a revision an item
DAY_PRICES = "day-prices"  # State kind: the revision of the price book that a final day is counted with
UNPRICED = "unpriced"  # State kind: models that had a request without a cost
CORRECTION = "correction"  # State kind: corrections of final days
LINK_KEY = "link-key"  # State kind: the keys that sign a person's links
LINK_GENERATION = "link-generation"  # State kind: how often a user's links were taken back
NAME = "name"  # begins the State kinds of names: `name#user`, `name#team`, `name#key`
MARK_GROUP = 32  # shards whose late marks share an item: as many as fit one write unit
SORT_KEY_BYTES = 1024  # DynamoDB's limit for a sort key


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


def name_kind(kind: str) -> str:
    """The State kind of the names of users, teams or keys: `name#user`."""
    return f"{NAME}#{kind}"


def user_prefix(user_id: str) -> str:
    """The prefix of the sort keys of one user's events, and of nobody else's."""
    return user_id.replace("%", "%25").replace("#", "%23") + "#"


def has_room(user_id: str) -> bool:
    """Tell whether an id fits into a sort key. The ledger has no event of one that does not."""
    try:
        return len(user_prefix(user_id).encode()) <= SORT_KEY_BYTES
    except UnicodeEncodeError:
        return False


def user_event(user_id: str, event_id: str) -> str:
    return user_prefix(user_id) + event_id
