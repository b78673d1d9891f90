"""Append prices to the book of a stack: shown first, then agreed to, then appended as one revision."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from shlex import quote

import boto3
import click
from botocore.exceptions import BotoCoreError, ClientError

from impact.calendar import Calendar, day_after, day_before, days_between
from impact.price_book import Price, PriceBook
from impact.store import Store
from impact_cli import deployed_stack
from impact_cli.follow_up import same_stack
from impact_cli.output import note
from impact_cli.price_changes import Change, changes_of
from impact_cli.questions import agreed
from impact_cli.table import visible


class NothingToEnd(click.ClickException):
    """No price of that name is in force on that day."""

    def __init__(self, change: Change) -> None:
        price, later = change.price, change.following
        has = f" It has one from {later.first_day} on ({later.id})." if later and later.rates else ""
        name = visible(price.pattern)
        super().__init__(
            f"No price by the name {name} is in force on {price.first_day}: nothing ends.{has}"
            + same_stack(f" See impact price list --on {price.first_day}")
        )


@dataclass(frozen=True)
class PriceBookOfStack:
    """The price book of a stack, and who appends to it."""

    stack: str
    store: Store
    calendar: Calendar
    by: str
    """The ARN of the AWS credentials."""

    @classmethod
    def of(cls, session: boto3.Session, stack: str) -> "PriceBookOfStack":
        """Raises NoStack, BotoCoreError, ClientError."""
        store = deployed_stack.store_of(session, stack)
        calendar = deployed_stack.calendar_of(session, stack, store)
        return cls(stack, store, calendar, deployed_stack.caller_of(session))

    def append(self, prices: Sequence[Price], *, yes: bool, dry_run: bool) -> int:
        """Show what prices change, ask, and append them. Return the exit code.

        If somebody else appends meanwhile, it shows and asks again. Raises NothingToEnd, BotoCoreError,
        ClientError.
        """
        book = self.store.prices.book()
        while changes := self._shown(book, prices):
            if dry_run:
                note("Nothing was appended, because of --dry-run.")
                return 0
            if not (yes or agreed(_question(changes))):
                advice = "" if sys.stdin.isatty() else ": without a terminal, confirm with --yes"
                note(f"Nothing was appended{advice}.")
                return 1
            if self._is_appended(book.revision + 1, changes):
                return 0
            before, book = book, self.store.prices.book()
            self._say_what_came(before, book)
            if yes:
                note("Nothing was appended: look at the book, and run it again.")
                return 1
        note("Nothing is left to append.")
        return 0

    def _shown(self, book: PriceBook, prices: Sequence[Price]) -> list[Change]:
        """Print what would change, and return it."""
        found = changes_of(book, prices)
        for change in found:
            if change.price.rates is None and change.replaces is None:
                raise NothingToEnd(change)
        changes = [change for change in found if not change.is_same]
        for change in changes:
            print("\n".join(change.lines()))
        if same := [change.replaces for change in found if change.is_same and change.replaces]:
            ids = ", ".join(price.id or visible(price.pattern) for price in same[:5])
            print(
                f"As in force already, and left out: {len(same):,} ({ids}{', ...' if len(same) > 5 else ''})."
            )
        if changes:
            print(self._when(changes))
            print(
                f"It would be revision {book.revision + 1} of the price book of {self.stack}, by {self.by}."
            )
        return changes

    def _when(self, changes: Sequence[Change]) -> str:
        """Say from when they take effect, and how those days do that are final."""
        first = min(change.price.first_day for change in changes)
        lines = ["Days that are not final take it at the next rollup."]
        if final := final_days(self.store, self.calendar, first, datetime.now(UTC)):
            command = same_stack(f"impact reprice --since {final[0]} --until {final[-1]}")
            reason = quote(visible(changes[0].price.source))
            lines.append(f"Final already, and not changed until somebody runs this: {ranges(final)}")
            lines.append(f"    {command} --reason {reason}")
        else:
            lines.append(f"No day from {first} on is final.")
        return "\n".join(lines)

    def _is_appended(self, number: int, changes: Sequence[Change]) -> bool:
        prices = [change.price for change in changes]
        try:
            done = self.store.prices.append(number, prices, by=self.by, now=datetime.now(UTC))
        except (BotoCoreError, ClientError) as error:
            raise click.ClickException(
                "No response. "
                + same_stack("See impact price list --all")
                + f" whether it was appended. {deployed_stack.cannot_call(error)}"
            ) from None
        if done:
            ids = f"{number}.1" if len(prices) == 1 else f"{number}.1 to {number}.{len(prices)}"
            print(f"Appended: {ids}.")
        return done

    def _say_what_came(self, before: PriceBook, book: PriceBook) -> None:
        for revision in book.revisions:
            if revision.number > before.revision:
                note(
                    f"The book has changed: {visible(revision.recorded_by)} appended revision"
                    f" {revision.number} at {revision.recorded_at[:19]}Z."
                )


def _question(changes: Sequence[Change]) -> str:
    return "Append it?" if len(changes) == 1 else f"Append these {len(changes):,}?"


def final_days(store: Store, calendar: Calendar, first: str, now: datetime) -> list[str]:
    """List the days from `first` on that are final, and so keep the prices that they were counted with."""
    oldest, progress = store.state.first_day_with_total(), store.state.progress()
    if oldest is None:
        return []
    closed = [
        day
        for day in days_between(max(first, oldest), day_before(calendar.day_of(now)))
        if calendar.is_closed(day, now)
    ]
    watermark = progress.watermark if progress else ""
    return [day for day in closed if day <= watermark or store.prices.revisions_of(day)]


def ranges(days: Sequence[str]) -> str:
    """Write days in order: `2026-11-01 to 2026-11-20, 2026-11-22`."""
    found: list[list[str]] = []
    for day in days:
        if found and day == day_after(found[-1][-1]):
            found[-1][1:] = [day]
        else:
            found.append([day])
    return ", ".join(" to ".join(ends) for ends in found)
