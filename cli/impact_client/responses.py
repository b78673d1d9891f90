"""The API's responses, as types. docs/openapi.json describes each field.

A response may have more fields than these: a later release adds some.
"""

from decimal import Decimal
from typing import Literal, NotRequired, TypedDict


class Range(TypedDict):
    """An estimate."""

    low: Decimal
    high: Decimal


class Terms(TypedDict, total=False):
    """The operator's terms, at which a day is billed."""

    markupPercent: Decimal
    restorationFeePercent: Decimal
    restorationKgCO2ePerM2: Decimal
    restorationSource: str


class Figures(TypedDict):
    """The sums of a model, and of all models."""

    requests: int
    tokens_in: int
    tokens_out: int
    costEUR: Decimal
    costUSD: Decimal
    unconverted: Decimal
    rated: int
    unrated: int
    energyKWh: NotRequired[Range]
    co2eKg: NotRequired[Range]
    waterL: NotRequired[Range]
    restoredM2: NotRequired[Decimal]


class Sums(Figures):
    """The sums of a day, or of several."""

    failures: int
    tokens_cached: int
    tokens_reasoning: int
    unpriced: int
    estimated: int
    costReportedUSD: Decimal
    repriced: int
    latencyTotal: Decimal
    latencyMax: Decimal
    firstTs: NotRequired[str]
    lastTs: NotRequired[str]
    markupEUR: Decimal
    restorationFeeEUR: Decimal
    billedEUR: Decimal
    models: NotRequired[dict[str, Figures]]


class Before(TypedDict, total=False):
    """What a corrected day was final with at first. Each model has its costs there too."""

    costUSD: Decimal
    costEUR: Decimal
    unconverted: Decimal
    markupEUR: Decimal
    restorationFeeEUR: Decimal
    billedEUR: Decimal
    unpriced: int
    repriced: int
    prices: list[str]


class Summary(Sums):
    """A user's day. In a response of one user, the name stands beside the days."""

    userId: str
    name: NotRequired[str]
    costCentre: NotRequired[str]
    day: str
    prices: NotRequired[list[str]]
    before: NotRequired[Before]
    terms: Terms
    fxRate: NotRequired[Decimal]
    fxDate: NotRequired[str]
    asOf: str
    final: bool


class DayTotal(Sums):
    """The platform's day."""

    day: str
    users: int
    prices: NotRequired[list[str]]
    fxRate: NotRequired[Decimal]
    fxDate: NotRequired[str]
    asOf: str
    final: bool


Usage = TypedDict(
    "Usage",
    {
        "userId": str,
        "name": NotRequired[str],
        "costCentre": NotRequired[str],
        "from": str,
        "to": str,
        "days": list[Summary],
        "total": Sums,
        "notFresh": NotRequired[list[str]],
    },
)
Usage.__doc__ = "A user's days with use, in order, and their sum."

Totals = TypedDict("Totals", {"from": str, "to": str, "days": list[DayTotal], "total": Sums})
Totals.__doc__ = "The platform's days with use, in order, and their sum."

Dimension = Literal["user", "team", "key", "tag", "model", "provider"]
ValueField = Literal["teamId", "keyAlias", "tag"]


class BreakdownItem(Sums):
    """What one value of a dimension did."""

    value: str | None
    """None for requests that have none, and for the rest."""
    rest: NotRequired[bool]
    name: NotRequired[str]
    costCentre: NotRequired[str]


Breakdown = TypedDict(
    "Breakdown", {"by": Dimension, "from": str, "to": str, "items": list[BreakdownItem], "final": bool}
)
Breakdown.__doc__ = "What each value of a dimension did, the dearest first."


class ValueDay(Sums):
    """A day of a team, a key or a tag."""

    day: str
    final: bool


ValueUsage = TypedDict(
    "ValueUsage",
    {
        "teamId": NotRequired[str],
        "keyAlias": NotRequired[str],
        "tag": NotRequired[str],
        "name": NotRequired[str],
        "costCentre": NotRequired[str],
        "from": str,
        "to": str,
        "days": list[ValueDay],
        "total": Sums,
        "inRest": NotRequired[list[str]],
    },
)
ValueUsage.__doc__ = "The days with use of a team, a key or a tag, in order, and their sum."
