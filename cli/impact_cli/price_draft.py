"""A price as an operator writes it: the options of a command, or an entry of a file."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal, localcontext
from typing import Any, get_args

from impact.calendar import parse_day
from impact.decimals import EXACT
from impact.price_book import TOKENS, Currency, Only, Price, Rates, faults
from request_events.limits import DIGITS_MAX

AMOUNTS = {
    "input": "input",
    "cached": "cached",
    "cache-write": "cacheWrite",
    "output": "output",
    "reasoning": "reasoning",
    "per-request": "perRequest",
    "per-second": "perSecond",
}
"""The rates of a price, by the name of their option."""
CHOICES = {"per": ("million", "token"), "currency": get_args(Currency), "only": get_args(Only)}
"""What these fields can be, the default first."""
FIELDS = ("model", "from", *AMOUNTS, *CHOICES, "source")
REQUIRED = ("model", "from", "source")

_NUMBER = re.compile(r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_WITH_COMMA = re.compile(r"[0-9]+,[0-9]+")
_FIELD_OF = {rate: name for name, rate in AMOUNTS.items()}


class InvalidDraft(ValueError):
    """What is written is no price. `faults` has each field that is wrong, and why."""

    def __init__(self, found: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{field}: {message}" for field, message in found))
        self.faults = found


def read_price(given: Mapping[str, Any]) -> Price:
    """Read a price from its fields, which are texts, whole numbers or dates. Raises InvalidDraft."""
    return _read(given, FIELDS, _price)


def read_end(given: Mapping[str, Any]) -> Price:
    """Read the end of a price from the fields that are required. Raises InvalidDraft."""
    return _read(given, REQUIRED, lambda it: Price("", it["model"], it["from"], None, source=it["source"]))


def _read(
    given: Mapping[str, Any], fields: Sequence[str], make: Callable[[Mapping[str, Any]], Price]
) -> Price:
    found = [(name, f"is no field: {', '.join(fields)}") for name in given if name not in fields]
    found += [(name, "is missing") for name in REQUIRED if _is_blank(given.get(name))]
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name in fields and not _is_blank(value):
            try:
                values[name] = _value(name, value)
            except ValueError as error:
                found.append((name, str(error)))
    if found:
        raise InvalidDraft(found)
    price = make(values)
    if wrong := list(faults(price)):
        raise InvalidDraft([(_FIELD_OF.get(it.field, it.field), it.message) for it in wrong])
    return price


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _value(name: str, value: Any) -> Any:
    if name == "from":
        return _day(value)
    if name in AMOUNTS:
        return parse_amount(value)
    if not isinstance(value, str):
        raise ValueError("must be a text")
    if name in CHOICES and value not in CHOICES[name]:
        raise ValueError(f"must be {' or '.join(CHOICES[name])}")
    if name == "model" and value != value.strip():
        raise ValueError("begins or ends with a blank")
    return value


def _day(value: object) -> str:
    is_date = isinstance(value, date) and not isinstance(value, datetime)
    try:
        return parse_day(str(value) if is_date else value)
    except ValueError:
        raise ValueError("must be a day, YYYY-MM-DD") from None


def parse_amount(value: object) -> Decimal:
    """Read an amount exactly, as it is written. Raises ValueError."""
    text = str(value) if type(value) is int else value
    if not isinstance(text, str):
        raise ValueError("must be a number")
    if not _NUMBER.fullmatch(text):
        hint = f": write {text.replace(',', '.')}" if _WITH_COMMA.fullmatch(text) else ", such as 1.25"
        raise ValueError(f"{text!r} is not a number{hint}")
    return Decimal(text)


def _price(values: Mapping[str, Any]) -> Price:
    rates = {AMOUNTS[name]: value for name, value in values.items() if name in AMOUNTS}
    if values.get("per") == "token":
        rates |= {kind: _times_a_million(rates[kind]) for kind in TOKENS if kind in rates}
    chosen = {name: values.get(name, CHOICES[name][0]) for name in ("currency", "only")}
    return Price("", values["model"], values["from"], Rates(**rates), **chosen, source=values["source"])


def _times_a_million(amount: Decimal) -> Decimal:
    if len(amount.as_tuple().digits) > DIGITS_MAX:
        return amount  # it is refused for its digits
    with localcontext(EXACT):
        return amount.scaleb(6)
