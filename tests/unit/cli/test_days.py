"""Days and ids as people type them."""

from collections.abc import Callable

import click
import pytest

from impact_cli.days import Day, PersonId, SingleDay, UserId, bounds, first_day, last_day


def today() -> str:
    return "2026-03-01"


def never() -> str:
    raise AssertionError("the current day was asked for, which costs a call")


@pytest.mark.parametrize(
    ("text", "first", "last", "now"),
    [
        ("2026-11-23", "2026-11-23", "2026-11-23", never),
        ("2026-11", "2026-11-01", "2026-11-30", never),
        ("2024-02", "2024-02-01", "2024-02-29", never),
        ("today", "2026-03-01", "2026-03-01", today),
        ("yesterday", "2026-02-28", "2026-02-28", today),
        ("this-month", "2026-03-01", "2026-03-31", today),
        ("last-month", "2026-02-01", "2026-02-28", today),
        ("last-month", "2025-12-01", "2025-12-31", lambda: "2026-01-31"),
    ],
)
def test_what_is_typed_is_a_range(text: str, first: str, last: str, now: Callable[[], str]) -> None:
    assert Day().convert(text, None, None) == text
    assert (first_day(text, now), last_day(text, now)) == (first, last)


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (None, None, (None, None)),
        ("2026-11", None, ("2026-11-01", "2026-11-30")),
        ("last-month", None, ("2026-02-01", "2026-02-28")),
        ("this-month", None, ("2026-03-01", None)),
        ("2026-02-20", None, ("2026-02-20", None)),
        ("2026-01", "2026-02", ("2026-01-01", "2026-02-28")),
        (None, "yesterday", (None, "2026-02-28")),
        ("yesterday", "yesterday", ("2026-02-28", "2026-02-28")),
    ],
)
def test_a_range_has_a_first_and_a_last_day(
    since: str | None, until: str | None, expected: tuple[str | None, str | None]
) -> None:
    assert bounds(since, until, today) == expected


def test_a_range_has_one_current_day() -> None:
    days = iter(["2026-10-31", "2026-11-01"])
    assert bounds("last-month", None, lambda: next(days)) == ("2026-09-01", "2026-09-30")


def test_a_range_that_ends_before_it_begins_is_rejected() -> None:
    with pytest.raises(click.BadParameter, match="2026-02-01 is after 2026-01-31"):
        bounds("2026-02-01", "2026-01-31", today)


WRONG = [
    "",
    "tomorrow",
    "2026-13",
    "2026-02-30",
    "26-11-23",
    "20261123",
    "2026-W47-1",
    "1999-12-31",
    "2026-11-23\n",
]


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_day_is_rejected(text: str) -> None:
    for kind in (Day(), SingleDay()):
        with pytest.raises(click.BadParameter, match="is not a day"):
            kind.convert(text, None, None)


def test_a_single_day_is_no_month_and_no_range() -> None:
    for text in ("2026-11", "last-month"):
        with pytest.raises(click.BadParameter):
            SingleDay().convert(text, None, None)
    with pytest.raises(click.BadParameter):
        SingleDay(words=False).convert("today", None, None)


@pytest.mark.parametrize("user_id", ["alice", "-rf", "$(id)", " blank ", "x" * 256, "zoë 🌳", "\x1b[2J"])
def test_an_id_is_taken_as_it_is(user_id: str) -> None:
    assert UserId().convert(user_id, None, None) == user_id


@pytest.mark.parametrize("user_id", ["", "x" * 257, "🌳" * 256, "\udcff"])
def test_an_id_that_no_event_has_is_rejected(user_id: str) -> None:
    for kind in (UserId(), PersonId()):
        with pytest.raises(click.BadParameter, match="no event has it"):
            kind.convert(user_id, None, None)


@pytest.mark.parametrize("user_id", ["unknown", " ", "\u2003\t", "{{LIBRECHAT_USER_ID}}", "x{{A}}"])
def test_the_id_of_requests_that_name_nobody_is_no_persons(user_id: str) -> None:
    assert UserId().convert(user_id, None, None) == user_id
    with pytest.raises(click.BadParameter, match="names nobody"):
        PersonId().convert(user_id, None, None)


@pytest.mark.parametrize("user_id", ["Unknown", " unknown", "{}", "{{", "}}{{"])
def test_an_id_that_only_looks_like_nobodys_is_a_persons(user_id: str) -> None:
    assert PersonId().convert(user_id, None, None) == user_id
