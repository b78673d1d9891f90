"""Sums over events: of a user's day, a shard, or the whole platform. Pure: no AWS."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields
from decimal import Decimal, localcontext
from itertools import groupby
from typing import Any, NamedTuple

from impact.decimals import EXACT, ZERO, stored
from impact.ledger_event import LedgerEvent
from impact.price_book import NO_BOOK, DayBook, Price, Usage, used

MODELS_MAX = 200
"""Most models in a summary; the rest is summed under OTHER. With the longest names, in characters of four
bytes, so many fit into the 400 KB of an item."""
OTHER = "other/other"

RANGES = {
    "energyKWh": ("energyLow", "energyHigh"),
    "co2eKg": ("co2eLow", "co2eHigh"),
    "waterL": ("waterLow", "waterHigh"),
}
"""The footprint: stored as `{"low", "high"}`, summed in fields of their own."""


@dataclass(slots=True)
class Figures:
    """The sums of a model, and of all models together."""

    requests: int = 0
    """Failures included."""
    tokens_in: int = 0
    """Prompt tokens, cached ones included."""
    tokens_out: int = 0
    """Completion tokens."""
    costEUR: Decimal = ZERO
    """What came in euros."""
    costUSD: Decimal = ZERO
    """All that came in dollars."""
    unconverted: Decimal = ZERO
    """Dollars that no euros stand for yet: those of events that had no costEUR of their own."""
    rated: int = 0
    unrated: int = 0
    """Requests of which a footprint is known; and of which none is, though something was generated."""
    energyLow: Decimal = ZERO
    energyHigh: Decimal = ZERO
    co2eLow: Decimal = ZERO
    co2eHigh: Decimal = ZERO
    waterLow: Decimal = ZERO
    waterHigh: Decimal = ZERO
    restoredM2: Decimal | None = None
    """Square metres of ecosystem that the midpoint of the CO2e stands for, if the operator says what does."""

    def as_fields(self) -> dict[str, Any]:
        """The sums under the contract's names."""
        return _shown(self)

    def add_figures(self, other: "Figures") -> None:
        """Add what all sums have, within `localcontext(EXACT)`."""
        _add(self, other, _FIGURES)


@dataclass(slots=True)
class Sums(Figures):
    """Sums over requests, with the contract's field names and units."""

    failures: int = 0
    tokens_cached: int = 0
    tokens_reasoning: int = 0
    unpriced: int = 0
    """Requests of which no cost is known: none was reported, and the price book has none."""
    costReportedUSD: Decimal = ZERO
    """All that was reported in dollars. costUSD has the price book's costs in place of some."""
    repriced: int = 0
    """Requests whose cost is by the price book."""
    estimated: int = 0
    """Requests of which the sender guessed the tokens."""
    latencyTotal: Decimal = ZERO
    """Seconds."""
    latencyMax: Decimal = ZERO
    """Seconds."""
    firstTs: str | None = None
    """Start of the first request."""
    lastTs: str | None = None
    """Start of the last request."""
    markupEUR: Decimal | None = None
    """What the operator adds to the cost."""
    restorationFeeEUR: Decimal | None = None
    """What the operator adds for the restoration of ecosystems."""
    billedEUR: Decimal | None = None
    """The cost with both."""

    def add(self, other: "Sums") -> None:
        """Add other sums, within `localcontext(EXACT)`."""
        _add(self, other, _SUMS)
        self.latencyMax = max(self.latencyMax, other.latencyMax)
        if other.firstTs is not None and (self.firstTs is None or other.firstTs < self.firstTs):
            self.firstTs = other.firstTs
        if other.lastTs is not None and (self.lastTs is None or other.lastTs > self.lastTs):
            self.lastTs = other.lastTs


