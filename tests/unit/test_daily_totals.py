"""A day of the platform: the same row, to the last digit, whether it was stored or is made now."""

from decimal import Decimal
from typing import Any

import simplejson
from hypothesis import given
from hypothesis import strategies as st

from impact.billing import Terms
from impact.daily_totals import NO_USE, as_response, daily_total, sum_totals
from impact.decimals import stored
from impact.dynamodb import item_from_wire, to_wire
from impact.fx_rates import FxRate
from impact.summary import Tally

DAY = "2026-11-23"
MONEY = st.decimals(0, 10**9, allow_nan=False, allow_infinity=False, places=18).map(stored)
COUNTS = st.integers(0, 10**12)
RATES = st.sampled_from([None, FxRate("2026-11-20", Decimal("1.1172")), FxRate("2026-11-21", Decimal("0.9"))])
TERMS = st.sampled_from(
    [Terms(), Terms(Decimal("7.5"), Decimal(3)), Terms(restoration_kg_per_m2=Decimal("0.7"))]
)
FOOTPRINT = ("energyLow", "energyHigh", "co2eLow", "co2eHigh", "waterLow", "waterHigh")


@st.composite
def tallies(draw: st.DrawFn) -> Tally:
    counts = ("requests", "tokens_in", "tokens_out", "rated", "unrated", "failures", "unpriced", "estimated")
    sums: dict[str, Any] = {name: draw(COUNTS) for name in counts}
    sums |= {name: draw(MONEY) for name in ("costEUR", "costUSD", "unconverted", "latencyTotal", *FOOTPRINT)}
    return Tally(**sums, firstTs=f"{DAY}T0{draw(st.integers(0, 9))}", lastTs=f"{DAY}T2")


@st.composite
def days(draw: st.DrawFn) -> list[dict[str, Any]]:
    """The totals of a day's shards, as the rollup leaves them; some may not be recomputed yet."""
    totals = []
    for shard in sorted(draw(st.sets(st.integers(0, 4)))):
        rate, fields = draw(RATES), draw(tallies()).as_fields()
        del fields["models"]
        known = {"kind": "total", "day": DAY, "shard": shard, "users": draw(st.integers(0, 10**6))}
        stamp = {"asOf": f"{DAY}T1{shard}", "final": draw(st.booleans())}
        terms = {"terms": draw(TERMS).as_fields()}
        totals.append(known | terms | (rate.as_fields() if rate else {}) | fields | stamp)
    return [as_stored(total) for total in totals]


def as_stored(item: dict[str, Any]) -> dict[str, Any]:
    """What DynamoDB hands back of an item."""
    return item_from_wire(to_wire(item))


def text(value: object) -> str:
    return simplejson.dumps(value, use_decimal=True, sort_keys=True)


@given(st.lists(days(), min_size=1, max_size=3), st.booleans())
def test_a_row_that_was_stored_shows_the_same(totals: list[list[dict[str, Any]]], reopened: bool) -> None:
    now = [daily_total(DAY, of_day, 4) for of_day in totals]
    before = [as_stored({"sums": row})["sums"] for row in now]
    shown_now, shown_before = (
        [as_response(row, reopened=reopened) for row in rows if row] for rows in (now, before)
    )
    assert text(shown_before) == text(shown_now)
    assert text(sum_totals(shown_before)) == text(sum_totals(shown_now))
    assert text(shown_now) == text([row | {"final": row["final"] and not reopened} for row in now if row])


@given(days())
def test_a_row_adds_up_the_totals_of_its_shards(totals: list[dict[str, Any]]) -> None:
    row = daily_total(DAY, totals, 4)
    assert bool(row) == any(total["requests"] for total in totals)
    if row:
        for name in ("requests", "users", "tokens_in", "failures"):
            assert row[name] == sum(total[name] for total in totals)
        assert row["final"] == ({t["shard"] for t in totals if t["final"]} >= {0, 1, 2, 3})
        assert row["costUSD"] == stored(sum(total["costUSD"] for total in totals))
        assert row["asOf"] == min(total["asOf"] for total in totals)


def test_a_row_that_an_earlier_version_stored_shows_every_sum() -> None:
    totals = [as_stored({"shard": 0, "users": 1, "final": True, "asOf": DAY} | Tally(requests=1).as_fields())]
    row = daily_total(DAY, totals, 1)
    old = {name: value for name, value in row.items() if name != "estimated"}
    assert as_response(old, reopened=False) == as_response(row, reopened=False)


def test_a_day_without_a_request_has_no_row() -> None:
    assert daily_total(DAY, [], 4) == NO_USE
    total = {"shard": 0, "users": 0, "final": True, "asOf": DAY} | Tally().as_fields()
    assert daily_total(DAY, [total], 1) == NO_USE
