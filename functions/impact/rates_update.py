"""Keeping the euro reference rates in State up to date: what may go in, and what is missing.

A rate that is stored stays: a day that was converted never changes its rate.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from impact import ecb
from impact.calendar import days_between
from impact.dynamodb import Store
from impact.rates import Rate, has_rate, rate_date

MAX_JUMP = Decimal("0.2")
"""A rate that lies further from the one before is more likely wrong than real: an operator has to say so."""
DUE = timedelta(days=85)
"""How far back each TARGET day has to have its rate: a little less than the ECB's file of 90 days reaches."""
AT_LEAST = timedelta(days=400)
"""How far back rates are seeded, however short the retention: a first one to compare the next with."""


@dataclass
class Updated:
    """What an update did."""

    stored: list[str] = field(default_factory=list)
    """ECB dates."""
    kept_out: list[str] = field(default_factory=list)
    """Rates that could not be taken, each with the reason."""
    faults: list[str] = field(default_factory=list)
    """Files that could not be had or read, dates whose rate is due and not known."""

    @property
    def problems(self) -> list[str]:
        return self.kept_out + self.faults


class NotATargetDay(Exception):
    """No day is converted at the rate of that date."""


class RateKnown(Exception):
    """A rate that is stored stays."""


def update(store: Store, base_url: str, retention: timedelta, now: datetime) -> Updated:
    """Store the rates that are not known yet, oldest first, and tell what is wrong.

    What an outage left out is made up for, up to 90 days back. Running it again changes nothing.
    """
    today = now.astimezone(UTC).date()
    first = rate_date((today - max(retention, AT_LEAST)).isoformat())
    run = _Update(store, now, known=dict(store.rates(first, today.isoformat()).usd))
    if first not in run.known:
        run.seed(ecb.packaged(first, today.isoformat()))
    rates = run.read(base_url, ecb.DAILY)
    due = _due(today)
    if due - run.known.keys() - {day for day, _ in rates}:
        rates |= run.read(base_url, ecb.LAST_90_DAYS)
    for day, usd in sorted(rates):
        run.take(Rate(day, usd), source=f"ECB, {base_url}")
    if missing := sorted(due - run.known.keys()):
        run.done.faults.append(f"no rate known of {', '.join(missing)}")
    return run.done


def enter(store: Store, day: object, usd: object, now: datetime) -> Updated:
    """Store a rate that an operator gives. Raises BadRates, NotATargetDay, RateKnown."""
    rate = Rate(ecb.parse_date(day, now.astimezone(UTC).date()), ecb.parse_rate(usd))
    if not has_rate(date.fromisoformat(rate.date)):
        raise NotATargetDay(f"TARGET is closed on {rate.date}: no day is converted at a rate of it")
    if not store.put_rate(rate, source="operator", now=now):
        stays = store.rates(rate.date, rate.date).usd[rate.date]
        raise RateKnown(f"{rate.date} has a rate already, {stays}: it stays")
    return Updated(stored=[rate.date])


def _due(today: date) -> set[str]:
    """The ECB dates whose rate has to be known: up to the one that today is converted at."""
    days = days_between((today - DUE).isoformat(), rate_date(today.isoformat()))
    return {day for day in days if has_rate(date.fromisoformat(day))}


@dataclass
class _Update:
    store: Store
    now: datetime
    known: dict[str, Decimal]
    done: Updated = field(default_factory=Updated)

    def seed(self, history: Mapping[str, Decimal]) -> None:
        """Store the packaged history. Newest first: the first date is there once all of them are."""
        for day in sorted(history.keys() - self.known.keys(), reverse=True):
            self._put(Rate(day, history[day]), ecb.packaged_source())

    def read(self, base_url: str, name: str) -> set[tuple[str, Decimal]]:
        """Get the rates of a file; none, and a fault, where it cannot be had or read."""
        try:
            rates = ecb.parse(ecb.fetch(base_url, name), self.now.astimezone(UTC).date())
        except ecb.SourceUnavailable as fault:
            self.done.faults.append(str(fault))
        except ecb.BadRates as fault:
            self.done.faults.append(f"{name}: {fault}")
        else:
            return set(rates.items())
        return set()

    def take(self, rate: Rate, source: str) -> None:
        """Store a rate unless it is known, or keep it out."""
        if objection := self._objection(rate.date, rate.usd):
            self.done.kept_out.append(objection)
        elif rate.date not in self.known:
            self._put(rate, source)

    def _objection(self, day: str, usd: Decimal) -> str | None:
        """Say why a rate cannot be taken, or None if it can, or is known."""
        if day in self.known:
            stored = self.known[day]
            return None if usd == stored else f"{day}: {usd}, but {stored} is stored and stays"
        before = max((other for other in self.known if other < day), default=None)
        if before is None:
            return f"{day}: {usd} has none before it to be compared with"
        last = self.known[before]
        if abs(usd - last) > MAX_JUMP * last:
            return f"{day}: {usd} is more than {MAX_JUMP:.0%} away from {last} on {before}"
        return None

    def _put(self, rate: Rate, source: str) -> None:
        if self.store.put_rate(rate, source=source, now=self.now):
            self.done.stored.append(rate.date)
        self.known[rate.date] = rate.usd
