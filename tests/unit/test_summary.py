"""Sums of events: exact, in any order, in any parts."""

import random
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impact.billing import Terms, statement
from impact.dynamodb import item_from_wire, to_wire
from impact.fx_rates import FxRate
from impact.ledger_entry import item_size
from impact.ledger_event import LedgerEvent
from impact.summary import MODELS_MAX, OTHER, Tally, tallies_by_user, tally
from tests.events import NOON, as_read, entry_builder, event

BUILDER = entry_builder()


FOOTPRINT = {
    "energyKWh": {"low": Decimal("0.0005661812223890189"), "high": Decimal("0.0009510139038287136")},
    "co2eKg": {"low": Decimal("0.0002306608952196722"), "high": Decimal("0.0003785905779650908")},
    "waterL": {"low": Decimal("0.0020418004695941057"), "high": Decimal("0.003429609740914029")},
}


def wire(added: dict[str, Any] | None = None, **fields: Any) -> LedgerEvent:
    """An event as the rollup reads it, with what ingest added to it."""
    [read] = as_read(BUILDER.build(event(**fields), NOON).with_fields(added or {}).item)
    return read


def test_ten_thousand_costs_sum_to_the_exact_decimal() -> None:
    costs = [Decimal("0.1"), Decimal("0.2"), Decimal("8.4e-07"), Decimal("0.0055875000000000005")]
    events = [wire(costUSD=costs[n % 4], eventId=str(n)) for n in range(10_000)]
    random.Random(1).shuffle(events)
    assert tally(events).costUSD == Decimal("763.97085000000000125")


@given(
    st.lists(st.decimals(0, 10**9, places=29), max_size=20),
    st.lists(st.decimals(0, 1, places=29), max_size=20),
)
def test_a_sum_is_exact_and_its_parts_add_up(some: list[Decimal], others: list[Decimal]) -> None:
    first = tally(wire(costEUR=cost, costUSD=None) for cost in some)
    second = tally(wire(costEUR=cost, costUSD=None) for cost in others)
    whole = tally(wire(costEUR=cost, costUSD=None) for cost in some + others)
    first.merge(second)
    assert first == whole
    assert Fraction(whole.costEUR) == sum(map(Fraction, some + others))


def test_footprints_are_summed_low_and_high() -> None:
    sums = tally([wire(FOOTPRINT), wire(FOOTPRINT), wire(FOOTPRINT, model="gpt-4o-mini")]).as_fields()
    assert (sums["rated"], sums["unrated"]) == (3, 0)
    assert sums["energyKWh"] == {
        "low": Decimal("0.0016985436671670567"),
        "high": Decimal("0.0028530417114861408"),
    }
    assert sums["models"]["openai/gpt-4o"]["waterL"] == {
        "low": Decimal("0.0040836009391882114"),
        "high": Decimal("0.006859219481828058"),
    }
    assert sums["models"]["openai/gpt-4o-mini"]["co2eKg"] == FOOTPRINT["co2eKg"]


def test_an_unrated_request_is_counted_and_never_zero() -> None:
    nothing = tally([wire(model="unheard-of"), wire(model="unheard-of")]).as_fields()
    assert (nothing["rated"], nothing["unrated"]) == (0, 2)
    assert not {"energyKWh", "co2eKg", "waterL"} & nothing.keys()
    some = tally([wire(model="unheard-of"), wire(FOOTPRINT)]).as_fields()
    assert (some["rated"], some["unrated"], some["co2eKg"]) == (1, 1, FOOTPRINT["co2eKg"])
    assert "co2eKg" not in some["models"]["openai/unheard-of"]


def test_failures_and_cache_hits_generated_nothing() -> None:
    sums = tally([wire(status="failure"), wire(cacheHit=True)]).as_fields()
    assert (sums["requests"], sums["rated"], sums["unrated"]) == (2, 0, 0)
    assert sums["energyKWh"] == {"low": 0, "high": 0}
    assert tally([wire(cacheHit=False)]).unrated == 1


def test_dollars_wait_to_be_converted_unless_the_event_has_euros_of_its_own() -> None:
    converted = {"costEUR": Decimal(7), "fxRate": Decimal("1.1"), "fxDate": "2026-11-20"}
    sums = tally(
        [wire(costUSD=1), wire(converted, costUSD=2), wire(costUSD=4, costEUR=8), wire(costUSD=None)]
    )
    assert [sums.costUSD, sums.unconverted, sums.costEUR, sums.unpriced] == [7, 3, 8, 1]


def test_a_summary_from_before_there_were_rates_is_unconverted() -> None:
    old = {"requests": 1, "costUSD": 5, "costEUR": 2, "models": {"a/b": {"requests": 1, "costUSD": 5}}}
    assert Tally.from_fields(old).unconverted == 5
    assert Tally.from_fields(old | {"unconverted": 0}).unconverted == 0
    assert "energyKWh" not in Tally.from_fields(old).as_fields()  # not known, and so not zero


