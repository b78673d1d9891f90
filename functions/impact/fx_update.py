"""Keeps the fx rates in State up to date: which ones are accepted, and which are missing.

A stored rate stays. An operator can correct it by another one, with a reason, which is then in effect. Days
that were converted at the first one stay so until they are recomputed.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, localcontext
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeGuard

from impact import ecb
from impact.daily_totals import day_statements
from impact.decimals import EXACT, ZERO, stored
from impact.fx_rates import FxRate, days_converted_at, due_dates, fx_date_of, is_target_day
from impact.store import Store
from impact.summary import Tally
from impact.types import Item

CHANGE_MAX = Decimal("0.2")
"""A rate that differs more from its neighbours is probably wrong: an operator has to confirm it."""
SOURCE_OPERATOR = "operator"  # the source of a manual rate
REASON_MAX = 500  # characters of a reason
REASON = f"says why in 1 to {REASON_MAX} characters"
AT_LEAST = timedelta(days=400)  # rates are seeded at least this far back, however short the retention


@dataclass
class FxUpdate:
    """What came of an update."""

    stored: list[str] = field(default_factory=list)  # ECB dates
    rejected: list[str] = field(default_factory=list)  # why each rejected rate was rejected
    faults: list[str] = field(default_factory=list)
    """Files that could not be read, and dates whose rate is due and unknown."""

    @property
    def problems(self) -> list[str]:
        return self.rejected + self.faults


class NotATargetDay(Exception):
    """No day is converted at the rate of that date."""


class RateKnown(Exception):
    """The date has that rate already, or another rate was stored at the same moment."""


class BadReason(Exception):
    """A correction without a reason, or a reason that is not text."""


@dataclass(frozen=True)
class ChangedDay:
    """A day that was converted at a rate which an operator corrects."""

    day: str
    usd: Decimal  # dollars to convert
    eur: Decimal  # the platform's costEUR of the day, as it is stored
    new_eur: Decimal  # the same once the day is recomputed

    def as_fields(self) -> dict[str, str]:
        numbers = {"costUSD": self.usd, "costEUR": self.eur, "newCostEUR": self.new_eur}
        return {"day": self.day} | {name: f"{number:f}" for name, number in numbers.items()}


@dataclass(frozen=True)
class ManualRate:
    """What came of a manual rate."""

    rate: FxRate
    stored: bool
    to_confirm: list[str]  # what the operator has to confirm, or has confirmed
    replaces: Decimal | None  # the rate that was in effect
    changes: list[ChangedDay]  # the days that were converted at it

    def as_response(self) -> dict[str, Any]:
        if self.stored:
            response: dict[str, Any] = {"stored": 1, "from": self.rate.date, "to": self.rate.date}
        else:
            why = "".join(f"{sentence}. " for sentence in self.to_confirm)
            response = {"stored": 0, "confirm": f'{why}If this is right, send it again with "confirm": true.'}
        if self.replaces is not None:
            changes = [change.as_fields() for change in self.changes]
            response |= {"replaces": f"{self.replaces:f}", "changes": changes}
        return response


def update_fx_rates(store: Store, base_url: str, retention: timedelta, now: datetime) -> FxUpdate:
    """Store the rates that are not known yet, oldest first.

    It catches up after an outage of up to 90 days. Running it again changes nothing.
    """
    today = now.astimezone(UTC).date()
    first = fx_date_of((today - max(retention, AT_LEAST)).isoformat())
    run = _Update(store, now, known=dict(store.state.fx_rates(first, today.isoformat()).usd))
    if first not in run.known:
        run.seed(ecb.packaged(first, today.isoformat()))
    rates = run.read(base_url, ecb.DAILY)
    due = due_dates(today)
    if due - run.known.keys() - {day for day, _ in rates}:
        rates |= run.read(base_url, ecb.LAST_90_DAYS)
    for day, usd in sorted(rates):
        run.add(FxRate(day, usd), source=f"ECB, {base_url}")
    if missing := sorted(due - run.known.keys()):
        run.done.faults.append(f"no rate known of {', '.join(missing)}")
    return run.done


def store_manual_rate(
    store: Store, day: object, usd: object, now: datetime, *, reason: object = None, confirm: object = False
) -> ManualRate:
    """Store an operator's rate: the first one of its date, or a correction with a reason.

    A correction or a probably wrong rate is stored only if `confirm` is True. No day is recomputed.
    Raises BadRates, NotATargetDay, RateKnown, BadReason.
    """
    rate = FxRate(ecb.parse_date(day, now.astimezone(UTC).date()), ecb.parse_rate(usd))
    if not is_target_day(date.fromisoformat(rate.date)):
        raise NotATargetDay(f"TARGET is closed on {rate.date}: no day is converted at a rate of it")
    if entries := store.state.fx_rate_entries(rate.date):
        return _correct(store, rate, entries, reason, now, confirmed=confirm is True)
    if reason is not None and not _is_reason(reason):
        raise BadReason(f'"reason" {REASON}, or is left out')
    odd = _oddities(store, rate)
    is_stored = confirm is True or not odd
    if is_stored and not store.state.put_fx_rate(rate, source=SOURCE_OPERATOR, now=now, reason=reason):
        raise _stored_meanwhile(rate)
    return ManualRate(rate, is_stored, to_confirm=odd, replaces=None, changes=[])


def _correct(
    store: Store, rate: FxRate, entries: list[Item], reason: object, now: datetime, *, confirmed: bool
) -> ManualRate:
    former = Decimal(entries[-1]["usd"])
    if rate.usd == former:
        raise RateKnown(f"{rate.date} has that rate already: {former:f}")
    if not _is_reason(reason):
        raise BadReason(
            f'{rate.date} has {former:f} already: to correct it, send "reason" too, which {REASON}, such as'
            f' "typed 11.172 for 1.1172"'
        )
    source = entries[-1].get("source", "source unknown")
    replacing = f"{rate.date} has {former:f} ({source}), which {rate.usd:f} would replace"
    to_confirm = [*_oddities(store, rate), replacing]
    changes = list(_changes(store, rate))
    if confirmed and not store.state.put_fx_correction(
        rate, len(entries), replaces=former, source=SOURCE_OPERATOR, reason=reason, now=now
    ):
        raise _stored_meanwhile(rate)
    return ManualRate(rate, confirmed, to_confirm, replaces=former, changes=changes)


def _is_reason(value: object) -> TypeGuard[str]:
    if not isinstance(value, str) or not value.strip() or len(value) > REASON_MAX:
        return False
    return not any("\ud800" <= character <= "\udfff" for character in value)  # which no database takes


def _stored_meanwhile(rate: FxRate) -> RateKnown:
    return RateKnown(f"{rate.date} was given another rate at this moment: look at it, then send yours again")


def _oddities(store: Store, rate: FxRate) -> list[str]:
    odd = _oddity(rate, store.state.fx_rates("0", "9999-12-31").usd)
    return [odd] if odd else []


def _oddity(rate: FxRate, known: Mapping[str, Decimal]) -> str | None:
    """Return why a rate is probably wrong, by the known ones before and after it, or None."""
    before = max((day for day in known if day < rate.date), default=None)
    after = min((day for day in known if day > rate.date), default=None)
    if before is None:
        return f"{rate.date}: {rate.usd:f} has none before it to be compared with"
    for day in filter(None, (before, after)):
        if abs(rate.usd - known[day]) > CHANGE_MAX * known[day]:
            return (
                f"{rate.date}: {rate.usd:f} is more than {CHANGE_MAX:.0%} away from {known[day]:f} on {day}"
            )
    return None


def _changes(store: Store, rate: FxRate) -> Iterator[ChangedDay]:
    """Return what a rate changes in the days that were converted at the former one of its date."""
    days = days_converted_at(rate.date)
    totals = sorted(store.state.shard_totals(days[0], days[-1]), key=itemgetter("day"))
    for day, shards in groupby(totals, key=itemgetter("day")):
        of_day = list(shards)
        converted = [total for total in of_day if total.get("fxDate") == rate.date]
        if any(Tally.from_fields(total).unconverted for total in converted):
            yield ChangedDay(
                day,
                usd=_sum(Tally.from_fields(total).unconverted for total in of_day),
                eur=_euros(of_day),
                new_eur=_euros(total | rate.as_fields() for total in of_day),
            )


def _euros(totals: Iterable[Item]) -> Decimal:
    """The platform's costEUR of a day."""
    return _sum(statement["costEUR"] for statement in day_statements(list(totals)))


