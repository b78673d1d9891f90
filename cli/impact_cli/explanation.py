"""How the figures of a user's day come about: from its events, step by step, by arithmetic of its own. Pure.

It does not use the rollup's sums. So it also checks them: what it computes must equal the stored summary, to
the last digit. What is added is exact; a quotient, and what is stored, has 38 digits (impact.decimals).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from typing import Any

from impact.decimals import EXACT, ZERO, quotient, stored
from impact.fx_rates import FxRate
from impact.summary import MODELS_MAX, OTHER, RANGES
from impact.types import Item

NOT_COMPARED = ("userId", "day", "dayShard", "revision", "asOf", "final", "terms")
"""Fields of a summary that do not come from the events."""
COUNTED = ("tokens_in", "tokens_out", "tokens_cached", "tokens_reasoning")


@dataclass(frozen=True)
class Step:
    """One step: what is computed, with its numbers, and what comes out."""

    what: str
    how: str
    result: Decimal
    unit: str


@dataclass(frozen=True)
class Explanation:
    """The steps to a summary, and what they give."""

    steps: list[Step]
    computed: Item
    """The fields of a summary, as computed here."""
    differences: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    """Fields that the stored summary has otherwise: stored, and computed."""


def explain(
    events: Sequence[Item], summary: Mapping[str, Any] | None, rate: FxRate | None, terms: Mapping[str, Any]
) -> Explanation:
    """Compute a user's day from its events, in the order of their ids, and compare it with its summary.

    `rate` is that of the day, None while it is not known. `terms` are those of the summary.
    """
    with localcontext(EXACT):
        by_model = _by_model(events)
        steps: list[Step] = []
        models = {name: _figures(of, rate, terms, name, steps) for name, of in by_model.items()}
        whole = _figures(events, rate, terms, "All models" if len(models) != 1 else "", steps)
        bill = _bill(whole["costEUR"], terms, steps)
        computed = {**whole, **_of_the_day(events), **bill, "models": models}
        if rate is not None and any(_is_converted(event) and event["costUSD"] for event in events):
            computed |= rate.as_fields()  # not where all dollars are 0: those of failures
    return Explanation(steps, computed, _differences(summary, computed) if summary is not None else {})


def _by_model(events: Iterable[Item]) -> dict[str, list[Item]]:
    models: dict[str, list[Item]] = {}
    for event in events:
        name = f"{event['provider']}/{event['model']}"
        if name not in models and len(models) >= MODELS_MAX:
            name = OTHER
        models.setdefault(name, []).append(event)
    return models


def _figures(
    events: Sequence[Item], rate: FxRate | None, terms: Mapping[str, Any], name: str, steps: list[Step]
) -> Item:
    """The sums of a model, or of all. Adds the steps to the euros, if there is a name for them."""
    dollars = [event["costUSD"] for event in events if "costUSD" in event]
    to_convert = [event["costUSD"] for event in events if _is_converted(event)]
    euros = [event["costEUR"] for event in events if "costEUR" in event and "fxRate" not in event]
    usd, eur = stored(sum(to_convert, ZERO)), stored(sum(euros, ZERO))
    cost = stored(eur + quotient(usd, rate.usd)) if rate is not None else eur
    if name and to_convert:
        steps += _conversion_steps(name, len(to_convert), usd, rate)
    if name and euros:
        steps.append(Step(f"{name}: sent as euros", _sum_of(len(euros)), eur, "EUR"))
    if name and euros and to_convert and rate is not None:
        how = f"{quotient(usd, rate.usd):f} EUR + {eur:f} EUR"
        steps.append(Step(f"{name}: together", how, cost, "EUR"))
    return {
        "requests": len(events),
        "tokens_in": sum(event["tokens_in"] for event in events),
        "tokens_out": sum(event["tokens_out"] for event in events),
        "costEUR": cost,
        "costUSD": stored(sum(dollars, ZERO)),
        "unconverted": ZERO if rate is not None else usd,
        **_footprint(events, terms),
    }


def _is_converted(event: Item) -> bool:
    """Whether the day's rate decides the euros of an event: its sender knew dollars alone."""
    return "costUSD" in event and ("costEUR" not in event or "fxRate" in event)


def _conversion_steps(name: str, requests: int, usd: Decimal, rate: FxRate | None) -> list[Step]:
    steps = [Step(f"{name}: dollars", _sum_of(requests), usd, "USD")]
    if rate is not None:
        how = f"{usd:f} USD / {rate.usd:f}, the ECB's rate of {rate.date}"
        steps.append(Step(f"{name}: in euros", how, quotient(usd, rate.usd), "EUR"))
    return steps


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
        Step("Markup", f"{markup_percent:f} % of {cost:f} EUR", markup, "EUR"),
        Step("Restoration fee", f"{fee_percent:f} % of {cost:f} EUR", fee, "EUR"),
        Step("Billed", "cost, markup and fee", billed, "EUR"),
    ]
    return {"markupEUR": markup, "restorationFeeEUR": fee, "billedEUR": billed}


def _square_metres(co2e: Mapping[str, Decimal], terms: Mapping[str, Any]) -> Item:
    kg_per_m2 = terms.get("restorationKgCO2ePerM2")
    if not kg_per_m2:
        return {}
    return {"restoredM2": quotient((co2e["low"] + co2e["high"]) / 2, Decimal(kg_per_m2))}


def _of_the_day(events: Sequence[Item]) -> Item:
    times = sorted(event["ts"] for event in events)
    latencies = [Decimal(event["latency"]) for event in events]
    sums = {name: sum(event.get(name, 0) for event in events) for name in COUNTED}
    return {
        **sums,
        "failures": sum(event["status"] == "failure" for event in events),
        "unpriced": sum("costUSD" not in event and "costEUR" not in event for event in events),
        "estimated": sum(bool(event.get("estimated")) for event in events),
        "latencyTotal": stored(sum(latencies, ZERO)),
        "latencyMax": stored(max(latencies, default=ZERO)),
        **({"firstTs": times[0], "lastTs": times[-1]} if times else {}),
    }


def _differences(summary: Mapping[str, Any], computed: Item) -> dict[str, tuple[Any, Any]]:
    there = {name: value for name, value in summary.items() if name not in NOT_COMPARED}
    return {
        name: (there.get(name), computed.get(name))
        for name in sorted(there.keys() | computed.keys())
        if there.get(name) != computed.get(name)
    }
