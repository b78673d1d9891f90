"""Which days a tool's figures are of: a month, or a range."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from impact.calendar import parse_day
from impact.daily_totals import DAYS_MAX

MONTH = "2[0-9]{3}-(0[1-9]|1[0-2])"  # a month as text: a regular expression


class BadArgument(Exception):
    """An argument that a tool cannot take. The message is for the model, which may ask again."""


@dataclass(frozen=True)
class Period:
    """Days, `YYYY-MM-DD`, both included."""

    first: str
    last: str

    @property
    def days(self) -> int:
        return (date.fromisoformat(self.last) - date.fromisoformat(self.first)).days + 1


def period_asked(arguments: Mapping[str, Any], today: str) -> Period:
    """Read `month`, or `from` and `to`. Without them it is this month up to today. Raises BadArgument."""
    if "month" in arguments:
        if "from" in arguments or "to" in arguments:
            raise BadArgument("Give either month, or from and to.")
        return _month(arguments["month"], today)
    last = _day(arguments, "to") or today
    first = _day(arguments, "from") or f"{last[:7]}-01"
    period = Period(first, last)
    if period.days < 1:
        raise BadArgument("from must not be after to.")
    if period.days > DAYS_MAX:
        raise BadArgument(f"from and to must be at most {DAYS_MAX} days apart, both included.")
    return period


def _month(value: Any, today: str) -> Period:
    try:
        first = date.fromisoformat(parse_day(f"{value}-01"))
    except ValueError:
        raise BadArgument("month must be a month, YYYY-MM, such as 2026-11.") from None
    last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    is_this_month = first.isoformat() <= today <= last.isoformat()
    return Period(first.isoformat(), today if is_this_month else last.isoformat())


def _day(arguments: Mapping[str, Any], name: str) -> str | None:
    if name not in arguments:
        return None
    try:
        return parse_day(arguments[name])
    except ValueError:
        raise BadArgument(f"{name} must be a day, YYYY-MM-DD, such as 2026-11-23.") from None