def test_what_is_stored_is_read_back() -> None:
    sums = tally(
        [
            wire(FOOTPRINT, costUSD=Decimal("1E-7")),
            wire(costUSD=100, status="failure"),
            wire(costUSD=None, model="unheard-of"),
        ]
    )
    assert Tally.from_fields(item_from_wire(to_wire(sums.as_fields()))) == sums


def test_fields_of_another_version_are_left_alone() -> None:
    stored = tally([wire()]).as_fields()
    stored["models"]["openai/gpt-4o"]["adpeKg"] = 1
    assert Tally.from_fields(stored | {"adpeKg": 1}) == tally([wire()])


def test_users_are_kept_apart_across_pages() -> None:
    pages = [
        [wire(userId="a")],
        [wire(userId="a"), wire(userId="b")],
        [],
        [wire(userId="b"), wire(userId="c")],
    ]
    by_user = [(user_id, sums.requests) for user_id, sums in tallies_by_user(pages)]
    assert by_user == [("a", 2), ("b", 2), ("c", 1)]


def test_unpriced_is_not_free() -> None:
    sums = tally([wire(costUSD=0), wire(costUSD=None), wire(costUSD=None, costEUR=0)])
    assert (sums.requests, sums.unpriced) == (3, 1)
    assert sums.costUSD + sums.costEUR == 0


def test_a_summary_of_the_longest_names_fits_an_item() -> None:
    """DynamoDB's limit is 400 KB."""
    names = [f"{n:03d}" + "😀" * 253 for n in range(MODELS_MAX + 5)]
    sums = tally(
        wire(FOOTPRINT, userId="a", eventId=str(n), model=name, costUSD=Decimal("0.1"))
        for n, name in enumerate(names)
    )
    sums.models = {f"{'😀' * 64}/{name.partition('/')[2]}": model for name, model in sums.models.items()}
    assert len(sums.models) == MODELS_MAX + 1
    stated = statement(
        sums, FxRate("2026-11-20", Decimal("1.1172")), Terms(restoration_kg_per_m2=Decimal("0.7"))
    )
    assert item_size(stated) < 400 * 1024


@pytest.mark.parametrize("rest_first", [True, False])
def test_as_many_models_stand_by_themselves_wherever_the_rest_is(rest_first: bool) -> None:
    """DynamoDB returns the models of a summary in any order."""
    stored = tally(
        wire(userId="a", eventId=str(n), model=f"m{n}", costUSD=Decimal(1)) for n in range(MODELS_MAX + 5)
    ).as_fields()
    names = sorted(stored["models"], key=lambda name: (name == OTHER) != rest_first)
    read = Tally()
    read.merge(Tally.from_fields(stored | {"models": {name: stored["models"][name] for name in names}}))
    assert read.models[OTHER].requests == 5
    assert len(read.models) == MODELS_MAX + 1


def test_every_sum_of_some_events_whatever_their_order_and_their_parts() -> None:
    events = [
        wire(ts="2026-11-23T10:00:00Z", latency=Decimal("0.5"), tokens_in=1, tokens_cached=3),
        wire(ts="2026-11-23T08:00:00Z", latency=Decimal("2.5"), tokens_out=2, estimated=True),
        wire(ts="2026-11-23T11:00:00Z", latency=1, status="failure", costUSD=None, tokens_reasoning=5),
        wire(ts="2026-11-23T09:00:00Z", latency=Decimal("1.5"), cacheHit=True, costEUR=1, model="llama"),
        wire(FOOTPRINT, ts="2026-11-23T09:30:00Z", latency=0, cacheHit=False, costUSD=0, estimated=False),
    ]
    whole = tally(events)
    figures = (whole.requests, whole.failures, whole.unpriced, whole.estimated, whole.rated, whole.unrated)
    assert figures == (5, 1, 1, 1, 1, 2)
    tokens = (whole.tokens_in, whole.tokens_out, whole.tokens_cached, whole.tokens_reasoning)
    assert tokens == (4801, 1202, 3, 5)
    assert (whole.latencyTotal, whole.latencyMax) == (Decimal("5.5"), Decimal("2.5"))
    assert (whole.firstTs, whole.lastTs) == ("2026-11-23T08:00:00.000000Z", "2026-11-23T11:00:00.000000Z")
    dollars = (whole.costEUR, whole.costUSD, whole.unconverted)
    assert dollars == (Decimal(1), Decimal("0.01425"), Decimal("0.0095"))
    assert {name: model.requests for name, model in whole.models.items()} == {
        "openai/gpt-4o": 4,
        "openai/llama": 1,
    }
    for cut in range(6):
        first, rest = tally(events[:cut]), tally(events[cut:])
        first.merge(rest)
        assert first == whole
        rest.merge(tally(events[:cut]))
        assert rest == whole
    assert Tally.from_fields(whole.as_fields()) == whole
