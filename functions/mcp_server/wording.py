"""Figures and names as text for a language model: one meaning each, and nothing in them that instructs.

Amounts have a unit, a decimal point and no separators of thousands. A rounded amount is marked as rounded,
and the exact one stands beside it. Names come from users: they are quoted, and stay on one line.
"""

from collections.abc import Sequence
from decimal import Context, Decimal
from typing import Any

NAME_SHOWN = 120  # characters of a name, at most
DAYS_SHOWN = 5
_PLAIN = frozenset(" -._:/@+,=#()")
_INVISIBLE = frozenset("\u115f\u1160\u3164\uffa0")  # fillers of Hangul: letters that show nothing
_ANY_DIGITS = Context(prec=200)  # more than a DynamoDB number can have


def plain(number: Decimal | int) -> str:
    """Write every digit, and no exponent."""
    return format(Decimal(number), "f")


def rounded(number: Decimal | int) -> Decimal:
    """Round to two decimal places, or to two digits where the first of them comes later."""
    number = Decimal(number)
    places = max(2, 1 - number.adjusted())
    return number.quantize(Decimal(1).scaleb(-places), context=_ANY_DIGITS)


def amount(number: Decimal | int, unit: str) -> str:
    """`12.35 EUR (rounded; exactly 12.345678 EUR)`, or `exactly 12.5 EUR`."""
    return amounts(number, number, unit)


def amounts(low: Decimal | int, high: Decimal | int, unit: str) -> str:
    """`0.012 to 0.034 kWh (rounded; exactly 0.01234 to 0.0341 kWh)`."""
    exact = _range(low, high)
    if rounded(low) == low and rounded(high) == high:
        return f"exactly {exact} {unit}"
    return f"{_range(rounded(low), rounded(high))} {unit} (rounded; exactly {exact} {unit})"


def _range(low: Decimal | int, high: Decimal | int) -> str:
    return plain(low) if low == high else f"{plain(low)} to {plain(high)}"


def count(number: Any, what: str) -> str:
    """`1 request`, `2 requests`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def shown_name(name: str) -> str:
    """A name on one line: what could be markup or another line is escaped, a long one is cut."""
    shown = ""
    for character in name:
        is_plain = character in _PLAIN or (character.isalnum() and character not in _INVISIBLE)
        shown += character if is_plain else f"\\u{{{ord(character):x}}}"
        if len(shown) > NAME_SHOWN:
            return f"{shown[:NAME_SHOWN]}..."
    return shown


def quoted(name: str) -> str:
    return f'"{shown_name(name)}"'


def listed(days: Sequence[str]) -> str:
    """List days in order, or only how many there are and between which days."""
    if len(days) <= DAYS_SHOWN:
        return ", ".join(days)
    return f"{count(len(days), 'day')} between {days[0]} and {days[-1]}"
