"""Reading values of which nothing is known: what is not of its right type reads as None.

LiteLLM's payload holds parts that come from the caller, so classes of their own, too, and texts of any size.
What is nearly always there, a plain text or number, is told first: these run for every request.
"""

import math
from typing import Any

from request_events.limits import LABEL_MAX, TOKENS_MAX, USER_ID_MAX

TS_MIN, TS_MAX = 1577836800.0, 253402300799.0
"""From 2020 to the last second of the year 9999. What is not within is a counter, or in milliseconds."""


def as_dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def as_bool(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def as_number(value: Any) -> int | float | None:
    """A number as JSON has it, whatever kind of one it is."""
    if type(value) is float or type(value) is int:
        return value
    if isinstance(value, float):
        return float.__float__(value)
    return int.__int__(value) if isinstance(value, int) and not isinstance(value, bool) else None


def as_instant(value: Any) -> float | None:
    if type(value) is float and TS_MIN <= value <= TS_MAX:
        return value
    number = as_number(value)
    return float(number) if number is not None and TS_MIN <= number <= TS_MAX else None


def as_tokens(value: object) -> int | None:
    if value is None:
        return None
    if type(value) is int and 0 <= value <= TOKENS_MAX:
        return value
    number = as_number(value)
    if isinstance(number, float):
        number = int(number) if math.isfinite(number) and number.is_integer() else None
    return number if number is not None and 0 <= number <= TOKENS_MAX else None


def as_text(value: object) -> str | None:
    """Text without what a class of its own makes of it."""
    return str.__str__(value) if isinstance(value, str) else None


def as_string(value: object) -> str | None:
    """Text as it is, and whole numbers as text: an id is often one."""
    if type(value) is str:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    number = as_number(value)
    return str(number) if isinstance(number, int) and abs(number) < 10**USER_ID_MAX else None


def as_label(value: object) -> str | None:
    if value is None:
        return None
    if type(value) is str and 0 < len(value) <= LABEL_MAX and value.isascii() and not value.isspace():
        return value
    text = (as_string(value) or "")[:LABEL_MAX]
    return encodable(text) if text and not text.isspace() else None


def encodable(text: str) -> str:
    """The same text, but for what UTF-8 cannot hold (half a surrogate pair)."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def cut(text: str, size: int) -> str:
    """The beginning of a text, of at most so many bytes."""
    if len(text) <= size and text.isascii():
        return text
    return text.encode()[:size].decode("utf-8", "ignore")
