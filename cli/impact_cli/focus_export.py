"""A FOCUS export: its days, each read until its rows add up, and where a day begins."""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from tempfile import TemporaryFile
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
from botocore.exceptions import BotoCoreError, ClientError

from impact.calendar import Calendar, Settings
from impact_cli.deployed_stack import calendar_of, store_of
from impact_cli.exporting import CannotExport, Step
from impact_cli.focus import COLUMNS, DayChanged, Identity, StartsAt, day_rows
from impact_cli.records import csv_lines
from impact_cli.target import Target
from impact_client import DayTotal, Impact

ATTEMPTS = 5
PAUSE_SECONDS = 1.0


def day_lines(impact: Impact, day: str, who: Identity, begin: StartsAt, now: datetime) -> Step:
    """A step that reads a day again while it changes. Its result is the day's total; None without any use."""
    used: list[DayTotal] = []

    def lines() -> Iterator[str]:
        for attempt in range(ATTEMPTS):
            if not (days := impact.totals(day, day)["days"]):
                return  # all its users were erased since the days were listed
            [total] = days
            # Not in memory, and not SpooledTemporaryFile: its writelines keeps all lines there.
            with TemporaryFile("w+", encoding="utf-8", newline="") as file:
                try:
                    rows = day_rows(total, impact.day(day), who, begin, now)
                    file.writelines(csv_lines(rows, COLUMNS))
                except DayChanged as changed:
                    reason = str(changed)
                    time.sleep(PAUSE_SECONDS * attempt)
                    continue
                used[:] = [total]
                file.seek(0)
                yield from file
                return
        raise CannotExport(
            f"{reason}, {ATTEMPTS} times. Export days that are final, or try again in an hour."
        )

    return Step(day, lines, lambda: next(iter(used), None))


def starts_at(target: Target, time_zone: str | None) -> tuple[str, StartsAt]:
    """Return the name of the time zone of the newest days, and when a day begins.

    Without a time zone the stack's settings tell. Raises BadParameter, CannotExport.
    """
    if time_zone:
        try:
            calendar = Calendar.of(Settings(ZoneInfo(time_zone), timedelta(0), 1))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise click.BadParameter(f"{time_zone!r} is no time zone.", param_hint="--time-zone") from None
        return time_zone, calendar.starts_at
    try:
        session = target.session()
        calendar = calendar_of(session, target.stack, store_of(session, target.stack))
    except (BotoCoreError, ClientError) as error:
        raise CannotExport(
            f"The stack's time zone is not known, because AWS cannot be called: {error} Give --time-zone."
        ) from None
    return calendar.periods[-1].settings.zone.key, calendar.starts_at
