"""How the figures of a user's day come about: from its events, step by step, by arithmetic of its own. Pure.

It does not use the rollup's sums. So it also checks them: what it computes must equal the stored summary, to
the last digit. What is added is exact; a quotient, and what is stored, has 38 digits (impact.decimals).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from typing import Any

from impact.billing import CORRECTED
from impact.decimals import EXACT, ZERO, quotient, stored
from impact.fx_rates import FxRate
from impact.price_book import Price
from impact.summary import MODELS_MAX, OTHER, RANGES
from impact.types import Item
from impact_cli.book_cost import Entries, cost_of, parts, price_of, why_kept

NOT_COMPARED = ("userId", "day", "dayShard", "revision", "asOf", "final", "terms")
"""Fields of a summary that do not come from the events."""
OF_THE_BOOK = ("costReportedUSD", "repriced")
"""Fields that a summary stored before there was a price book does not have."""
COUNTED = ("tokens_in", "tokens_out", "tokens_cached", "tokens_reasoning")
ALL_MODELS = "All models"
BY_THE_BOOK = "by the book"

Counted = tuple[Item, Price | None]
"""A request, and the entry of the price book that its cost is by. None: it keeps what was reported."""


@dataclass(frozen=True)
class Step:
    """One step: what is computed, with its numbers, and what comes out."""

    of: str
    """A model, all models, or "" for the bill."""
    what: str
    how: str
    result: Decimal
    unit: str


@dataclass(frozen=True)
class Priced:
    """The requests of a model that the price book has a price for."""

    model: str
    price: Price
    requests: list[Item]
    """Those whose cost is by the price."""
    kept: dict[str, list[str]]
    """Ids of the others, which keep the cost that was reported, by the reason."""

    def steps(self) -> list[Step]:
        """The multiplications and their sum."""
        if not self.requests:
            return []
        products = [
            Step(self.model, part.kind, str(part), stored(part.cost), part.unit)
            for part in parts(self.requests, self.price)
        ]
        how = " + ".join(f"{product.result:f}" for product in products) or "nothing was used"
        whole = _sum(cost_of(event, self.price) for event in self.requests)
        return [*products, Step(self.model, BY_THE_BOOK, how, whole, self.price.currency)]


@dataclass(frozen=True)
class Calculation:
    """The steps to a day's figures, by one set of prices."""

    steps: list[Step]
    priced: list[Priced]
    figures: Item
    """Under the names of a summary's fields."""


@dataclass(frozen=True)
class Explanation:
    """The steps to a summary, and what they give."""

    now: Calculation
    first: Calculation | None
    """By the prices that the day was final with at first, if a correction has changed its figures since."""
    computed: Item
    """The fields of a summary, as computed here."""
    differences: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    """Fields that the stored summary has otherwise: stored, and computed."""


def explain(
    events: Sequence[Item],
    summary: Mapping[str, Any] | None,
    rate: FxRate | None,
    terms: Mapping[str, Any],
    entries: Entries,
) -> Explanation:
    """Compute a user's day from its events, in the order of their ids, and compare it with its summary.

    `rate` is that of the day, None while it is not known. `terms` are those of the summary.
    """
    with localcontext(EXACT):
        now = _calculated(events, rate, terms, entries.day, entries.now)
        first = None
        if entries.at_first is not None:
            first = _calculated(events, rate, terms, entries.day, entries.at_first)
            if all(first.figures.get(name) == now.figures.get(name) for name in CORRECTED):
                first = None
    computed = now.figures | ({"before": _before(first.figures)} if first else {})
    return Explanation(now, first, computed, _differences(summary, computed) if summary is not None else {})


def _before(first: Item) -> Item:
    before = {name: first[name] for name in CORRECTED if name in first}
    costs = ("costEUR", "costUSD", "unconverted")
    return before | {"models": {name: {c: of[c] for c in costs} for name, of in first["models"].items()}}


def _calculated(
    events: Sequence[Item], rate: FxRate | None, terms: Mapping[str, Any], day: str, entries: Sequence[Price]
) -> Calculation:
    names = {_model(event) for event in events}
    prices = {name: price_of(name, day, entries) for name in names}
    counted = [(event, _price(event, prices[_model(event)])) for event in events]
    by_model = _by_model(counted)
    steps: list[Step] = []
    priced: list[Priced] = []
    models = {}
    for name, of_model in by_model.items():
        found = _priced(of_model, prices)
        for one in found:
            steps += one.steps()
        models[name] = _figures(of_model, rate, terms, name, steps)
        priced += found
    whole = _figures(counted, rate, terms, ALL_MODELS if len(by_model) != 1 else "", steps)
    figures = {**whole, **_of_the_day(counted), **_of_the_book(counted, steps)}
    figures |= _bill(whole["costEUR"], terms, steps) | {"models": models}
    if rate is not None and _to_convert(counted):
        figures |= rate.as_fields()  # not where all dollars are 0: those of failures
    return Calculation(steps, priced, figures)


