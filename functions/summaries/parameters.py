"""The query parameters of each route, and how they are read."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from impact.breakdown import DIMENSIONS
from impact.breakdown_reader import PAGE_VALUES
from impact.calendar import DAY, parse_day
from impact.daily_totals import DAYS_MAX
from impact.http import HttpError
from impact.keys import SORT_KEY_BYTES, has_room
from impact.naming import is_utf8
from request_events.limits import LABEL_MAX, MODEL_MAX, PROVIDER_MAX, USER_ID_MAX

DEFAULT_DAYS = 30
DIMENSION_OF = {"teamId": "team", "keyAlias": "key", "tag": "tag", "model": "model", "provider": "provider"}
MY_DIMENSIONS = ("model", "provider")
"""What a summary knows: a person's own breakdown is of their summaries."""
DAILY_MAX = 10
OF_WHAT = ("userId", *DIMENSION_OF, "day")


def _user_id(text: str) -> str:
    if not 1 <= len(text) <= USER_ID_MAX or not has_room(text):
        raise ValueError
    return text


def _date(text: str) -> date:
    return date.fromisoformat(parse_day(text))


def _text(most: int) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not 1 <= len(text) <= most or not is_utf8(text):
            raise ValueError
        return text

    return read


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError
    return text == "true"


@dataclass(frozen=True)
class Parameter:
    """A query parameter."""

    meaning: str
    schema: Mapping[str, Any]
    rule: str = ""  # the message where `read` raises ValueError
    read: Callable[[str], Any] = str


_A_DATE = {"type": "string", "format": "date", "pattern": f"^{DAY}$"}
_A_USER = {"type": "string", "minLength": 1, "maxLength": USER_ID_MAX}
_DATE_RULE = "must be a date, YYYY-MM-DD"
_USER_RULE = f"must have 1 to {USER_ID_MAX} characters, and fit {SORT_KEY_BYTES} bytes"


def _whole_number(meaning: str, least: int, most: int, default: int) -> Parameter:
    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) or not least <= int(text) <= most:
            raise ValueError
        return int(text)

    return Parameter(
        meaning,
        {"type": "integer", "minimum": least, "maximum": most, "default": default},
        f"must be a whole number from {least} to {most}",
        read,
    )


FRESH = Parameter(
    "With `userId`: count days that are not final from the ledger, now. `notFresh` names those that "
    "there was no time for.",
    {"type": "boolean", "default": False},
    "must be true or false",
    _flag,
)
FROM = Parameter(f"First day; without it {DEFAULT_DAYS} days to `to`.", _A_DATE, _DATE_RULE, _date)
TO = Parameter("Last day, included; without it today.", _A_DATE, _DATE_RULE, _date)
CURSOR = Parameter("`next` of the page before.", {"type": "string"})
_LONGEST = {"model": PROVIDER_MAX + 1 + MODEL_MAX, "provider": PROVIDER_MAX}  # a model is provider/model


def _one(by: str) -> Parameter:
    most = _LONGEST.get(by, LABEL_MAX)
    return Parameter(
        f"The days of one {by}.",
        {"type": "string", "minLength": 1, "maxLength": most},
        f"must have 1 to {most} characters",
        _text(most),
    )


VALUES = {name: _one(by) for name, by in DIMENSION_OF.items()}


def _by(*dimensions: str) -> Parameter:
    def read(text: str) -> str:
        if text not in dimensions:
            raise ValueError
        return text

    return Parameter(
        "The dimension: what each of its values did.",
        {"type": "string", "enum": list(dimensions)},
        f"must be one of {', '.join(dimensions)}",
        read,
    )


PARAMETERS = {
    "GET /api/summaries": {
        "userId": Parameter(
            "Whose days. One of `userId`, `teamId`, `keyAlias`, `tag`, `model`, `provider` and `day`.",
            _A_USER,
            _USER_RULE,
            _user_id,
        ),
        "from": FROM,
        "to": TO,
        "fresh": FRESH,
        "day": Parameter("Every user of this day.", _A_DATE, _DATE_RULE, _date),
        **VALUES,
        "cursor": CURSOR,
    },
    "GET /api/totals": {"from": FROM, "to": TO},
    "GET /api/breakdown": {
        "by": _by(*DIMENSIONS),
        "from": FROM,
        "to": TO,
        "limit": _whole_number("Most values on a page.", 1, PAGE_VALUES, PAGE_VALUES),
        "daily": _whole_number(
            "Of how many of the dearest values to return what they cost on each day, too.", 0, DAILY_MAX, 0
        ),
        "cursor": CURSOR,
    },
    "GET /api/me/summaries": {
        "from": FROM,
        "to": TO,
        "fresh": replace(FRESH, meaning=FRESH.meaning.removeprefix("With `userId`: ").capitalize()),
        "cursor": CURSOR,
    },
    "GET /api/me/breakdown": {
        "by": _by(*MY_DIMENSIONS),
        "from": FROM,
        "to": TO,
    },
}
"""By route. Other parameters are ignored."""


def read_query(route: str, query: Mapping[str, str]) -> dict[str, Any]:
    """Read the parameters that a route knows. Raises HttpError with every wrong one."""
    values, wrong = {}, []
    for name, parameter in PARAMETERS[route].items():
        if name in query:
            try:
                values[name] = parameter.read(query[name])
            except ValueError:
                wrong.append({"field": name, "message": parameter.rule})
    if wrong:
        raise HttpError(422, "invalid", f"{wrong[0]['field']} {wrong[0]['message']}.", wrong)
    if route == "GET /api/summaries" and sum(name in values for name in OF_WHAT) != 1:
        raise invalid("userId", f"or one of {', '.join(OF_WHAT[1:])} must be given, and one alone")
    if "by" in PARAMETERS[route] and "by" not in values:
        raise invalid("by", PARAMETERS[route]["by"].rule)
    return values


def days_asked(values: Mapping[str, Any], today: date) -> tuple[str, str]:
    """Return the first and the last day of the query, both included. Raises HttpError."""
    last = values.get("to", today)
    first = values.get("from", last - timedelta(days=DEFAULT_DAYS - 1))
    days = (last - first).days + 1
    if days < 1:
        raise invalid("from", "must not be after to")
    if days > DAYS_MAX:
        raise invalid("from", f"must give at most {DAYS_MAX} days, to included")
    return first.isoformat(), last.isoformat()


def invalid(field: str, message: str) -> HttpError:
    return HttpError(422, "invalid", f"{field} {message}.", [{"field": field, "message": message}])