@dataclass(slots=True)
class Tally(Sums):
    """Sums over requests, and of each model."""

    prices: tuple[str, ...] = ()
    """Ids of the price book's entries that costs are by."""
    models: dict[str, Figures] = field(default_factory=dict)
    first: "Tally | None" = None
    """The same requests by the prices that a day was final with at first, if it was corrected since."""

    def _model(self, name: str) -> Figures:
        if name not in self.models and len(self.models) - (OTHER in self.models) >= MODELS_MAX:
            name = OTHER  # wherever the rest stands: DynamoDB returns a map in any order
        try:
            return self.models[name]
        except KeyError:
            return self.models.setdefault(name, Figures())

    def add_model(self, name: str, sums: Sums, price: Price | None = None) -> None:
        """Add sums of requests to one model, within `localcontext(EXACT)`."""
        self.add(sums)
        self._model(name).add_figures(sums)
        if price is not None and sums.repriced:
            self.prices = used((*self.prices, price.id))

    def merge(self, other: "Tally") -> None:
        """Add the sums of another tally."""
        with localcontext(EXACT):
            self.add(other)
            for name, model in other.models.items():
                self._model(name).add_figures(model)
            if other.prices:
                self.prices = used((*self.prices, *other.prices))

    def as_fields(self) -> dict[str, Any]:
        """The sums under the contract's names."""
        return (
            _shown(self)
            | ({"prices": list(self.prices)} if self.prices else {})
            | {"models": {name: _shown(model) for name, model in self.models.items()}}
        )

    @classmethod
    def from_fields(cls, values: dict[str, Any]) -> "Tally":
        """Read what `as_fields` wrote. Other fields (userId, asOf ...) are ignored."""
        models = {name: Figures(**_read(Figures, of)) for name, of in values.get("models", {}).items()}
        read = _read(cls, values)
        if "costReportedUSD" not in values:  # stored before there was a price book
            read["costReportedUSD"] = values.get("costUSD", ZERO)
        return cls(**read | {"models": models, "prices": tuple(values.get("prices", ()))})


_FIGURES = tuple(f.name for f in fields(Figures))
_SUMS = tuple(f.name for f in fields(Sums) if f.name not in ("latencyMax", "firstTs", "lastTs"))
_APART = {"models", "prices", "first", *(name for bounds in RANGES.values() for name in bounds)}
_SHOWN = {of: [f.name for f in fields(of) if f.name not in _APART] for of in (Figures, Sums, Tally)}


def _add(target: Figures, other: Figures, names: tuple[str, ...]) -> None:
    """Add sums, exactly if the context is EXACT. None and None stay None: not known."""
    for name in names:
        mine, theirs = getattr(target, name), getattr(other, name)
        if theirs is not None:
            setattr(target, name, theirs if mine is None else mine + theirs)


def _shown(figures: Figures) -> dict[str, Any]:
    shown = {name: getattr(figures, name) for name in _SHOWN[type(figures)]}
    if figures.rated or not figures.unrated:  # else nothing is known, which differs from zero
        shown |= {
            name: {"low": stored(getattr(figures, low)), "high": stored(getattr(figures, high))}
            for name, (low, high) in RANGES.items()
        }
    return {
        name: stored(value) if isinstance(value, Decimal) else value
        for name, value in shown.items()
        if value is not None
    }


def _read(cls: type[Figures], values: dict[str, Any]) -> dict[str, Any]:
    """Read the fields that a class has: another release may have stored more, or fewer."""
    known = {f.name: values[f.name] for f in fields(cls) if f.name in values}
    for name, (low, high) in RANGES.items():
        if name in values:
            known |= {low: values[name]["low"], high: values[name]["high"]}
    if "unconverted" not in values:  # stored before there were fx rates and footprints
        known["unconverted"] = values.get("costUSD", ZERO)
        known["unrated"] = values.get("requests", 0) - values.get("failures", 0)
    return known


class Group(NamedTuple):
    """What the events of a group have in common, beside their user. An empty team or key counts as none."""

    provider: str
    model: str
    team: str | None
    key: str | None
    tags: tuple[str, ...]

    @property
    def model_name(self) -> str:
        """The model as summaries and prices name it."""
        return f"{self.provider}/{self.model}"


OnGroup = Callable[[str, Group, Sums, Sums | None], None]
"""Gets the user, the group and the sums of some of its events, within `localcontext(EXACT)`. On a corrected
day also their sums by the prices that it was final with at first."""


def tally(events: Iterable[LedgerEvent], book: DayBook = NO_BOOK) -> Tally:
    """Sum events of any users."""
    found = Tally()
    with localcontext(EXACT):
        for group, of_group in _grouped(events).items():
            _add_group(found, group, of_group, book)
    return found


def tallies_by_user(
    pages: Iterable[list[LedgerEvent]], book: DayBook = NO_BOOK, on_group: OnGroup | None = None
) -> Iterator[tuple[str, Tally]]:
    """Sum events user by user, in memory that does not grow. The events of a user must follow each other."""
    user_id: str | None = None
    found = Tally()
    for page in pages:
        finished = []
        with localcontext(EXACT):
            for of_user, events in groupby(page, key=_user_of):
                if of_user != user_id:
                    if user_id is not None:
                        finished.append((user_id, found))
                    user_id, found = of_user, Tally()
                for group, of_group in _grouped(events).items():
                    sums = _add_group(found, group, of_group, book)
                    if on_group is not None:
                        on_group(of_user, group, *sums)
        yield from finished
    if user_id is not None:
        yield user_id, found


def _user_of(event: LedgerEvent) -> str:
    return event.userId.S