def _model(event: Item) -> str:
    return f"{event['provider']}/{event['model']}"


def _price(event: Item, price: Price | None) -> Price | None:
    return price if price is not None and why_kept(event, price) is None else None


def _by_model(counted: Iterable[Counted]) -> dict[str, list[Counted]]:
    models: dict[str, list[Counted]] = {}
    for event, price in counted:
        name = _model(event)
        if name not in models and len(models) - (OTHER in models) >= MODELS_MAX:
            name = OTHER
        models.setdefault(name, []).append((event, price))
    return models


def _priced(counted: Iterable[Counted], prices: Mapping[str, Price | None]) -> list[Priced]:
    """Those of each model, with what its price is for and what it is not."""
    found: dict[str, Priced] = {}
    for event, _ in counted:
        name = _model(event)
        if (price := prices[name]) is None:
            continue
        of_model = found.setdefault(name, Priced(name, price, [], {}))
        reason = why_kept(event, price)
        if reason is None:
            of_model.requests.append(event)
        else:
            of_model.kept.setdefault(reason, []).append(event["eventId"])
    return list(found.values())


def _figures(
    counted: Sequence[Counted], rate: FxRate | None, terms: Mapping[str, Any], name: str, steps: list[Step]
) -> Item:
    """The sums of a model, or of all. Adds the steps to the euros, if there is a name for them."""
    events = [event for event, _ in counted]
    dollars, euros = _reported(counted)
    book = {unit: _by_the_book(counted, unit) for unit in ("USD", "EUR")}
    in_dollars = [event["costUSD"] for event, price in counted if price is None and "costUSD" in event]
    usd, eur = _sum(dollars + book["USD"]), _sum(euros + book["EUR"])
    cost = stored(eur + quotient(usd, rate.usd)) if rate is not None else eur
    if name:
        usd_parts = _parts(name, {"dollars": dollars, BY_THE_BOOK: book["USD"]}, "USD")
        eur_parts = _parts(name, {"sent as euros": euros, BY_THE_BOOK: book["EUR"]}, "EUR")
        in_euros = [_conversion(name, usd, rate)] if usd_parts and rate is not None else []
        # Of one model, the multiplications end with the sum by the book.
        known = BY_THE_BOOK if len({_model(event) for event in events}) == 1 else None
        steps += _with_sum(usd_parts, "all dollars", usd, known)
        steps += _with_sum([*in_euros, *eur_parts], "together", cost, known)
    return {
        "requests": len(events),
        "tokens_in": sum(event["tokens_in"] for event in events),
        "tokens_out": sum(event["tokens_out"] for event in events),
        "costEUR": cost,
        "costUSD": _sum(in_dollars + book["USD"]),
        "unconverted": ZERO if rate is not None else usd,
        **_footprint(events, terms),
    }


def _reported(counted: Iterable[Counted]) -> tuple[list[Decimal], list[Decimal]]:
    """What was reported and is in the sum: dollars to convert, and euros."""
    kept = [event for event, price in counted if price is None]
    dollars = [event["costUSD"] for event in kept if _is_converted(event)]
    return dollars, [event["costEUR"] for event in kept if "costEUR" in event and "fxRate" not in event]


def _by_the_book(counted: Iterable[Counted], unit: str) -> list[Decimal]:
    return [cost_of(event, price) for event, price in counted if price is not None and price.currency == unit]


def _to_convert(counted: Sequence[Counted]) -> Decimal:
    return sum(_reported(counted)[0] + _by_the_book(counted, "USD"), ZERO)


def _is_converted(event: Item) -> bool:
    """Whether the day's rate decides the euros of an event: its sender knew dollars alone."""
    return "costUSD" in event and ("costEUR" not in event or "fxRate" in event)


def _parts(name: str, amounts: Mapping[str, list[Decimal]], unit: str) -> list[Step]:
    return [Step(name, what, _sum_of(len(of)), _sum(of), unit) for what, of in amounts.items() if of]


def _conversion(name: str, usd: Decimal, rate: FxRate) -> Step:
    how = f"{usd:f} USD / {rate.usd:f}, the ECB's rate of {rate.date}"
    return Step(name, "in euros", how, quotient(usd, rate.usd), "EUR")


