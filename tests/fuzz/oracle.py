"""Decides which events are valid, by docs/api.md. It shares no code with the service.

It reads each JSON number as text, and compares digits.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

RETENTION = timedelta(days=400)
IDS = {"userId": 256, "eventId": 128}
NAMES = {"model": 256, "provider": 64}
SHORT = {"serviceTier": 32, "source": 64}
LABELS = ("callType", "modelGroup", "teamId", "keyAlias", "conversationId", "errorCode")
TOKENS = ("tokens_in", "tokens_out", "tokens_cached", "tokens_cache_write", "tokens_reasoning")
NUMBERS = {"latency": 7, "timeToFirstToken": 7, "costEUR": 9, "costUSD": 9}
NUMBERS |= dict.fromkeys(("costInputUSD", "costOutputUSD", "costToolsUSD"), 9)
"""By field: the maximum is 10 to this power."""
BOOLEANS = ("stream", "cacheHit", "estimated")
KNOWN = [*IDS, *NAMES, *SHORT, *LABELS, *TOKENS, *NUMBERS, *BOOLEANS, "ts", "status", "tags"]
REQUIRED = ("userId", "ts", "model", "provider", "tokens_in", "tokens_out", "latency")
SIZE_MAX = 2048
UNSURE = 100
"""By so many bytes of an event's size, this oracle and the service may differ."""

_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,12}))?(?:[Zz]|([+-])(\d\d):(\d\d))?", re.ASCII
)


class Number(str):
    """A JSON number as written; also NaN and the infinities, which Python accepts."""


class NotJson(Exception):
    """The body cannot be read."""


@dataclass(frozen=True)
class Verdict:
    """The invalid fields of an event; for a valid event, the fields to be stored."""

    bad: frozenset[str]
    fields: dict[str, Any]
    near_the_limit: bool = False
    """Its size is so close to the limit that this estimate cannot decide."""


def read(body: bytes) -> Any:
    """Read JSON. Raises NotJson."""
    try:
        text = body.decode("utf-8").removeprefix("\ufeff")
        return json.loads(text, parse_float=Number, parse_int=Number, parse_constant=Number)
    except (ValueError, RecursionError):
        raise NotJson from None


def judge(event: object, now: datetime) -> Verdict:
    """Judge one event, as `read` returns it."""
    if not isinstance(event, dict):
        return Verdict(frozenset({"event"}), {})
    given = {name: value for name, value in event.items() if value is not None}
    bad = {name for name in REQUIRED if name not in given}
    fields: dict[str, Any] = {}
    for name, value in given.items():
        if not _is_known(name):
            continue
        read_value = _read_field(name, value)
        if read_value is None:
            bad.add(name)
        fields[name] = read_value
    fields.setdefault("status", "success")
    if bad:
        return Verdict(frozenset(bad), {})
    at: datetime = fields["ts"]
    if not now - RETENTION + timedelta(days=2) <= at <= now + timedelta(minutes=5):
        return Verdict(frozenset({"ts"}), {})
    escaped = fields["userId"].replace("%", "%25").replace("#", "%23")
    key_bytes = len(f"{escaped}#{fields.get('eventId', '-' * 32)}".encode())
    if key_bytes > 1024:
        return Verdict(frozenset({"userId"}), {})
    size = key_bytes + sum(len(name) + _size(value) for name, value in fields.items()) + 130
    if "eventId" not in fields:
        size += 39
    if size > SIZE_MAX + UNSURE:
        return Verdict(frozenset(fields), {})
    return Verdict(frozenset(), fields, near_the_limit=size > SIZE_MAX - UNSURE)


def _is_known(name: str) -> bool:
    return name in KNOWN


def _read_field(name: str, value: Any) -> Any:
    """Return the value to be stored, or None if the field does not allow it."""
    if name == "ts":
        return _time(value)
    if name in IDS:
        named = _text(value, 1, IDS[name])
        return named if named and named.strip() and not re.search(r"\{\{[^{}]*\}\}", named) else None
    if name in NAMES:
        return _text(value, 1, NAMES[name])
    if name in LABELS:
        return _text(value, 0, 256)
    if name in SHORT:
        return _text(value, 0, SHORT[name])
    if name in TOKENS:
        number = _number(value, 12) if isinstance(value, Number) else None
        return number if number is not None and number % 1 == 0 else None
    if name in NUMBERS:
        return _number(value, NUMBERS[name]) if isinstance(value, Number) else None
    if name == "status":
        is_text = isinstance(value, str) and not isinstance(value, Number)
        return value if is_text and value in ("success", "failure") else None
    if name == "tags":
        is_list = isinstance(value, list) and len(value) <= 50
        return value if is_list and all(_text(tag, 1, 256) is not None for tag in value) else None
    return value if isinstance(value, bool) else None


def _text(value: Any, least: int, most: int) -> str | None:
    if not isinstance(value, str) or isinstance(value, Number) or not least <= len(value) <= most:
        return None
    return None if any("\ud800" <= character <= "\udfff" for character in value) else value


def _number(text: str, largest: int) -> Decimal | None:
    """The number, if it is from 0 to 10^largest, with up to 38 digits and 38 decimal places."""
    parts = re.fullmatch(r"(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?", text)
    if not parts:
        return None
    sign, whole, fraction, exponent = parts[1], parts[2], parts[3] or "", int(parts[4] or 0)
    digits = (whole + fraction).lstrip("0")
    scale = exponent - len(fraction) + len(digits) - len(digits.rstrip("0"))
    digits = digits.rstrip("0")
    if not digits:
        return Decimal(0)
    magnitude = len(digits) + scale  # the number is 0.digits times 10 to this power
    too_large = magnitude > largest + 1 or (magnitude == largest + 1 and digits != "1")
    if sign or too_large or len(digits) > 38 or -scale > 38:
        return None
    return Decimal(f"{digits}e{scale}")


def _time(text: Any) -> datetime | None:
    parts = _TIME.fullmatch(text) if isinstance(text, str) and not isinstance(text, Number) else None
    if not parts:
        return None
    year, month, day, hour, minute, second = (int(part) for part in parts.group(1, 2, 3, 4, 5, 6))
    micros = int((parts[7] or "").ljust(6, "0")[:6])
    hours, minutes = int(parts[9] or 0), int(parts[10] or 0)
    if hours > 23 or minutes > 59:
        return None
    offset = timedelta(hours=hours, minutes=minutes) * (-1 if parts[8] == "-" else 1)
    try:
        return datetime(year, month, day, hour, minute, second, micros, UTC) - offset
    except (ValueError, OverflowError):
        return None


def _size(value: Any) -> int:
    """Approximate bytes of an attribute, by DynamoDB's developer guide."""
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, list):
        return 3 + sum(1 + len(text.encode()) for text in value)
    if isinstance(value, datetime):
        return 27
    if isinstance(value, Decimal):
        return len(value.as_tuple().digits) // 2 + 2
    return 1
