"""Reads values of LiteLLM's payload without trusting them: a value of the wrong type reads as None.

Callers choose parts of the payload, so a value may be of any class, and a text of any size. Plain texts and
numbers come first in each function, because these run for every request.
"""

import math
from typing import Any

from request_events.limits import LABEL_MAX, TOKENS_MAX, USER_ID_MAX

TS_MIN, TS_MAX = 1577836800.0, 253402300799.0  # from 2020 to the year 9999: others are in milliseconds


def as_dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def as_bool(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def as_number(value: Any) -> int | float | None:
    """A plain int or float, as JSON has it, also of a subclass of one. No bool."""
    if type(value) is float or type(value) is int:
        return value
    if isinstance(value, float):
        return float.__float__(value)
    return int.__int__(value) if isinstance(value, int) and not isinstance(value, bool) else None


def as_instant(value: Any) -> float | None:
    """Seconds since 1970."""
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
    """A plain str, also of a subclass, whose own methods are not called."""
    return str.__str__(value) if isinstance(value, str) else None


def as_string(value: object) -> str | None:
    """A text, or a whole number as text: ids are often numbers."""
    if type(value) is str:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    number = as_number(value)
    return str(number) if isinstance(number, int) and abs(number) < 10**USER_ID_MAX else None


def as_label(value: object) -> str | None:
    """A text or whole number as text, cut to LABEL_MAX characters; None if blank."""
    if value is None:
        return None
    if type(value) is str and 0 < len(value) <= LABEL_MAX and value.isascii() and not value.isspace():
        return value
    text = (as_string(value) or "")[:LABEL_MAX]
    return encodable(text) if text and not text.isspace() else None


def encodable(text: str) -> str:
    """The text, with a `?` for each lone surrogate, which UTF-8 cannot hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def cut(text: str, size: int) -> str:
    """The beginning of a text, at most `size` bytes of UTF-8."""
    if len(text) <= size and text.isascii():
        return text
    return text.encode()[:size].decode("utf-8", "ignore")