def _with_sum(addends: Sequence[Step], what: str, result: Decimal, known: str | None) -> list[Step]:
    """The steps that are added, but for one that stands there already, and the sum of several."""
    steps = [step for step in addends if step.what != known]
    if len(addends) > 1:
        how = " + ".join(f"{step.result:f} {step.unit}" for step in addends)
        steps.append(Step(addends[0].of, what, how, result, addends[0].unit))
    return steps


def _sum(numbers: Iterable[Decimal]) -> Decimal:
    return stored(sum(numbers, ZERO))


def _sum_of(requests: int) -> str:
    return "of 1 request" if requests == 1 else f"sum of {requests:,} requests"


def _footprint(events: Sequence[Item], terms: Mapping[str, Any]) -> Item:
    """The sums of the low and of the high figures. Nothing where none is known, which differs from zero."""
    rated = [event for event in events if "energyKWh" in event]
    unrated = [
        event
        for event in events
        if event["status"] == "success" and not event.get("cacheHit") and "energyKWh" not in event
    ]
    counts: Item = {"rated": len(rated), "unrated": len(unrated)}
    if unrated and not rated:
        return counts
    sums = {
        quantity: {bound: stored(sum((e[quantity][bound] for e in rated), ZERO)) for bound in ("low", "high")}
        for quantity in RANGES
    }
    return counts | sums | _square_metres(sums["co2eKg"], terms)


def _bill(cost: Decimal, terms: Mapping[str, Any], steps: list[Step]) -> Item:
    markup_percent = Decimal(terms.get("markupPercent", 0))
    fee_percent = Decimal(terms.get("restorationFeePercent", 0))
    markup, fee = stored(cost * markup_percent / 100), stored(cost * fee_percent / 100)
    billed = stored(cost + markup + fee)
    steps += [
        Step("", "Markup", f"{markup_percent:f} % of {cost:f} EUR", markup, "EUR"),
        Step("", "Restoration fee", f"{fee_percent:f} % of {cost:f} EUR", fee, "EUR"),
        Step("", "Billed", "cost, markup and fee", billed, "EUR"),
    ]
    return {"markupEUR": markup, "restorationFeeEUR": fee, "billedEUR": billed}


def _square_metres(co2e: Mapping[str, Decimal], terms: Mapping[str, Any]) -> Item:
    kg_per_m2 = terms.get("restorationKgCO2ePerM2")
    if not kg_per_m2:
        return {}
    return {"restoredM2": quotient((co2e["low"] + co2e["high"]) / 2, Decimal(kg_per_m2))}


def _of_the_day(counted: Sequence[Counted]) -> Item:
    events = [event for event, _ in counted]
    times = sorted(event["ts"] for event in events)
    latencies = [Decimal(event["latency"]) for event in events]
    sums = {name: sum(event.get(name, 0) for event in events) for name in COUNTED}
    return {
        **sums,
        "failures": sum(event["status"] == "failure" for event in events),
        "estimated": sum(bool(event.get("estimated")) for event in events),
        "latencyTotal": _sum(latencies),
        "latencyMax": stored(max(latencies, default=ZERO)),
        **({"firstTs": times[0], "lastTs": times[-1]} if times else {}),
    }


def _of_the_book(counted: Sequence[Counted], steps: list[Step]) -> Item:
    """What the price book prices, and what was reported. Adds a step where both know a cost of a request."""
    reported = [event["costUSD"] for event, _ in counted if "costUSD" in event]
    if any(price is not None and "costUSD" in event for event, price in counted):
        how = f"{_sum_of(len(reported))}, before the price book"
        steps.append(Step("", "Reported", how, _sum(reported), "USD"))
    prices = {price.id for _, price in counted if price is not None}
    ordered = sorted(prices, key=lambda price_id: [int(number) for number in price_id.split(".")])
    return {
        "costReportedUSD": _sum(reported),
        "repriced": sum(price is not None for _, price in counted),
        "unpriced": sum(
            price is None and "costUSD" not in event and "costEUR" not in event for event, price in counted
        ),
        **({"prices": ordered} if ordered else {}),
    }


def _differences(summary: Mapping[str, Any], computed: Item) -> dict[str, tuple[Any, Any]]:
    ignored = {*NOT_COMPARED, *(OF_THE_BOOK if summary.keys().isdisjoint(OF_THE_BOOK) else ())}
    there = dict(summary)
    return {
        name: (there.get(name), computed.get(name))
        for name in sorted((there.keys() | computed.keys()) - ignored)
        if there.get(name) != computed.get(name)
    }