def _grouped(events: Iterable[LedgerEvent]) -> dict[Group, list[LedgerEvent]]:
    groups: dict[Any, list[LedgerEvent]] = {}
    for event in events:
        team, key, tags = event.teamId, event.keyAlias, event.tags
        group = (
            event.provider.S,
            event.model.S,
            None if team is None else team.S or None,
            None if key is None else key.S or None,
            () if tags is None else tuple(dict.fromkeys(tag.S for tag in tags.L)),
        )
        if group in groups:
            groups[group].append(event)
        else:
            groups[group] = [event]
    return {Group(*group): of_group for group, of_group in groups.items()}


def _add_group(to: Tally, group: Group, events: list[LedgerEvent], book: DayBook) -> tuple[Sums, Sums | None]:
    name = group.model_name
    price = book.prices.of(name)
    sums = sums_of(events, price)
    to.add_model(name, sums, price)
    if book.first_prices is None:
        return sums, None
    first_price = book.first_prices.of(name)
    first = sums_of(events, first_price)
    to.first = to.first or Tally()
    to.first.add_model(name, first, first_price)
    return sums, first


def sums_of(events: list[LedgerEvent], price: Price | None = None) -> Sums:
    """Sum events of one model, column by column, within `localcontext(EXACT)`: the rollup's inner loop."""
    latencies = [event.latency.N for event in events]
    times = [event.ts.S for event in events]
    sums = Sums(
        requests=len(events),
        tokens_in=sum([event.tokens_in.N for event in events]),
        tokens_out=sum([event.tokens_out.N for event in events]),
        tokens_cached=sum([event.tokens_cached.N for event in events if event.tokens_cached is not None]),
        tokens_reasoning=sum(
            [event.tokens_reasoning.N for event in events if event.tokens_reasoning is not None]
        ),
        failures=sum([event.status.S == "failure" for event in events]),
        estimated=sum([event.estimated.BOOL for event in events if event.estimated is not None]),
        latencyTotal=sum(latencies, ZERO),
        latencyMax=max(latencies),
        firstTs=min(times),
        lastTs=max(times),
    )
    sums.costReportedUSD = sum([event.costUSD.N for event in events if event.costUSD is not None], ZERO)
    _add_costs(sums, events, price)
    _add_footprints(sums, events)
    return sums


def _add_costs(sums: Sums, events: list[LedgerEvent], price: Price | None) -> None:
    if price is not None:
        covered = [event for event in events if price.covers(event)]
        if covered:
            _add_book_cost(sums, covered, price)
            events = [event for event in events if not price.covers(event)]
    in_euros = [event for event in events if event.costEUR is not None and event.fxRate is None]
    in_dollars = [event.costUSD.N for event in events if event.costUSD is not None]
    dollars = sum(in_dollars, ZERO)
    sums.costUSD += dollars
    sums.unconverted += dollars
    sums.unpriced = len(events) - len(in_dollars)
    for event in in_euros:  # costEUR with an fxRate is ingest's own conversion of the dollars
        assert event.costEUR is not None
        sums.costEUR += event.costEUR.N
        if event.costUSD is None:
            sums.unpriced -= 1
        else:
            sums.unconverted -= event.costUSD.N


def _add_book_cost(sums: Sums, events: list[LedgerEvent], price: Price) -> None:
    usage = Usage()
    for event in events:
        usage.add(event)
    cost = price.cost(usage)
    sums.repriced = len(events)
    if price.currency == "EUR":
        sums.costEUR += cost
    else:
        sums.costUSD += cost
        sums.unconverted += cost


def _add_footprints(sums: Sums, events: list[LedgerEvent]) -> None:
    rated: list[Any] = [event for event in events if event.energyKWh is not None]
    sums.rated = len(rated)
    if rated:
        sums.energyLow = sum([event.energyKWh.M.low.N for event in rated], ZERO)
        sums.energyHigh = sum([event.energyKWh.M.high.N for event in rated], ZERO)
        sums.co2eLow = sum([event.co2eKg.M.low.N for event in rated], ZERO)
        sums.co2eHigh = sum([event.co2eKg.M.high.N for event in rated], ZERO)
        sums.waterLow = sum([event.waterL.M.low.N for event in rated], ZERO)
        sums.waterHigh = sum([event.waterL.M.high.N for event in rated], ZERO)
    if len(rated) < len(events):
        sums.unrated = sum([_is_unrated(event) for event in events])


def _is_unrated(event: LedgerEvent) -> bool:
    has_generated = event.status.S == "success" and not (event.cacheHit is not None and event.cacheHit.BOOL)
    return event.energyKWh is None and has_generated
