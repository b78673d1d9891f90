"""From sums to euros: one division, and what is added to it stays apart."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from impact.billing import Terms, statement, terms_of
from impact.dynamodb import item_from_wire, to_wire
from impact.fx_rates import FxRate
from impact.ledger_event import LedgerEvent
from impact.summary import tally
from tests.events import NOON, as_read, entry_builder, event

RATE = FxRate("2026-11-20", Decimal("1.1172"))
NO_TERMS = Terms()
BUILDER = entry_builder()

MONEY = st.decimals(0, 10**9, places=20)
PERCENT = st.decimals(0, 1000, places=4)


def wire(added: dict[str, Any] | None = None, **fields: Any) -> LedgerEvent:
    """An event as the rollup reads it, with what ingest added to it."""
    [read] = as_read(BUILDER.build(event(**fields), NOON).with_fields(added or {}).item)
    return read


def is_rounded(value: Decimal, exact: Fraction) -> bool:
    """Tell whether a number is an exact one rounded to 38 digits: off by half of the last one at most."""
    if exact == 0:
        return value == 0
    last_digit = Fraction(10) ** (value.adjusted() - 37)
    return abs(Fraction(value) - exact) <= last_digit / 2


@given(st.lists(MONEY, min_size=1, max_size=20), st.decimals("0.5", 2, places=5))
def test_a_day_in_euros_is_its_dollars_divided_once(costs: list[Decimal], usd: Decimal) -> None:
    sums = tally(wire(costUSD=cost, eventId=str(n)) for n, cost in enumerate(costs))
    stated = statement(sums, FxRate("2026-11-20", usd), NO_TERMS)
    assert is_rounded(stated["costEUR"], sum(map(Fraction, costs), Fraction(0)) / Fraction(usd))
    assert stated["unconverted"] == 0
    assert stated["models"]["openai/gpt-4o"]["costEUR"] == stated["costEUR"]
    if any(costs):
        assert (stated["fxRate"], stated["fxDate"]) == (usd, "2026-11-20")


def test_what_came_in_euros_is_added_as_it_is() -> None:
    sums = tally([wire(costUSD=Decimal("1.1172")), wire(costUSD=None, costEUR=Decimal("0.25"))])
    stated = statement(sums, RATE, NO_TERMS)
    assert (stated["costEUR"], stated["costUSD"], stated["unconverted"]) == (
        Decimal("1.25"),
        Decimal("1.1172"),
        0,
    )


def test_an_event_with_both_keeps_its_euros() -> None:
    stated = statement(tally([wire(costUSD=Decimal("1.1172"), costEUR=Decimal("0.5"))]), RATE, NO_TERMS)
    assert (stated["costEUR"], stated["costUSD"]) == (Decimal("0.5"), Decimal("1.1172"))
    assert "fxRate" not in stated


def test_euros_that_ingest_worked_out_are_converted_again() -> None:
    added = {"costEUR": Decimal(7), "fxRate": Decimal(9), "fxDate": "2026-11-19"}
    stated = statement(tally([wire(added, costUSD=Decimal("1.1172"))]), RATE, NO_TERMS)
    assert (stated["costEUR"], stated["fxDate"]) == (1, "2026-11-20")


def test_without_a_rate_the_dollars_wait() -> None:
    sums = tally([wire(costUSD=Decimal("1.5")), wire(costUSD=None, costEUR=Decimal("0.25"))])
    stated = statement(sums, None, NO_TERMS)
    assert (stated["unconverted"], stated["costUSD"], stated["costEUR"]) == (
        Decimal("1.5"),
        Decimal("1.5"),
        Decimal("0.25"),
    )
    assert "fxRate" not in stated
    assert "fxDate" not in stated


def test_markup_and_fee_stay_apart_and_add_up() -> None:
    terms = Terms(markup_percent=Decimal("12.5"), restoration_fee_percent=Decimal(3))
    stated = statement(tally([wire(costUSD=None, costEUR=Decimal("10.01"))]), None, terms)
    assert (stated["costEUR"], stated["markupEUR"], stated["restorationFeeEUR"], stated["billedEUR"]) == (
        Decimal("10.01"),
        Decimal("1.25125"),
        Decimal("0.3003"),
        Decimal("11.56155"),
    )
    assert stated["terms"] == {"markupPercent": Decimal("12.5"), "restorationFeePercent": Decimal(3)}


@given(MONEY, PERCENT, PERCENT)
def test_the_bill_is_the_sum_of_its_parts(cost: Decimal, markup: Decimal, fee: Decimal) -> None:
    stated = statement(tally([wire(costUSD=cost)]), RATE, Terms(markup, fee))
    parts = [Fraction(stated[name]) for name in ("costEUR", "markupEUR", "restorationFeeEUR")]
    assert is_rounded(stated["billedEUR"], sum(parts, Fraction(0)))
    assert is_rounded(stated["markupEUR"], parts[0] * Fraction(markup) / 100)
    assert is_rounded(stated["restorationFeeEUR"], parts[0] * Fraction(fee) / 100)


FOOTPRINT = {
    "energyKWh": {"low": Decimal("0.0005"), "high": Decimal("0.0009")},
    "co2eKg": {"low": Decimal("0.0002"), "high": Decimal("0.0004")},
    "waterL": {"low": Decimal("0.002"), "high": Decimal("0.003")},
}


def test_square_metres_are_the_midpoint_over_what_one_stands_for() -> None:
    sums = tally([wire(FOOTPRINT), wire(FOOTPRINT, model="other"), wire(model="unknown")])
    stated = statement(sums, RATE, Terms(restoration_kg_per_m2=Decimal("0.7"), restoration_source="study"))
    assert is_rounded(stated["restoredM2"], Fraction(6, 7000))
    assert is_rounded(stated["models"]["openai/other"]["restoredM2"], Fraction(3, 7000))
    assert "restoredM2" not in stated["models"]["openai/unknown"]
    assert stated["terms"]["restorationSource"] == "study"
    assert "restoredM2" not in statement(sums, RATE, NO_TERMS)


def test_terms_are_read_back_and_a_final_day_keeps_its_own() -> None:
    terms = Terms(Decimal(10), Decimal(0), Decimal("0.7"), "study")
    stored = item_from_wire(to_wire({"terms": terms.as_fields()}))
    assert Terms.from_fields(stored["terms"]) == terms
    assert terms_of(stored | {"final": True}, NO_TERMS) == terms
    assert terms_of(stored | {"final": False}, NO_TERMS) == terms_of(None, NO_TERMS) == NO_TERMS
