"""Days and user ids as people type them: 2026-11-23, 2026-11, today, yesterday, this-month, last-month."""

import re
from calendar import monthrange
from collections.abc import Callable
from datetime import date, timedelta
from functools import cache
from typing import Any

import click

from impact.calendar import DAY
from impact.keys import has_room
from impact.naming import is_utf8
from request_events.limits import LABEL_MAX, USER_ID_MAX, is_somebody

WORDS = ("today", "yesterday", "this-month", "last-month")
MONTH = "2[0-9]{3}-[0-9]{2}"  # a regular expression
EXAMPLES = "YYYY-MM-DD, YYYY-MM, today, yesterday, this-month or last-month"


class Day(click.ParamType):
    """A day, a month, or a word for one. It is resolved once the current day is known."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if text in WORDS:
            return text
        try:
            if not re.fullmatch(rf"{DAY}|{MONTH}", text):
                raise ValueError
            date.fromisoformat(f"{text}-01"[: len("YYYY-MM-DD")])
        except ValueError:
            self.fail(f"{text!r} is not a day: {EXAMPLES}.", param, ctx)
        return text


class SingleDay(click.ParamType):
    """A day: a date, `today` or `yesterday`; without `words` only a date."""

    name = "day"

    def __init__(self, *, words: bool = True):
        self._words = ("today", "yesterday") if words else ()

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if text in self._words:
            return text
        try:
            if not re.fullmatch(DAY, text):
                raise ValueError
            return date.fromisoformat(text).isoformat()
        except ValueError:
            self.fail(f"{text!r} is not a day: {' or '.join(('YYYY-MM-DD', *self._words))}.", param, ctx)


class UserId(click.ParamType):
    """A user id, taken as it is. No event has another one."""

    name = "user"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if not is_utf8(text):
            self.fail("The id is not UTF-8: no event has it.", param, ctx)
        if not text:
            self.fail("The id is empty: no event has it.", param, ctx)
        if len(text) > USER_ID_MAX or not has_room(text):
            self.fail(f"The id is too long, no event has it: {USER_ID_MAX} characters at most.", param, ctx)
        return text


class PersonId(UserId):
    """The user id of a person, taken as it is."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = super().convert(value, param, ctx)
        if not is_somebody(text):
            self.fail("The id names nobody: it is blank, `unknown`, or an unfilled template.", param, ctx)
        return text


class Label(click.ParamType):
    """The id of a team, the alias of a key, or a tag, taken as it is. No event has another one."""

    name = "label"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if not is_utf8(text):
            self.fail("It is not UTF-8: no event has it.", param, ctx)
        if not 1 <= len(text) <= LABEL_MAX:
            self.fail(f"It has 1 to {LABEL_MAX} characters: no event has another one.", param, ctx)
        return text


def first_day(text: str, today: Callable[[], str]) -> str:
    """The first day of what was typed."""
    return _month_or_day(text, today)[0]


def last_day(text: str, today: Callable[[], str]) -> str:
    """The last day of what was typed."""
    return _month_or_day(text, today)[1]


def bounds(since: str | None, until: str | None, today: Callable[[], str]) -> tuple[str | None, str | None]:
    """The first and the last day of a range. A month, or last-month, as `since` alone is that month.

    Raises BadParameter if the range is empty.
    """
    today = cache(today)  # it costs a call, and may be another day at the second one
    first = first_day(since, today) if since else None
    last = last_day(until, today) if until else None
    if since and not until and (since == "last-month" or len(since) == len("YYYY-MM")):
        last = last_day(since, today)
    if first and last and first > last:
        raise click.BadParameter(f"{first} is after {last}.", param_hint="--since")
    return first, last


def _month_or_day(text: str, today: Callable[[], str]) -> tuple[str, str]:
    if text in WORDS:
        now = date.fromisoformat(today())
        if text == "today":
            return str(now), str(now)
        if text == "yesterday":
            return (str(now - timedelta(days=1)),) * 2
        month = now if text == "this-month" else now.replace(day=1) - timedelta(days=1)
        return _month(f"{month:%Y-%m}")
    return _month(text) if len(text) == len("YYYY-MM") else (text, text)


def _month(text: str) -> tuple[str, str]:
    year, month = map(int, text.split("-"))
    return f"{text}-01", f"{text}-{monthrange(year, month)[1]:02d}"


def with_range(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command take --since and --until."""
    about = f"{EXAMPLES}"
    function = click.option("--until", type=Day(), help="Last day, included: as --since.")(function)
    return click.option("--since", type=Day(), help=f"First day: {about}. [30 days ago]")(function)