def _sum(numbers: Iterable[Decimal]) -> Decimal:
    with localcontext(EXACT):
        return stored(sum(numbers, ZERO))


@dataclass
class _Update:
    store: Store
    now: datetime
    known: dict[str, Decimal]
    done: FxUpdate = field(default_factory=FxUpdate)

    def seed(self, history: Mapping[str, Decimal]) -> None:
        """Store the packaged history, newest first: once the first date is there, all are."""
        for day in sorted(history.keys() - self.known.keys(), reverse=True):
            self._put(FxRate(day, history[day]), ecb.packaged_source())

    def read(self, base_url: str, name: str) -> set[tuple[str, Decimal]]:
        """Get the rates of a file. Where it cannot be read, there are none, and a fault."""
        try:
            rates = ecb.parse(ecb.fetch(base_url, name), self.now.astimezone(UTC).date())
        except ecb.SourceUnavailable as fault:
            self.done.faults.append(str(fault))
        except ecb.BadRates as fault:
            self.done.faults.append(f"{name}: {fault}")
        else:
            return set(rates.items())
        return set()

    def add(self, rate: FxRate, source: str) -> None:
        """Store a rate, unless it is known or has to be rejected."""
        if objection := self._objection(rate.date, rate.usd):
            self.done.rejected.append(objection)
        elif rate.date not in self.known:
            self._put(rate, source)

    def _objection(self, day: str, usd: Decimal) -> str | None:
        """Return why a rate is rejected, or None."""
        if day in self.known:
            stored = self.known[day]
            return None if usd == stored else f"{day}: {usd}, but {stored} is stored and stays"
        return _oddity(FxRate(day, usd), self.known)

    def _put(self, rate: FxRate, source: str) -> None:
        if self.store.state.put_fx_rate(rate, source=source, now=self.now):
            self.done.stored.append(rate.date)
        self.known[rate.date] = rate.usd
