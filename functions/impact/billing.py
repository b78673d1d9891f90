"""From sums to what a user is billed: euros, markup, fee, restored square metres. Pure: no AWS."""

from dataclasses import dataclass
from decimal import Decimal, localcontext

from impact.decimals import EXACT, ZERO, quotient, stored
from impact.fx_rates import FxRate, to_euros
from impact.summary import Tally
from impact.types import Item

CORRECTED = (
    *("costUSD", "costEUR", "unconverted", "markupEUR", "restorationFeeEUR", "billedEUR"),
    *("unpriced", "repriced", "prices"),
)
"""The fields of a statement that another price changes."""


@dataclass(frozen=True)
class Terms:
    """The operator's terms: what is added to the cost, in percent of it, and what restores a square metre."""

    markup_percent: Decimal = ZERO
    restoration_fee_percent: Decimal = ZERO
    restoration_kg_per_m2: Decimal | None = None
    """kg CO2e that one restored square metre stands for. None: square metres are not reported."""
    restoration_source: str | None = None
    """The source of that figure."""

    def as_fields(self) -> Item:
        fields = {
            "markupPercent": self.markup_percent,
            "restorationFeePercent": self.restoration_fee_percent,
            "restorationKgCO2ePerM2": self.restoration_kg_per_m2,
            "restorationSource": self.restoration_source,
        }
        return {name: value for name, value in fields.items() if value is not None}

    @classmethod
    def from_fields(cls, fields: Item) -> "Terms":
        kg_per_m2 = fields.get("restorationKgCO2ePerM2")
        return cls(
            markup_percent=Decimal(fields.get("markupPercent", 0)),
            restoration_fee_percent=Decimal(fields.get("restorationFeePercent", 0)),
            restoration_kg_per_m2=None if kg_per_m2 is None else Decimal(kg_per_m2),
            restoration_source=fields.get("restorationSource"),
        )


def terms_of(former: Item | None, current: Terms) -> Terms:
    """Return the terms of a (day, shard), by its stored total: a final day keeps its own."""
    if former and former["final"] and "terms" in former:
        return Terms.from_fields(former["terms"])
    return current


def statement(sums: Tally, rate: FxRate | None, terms: Terms) -> Item:
    """Make a statement of sums: dollars converted by one division, markup, fee, and the terms.

    Without a rate the dollars stay in `unconverted`. Each model has a division of its own.
    """
    fields = sums.as_fields()
    for row in (fields, *fields["models"].values()):
        if rate is not None:
            row["costEUR"], row["unconverted"] = in_euros(row["costEUR"], row["unconverted"], rate), ZERO
        if terms.restoration_kg_per_m2 and "co2eKg" in row:
            row["restoredM2"] = square_metres(row["co2eKg"]["low"], row["co2eKg"]["high"], terms)
    exchange = rate.as_fields() if rate is not None and sums.unconverted > 0 else {}
    return fields | bill(fields["costEUR"], terms) | exchange | {"terms": terms.as_fields()}


def before_correction(sums: Tally, stated: Item, rate: FxRate | None, terms: Terms) -> Item:
    """What a corrected day was final with at first, as `before`: {} where the correction changed nothing."""
    if sums.first is None:
        return {}
    first = statement(sums.first, rate, terms)
    before = {name: first[name] for name in CORRECTED if name in first}
    before["models"] = {
        name: {cost: model[cost] for cost in ("costEUR", "costUSD", "unconverted")}
        for name, model in first["models"].items()
    }
    is_same = all(first.get(name) == stated.get(name) for name in CORRECTED)
    return {} if is_same else {"before": before}


def zero_sum() -> Tally:
    """The sum of no statements: nothing is billed, which differs from not known."""
    return Tally(markupEUR=ZERO, restorationFeeEUR=ZERO, billedEUR=ZERO)


def in_euros(cost: Decimal, unconverted: Decimal, rate: FxRate) -> Decimal:
    """Add dollars to a cost in euros."""
    with localcontext(EXACT):
        return stored(cost + to_euros(unconverted, rate))


def bill(cost: Decimal, terms: Terms) -> Item:
    """Return markup, fee and what is billed, in this order, of a cost in euros."""
    with localcontext(EXACT):
        markup = stored(cost * terms.markup_percent.scaleb(-2))
        fee = stored(cost * terms.restoration_fee_percent.scaleb(-2))
        return {"markupEUR": markup, "restorationFeeEUR": fee, "billedEUR": stored(cost + markup + fee)}


def square_metres(co2e_low: Decimal, co2e_high: Decimal, terms: Terms) -> Decimal | None:
    """What the midpoint of some kg CO2e stands for. None if the terms do not say."""
    if not terms.restoration_kg_per_m2:
        return None
    with localcontext(EXACT):
        midpoint = (co2e_low + co2e_high) / 2
    return quotient(midpoint, terms.restoration_kg_per_m2)
