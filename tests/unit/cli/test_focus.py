"""The FOCUS export: rows add up to the API's totals to the last digit, and are valid."""

import csv
import io
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import simplejson
from hypothesis import given
from hypothesis import strategies as st

from impact.billing import Terms, before_correction, statement
from impact.calendar import Settings, day_after, timestamp
from impact.daily_totals import as_response, daily_total, sum_totals
from impact.decimals import EXACT, stored
from impact.dynamodb import item_from_wire, to_wire
from impact.fx_rates import FxRate
from impact.keys import shard_of
from impact.ledger_event import events_of
from impact.price_book import NO_BOOK, DayBook
from impact.summary import Tally, tallies_by_user
from impact_cli.focus import (
    AMOUNTS,
    COLUMNS,
    COUNTS,
    CUSTOM_COLUMNS,
    DESCRIPTION_MAX,
    MANDATORY,
    TOLERANCE,
    DayChanged,
    Identity,
    check,
    check_row,
    day_rows,
    metadata,
)
from impact_cli.records import csv_header, csv_lines, csv_row
from tests.events import NOON, entry_builder, event
from tests.unit.cli.test_book_cost import book_of, books, price

DAY = "2026-11-23"
SHARDS = 3
RATE = FxRate("2026-11-20", Decimal("1.1172"))
TERMS = Terms(Decimal(10), Decimal(2))
WHO = Identity("impact-123456789012", "impact", "Example University")
BUILDER = entry_builder()
FOOTPRINT = {
    "energyKWh": {"low": Decimal("0.0005"), "high": Decimal("0.0009")},
    "co2eKg": {"low": Decimal("0.0002"), "high": Decimal("0.0004")},
    "waterL": {"low": Decimal("0.002"), "high": Decimal("0.003")},
}

Event = dict[str, Any]
starts_at = Settings(ZoneInfo("Europe/Vienna"), 400 * (NOON - NOON), SHARDS).starts_at


def wire(added: Event | None = None, **fields: Any) -> Event:
    """An event as the rollup reads it, with what ingest added to it."""
    return to_wire(BUILDER.build(event(**fields), NOON).with_fields(added or {}).item)


def from_api(row: Event) -> Event:
    """What DynamoDB stores of a row, as a client reads it from the API's JSON."""
    text = simplejson.dumps(item_from_wire(to_wire(row)), use_decimal=True)
    return dict(simplejson.loads(text, use_decimal=True))


def summaries_and_total(
    events: Iterable[Event],
    rate: FxRate | None = RATE,
    terms: Terms = TERMS,
    day: str = DAY,
    book: DayBook = NO_BOOK,
) -> tuple[list[Event], Event]:
    """What the rollup and the API make of a day's events."""
    shards: dict[int, list[Event]] = {shard: [] for shard in range(SHARDS)}
    for one in sorted(events, key=lambda one: str(one["userId"]["S"])):
        shards[shard_of(one["userId"]["S"], SHARDS)].append(one)
    summaries, totals = [], []
    stamp = {"asOf": timestamp(NOON), "final": True}
    for shard, of_shard in shards.items():
        whole, users = Tally(), 0
        for user_id, tally in tallies_by_user([events_of(of_shard)], book):
            stated = statement(tally, rate, terms)
            stated |= before_correction(tally, stated, rate, terms)
            summaries.append(from_api({"userId": user_id, "day": day} | stated | stamp))
            whole.merge(tally)
            users += 1
        fields = {name: value for name, value in whole.as_fields().items() if name != "models"}
        exchange = rate.as_fields() if rate else {}
        known = {"day": day, "shard": shard, "users": users, "terms": terms.as_fields()}
        totals.append(from_api(known | exchange | fields | stamp))
    return summaries, from_api(as_response(daily_total(day, totals, SHARDS), reopened=False))


def rows_of(events: Iterable[Event], rate: FxRate | None = RATE, terms: Terms = TERMS) -> list[Event]:
    summaries, total = summaries_and_total(events, rate, terms)
    return list(day_rows(total, summaries, WHO, starts_at, NOON))


def column_sum(rows: Iterable[Event], column: str) -> Fraction:
    return sum((Fraction(row[column]) for row in rows if row[column] is not None), Fraction(0))


def as_file(rows: Iterable[Event]) -> "csv.DictReader[str]":
    """The rows, read back from the CSV that is written of them."""
    file = io.StringIO(newline="")
    file.writelines([csv_header(COLUMNS), *csv_lines(rows, COLUMNS)])
    file.seek(0)
    return csv.DictReader(file)


def violations(rows: Iterable[Event]) -> list[str]:
    reader = as_file(rows)
    return check(reader.fieldnames or (), reader)


# --- examples ---

EVENTS = [
    wire(FOOTPRINT, userId="alice", costUSD=Decimal("1.1172")),
    wire(
        userId="alice",
        model="claude",
        provider="anthropic",
        costUSD=Decimal("2.2344"),
        tokens_in=7,
        tokens_out=5,
    ),
    wire(userId="bob", costUSD=None, costEUR=Decimal("0.5")),
    wire(userId="carol", status="failure", costUSD=0, tokens_in=0, tokens_out=0),
]


def test_a_day_by_hand() -> None:
    rows = rows_of(EVENTS)
    shown = {
        (row["x_UserId"], row["ChargeDescription"]): (
            row["ChargeCategory"],
            row["BilledCost"],
            row["ConsumedQuantity"],
        )
        for row in rows
    }
    counts = "No charge: counts of requests that failed, are unpriced, by the price book or estimated"
    assert shown == {
        ("alice", "Requests to openai/gpt-4o"): ("Usage", 1, 1500),
        ("alice", "Requests to anthropic/claude"): ("Usage", 2, 12),
        ("alice", "Markup, 10% of the user's cost"): ("Adjustment", Decimal("0.3"), None),
        ("alice", "Fee for the restoration of ecosystems, 2% of the user's cost"): (
            "Adjustment",
            Decimal("0.06"),
            None,
        ),
        ("bob", "Requests to openai/gpt-4o"): ("Usage", Decimal("0.5"), 1500),
        ("bob", "Markup, 10% of the user's cost"): ("Adjustment", Decimal("0.05"), None),
        ("bob", "Fee for the restoration of ecosystems, 2% of the user's cost"): (
            "Adjustment",
            Decimal("0.01"),
            None,
        ),
        ("carol", "Requests to openai/gpt-4o"): ("Usage", 0, 0),
        ("carol", counts): ("Adjustment", 0, None),
    }
    assert len(rows) == len(shown)
    assert all(tuple(row) == COLUMNS for row in rows)
    assert violations(rows) == []


def test_a_usage_row_by_hand() -> None:
    [first] = [row for row in rows_of(EVENTS) if row["x_UserId"] == "alice" and row["x_Model"] == "gpt-4o"]
    assert first == {
        **dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost", "ListCost"), 1),
        **dict.fromkeys(
            ("HostProviderName", "ProviderName", "PublisherName", "ServiceProviderName"), "openai"
        ),
        "BillingAccountId": "impact-123456789012",
        "BillingAccountName": "impact",
        "BillingCurrency": "EUR",
        "BillingPeriodStart": datetime(2026, 10, 31, 23, tzinfo=UTC),
        "BillingPeriodEnd": datetime(2026, 11, 30, 23, tzinfo=UTC),
        "ChargeCategory": "Usage",
        "ChargeClass": None,
        "ChargeDescription": "Requests to openai/gpt-4o",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": datetime(2026, 11, 22, 23, tzinfo=UTC),
        "ChargePeriodEnd": datetime(2026, 11, 23, 23, tzinfo=UTC),
        "ConsumedQuantity": 1500,
        "ConsumedUnit": "Tokens",
        "InvoiceIssuerName": "Example University",
        "PricingQuantity": 1500,
        "PricingUnit": "Tokens",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": "gpt-4o",
        "ServiceSubcategory": "Generative AI",
        "x_UserId": "alice",
        "x_UserName": None,
        "x_CostCentre": None,
        "x_Provider": "openai",
        "x_Model": "gpt-4o",
        "x_PriceIds": None,
        "x_CostUSD": Decimal("1.1172"),
        "x_UnconvertedUSD": 0,
        "x_CostReportedUSD": Decimal("1.1172"),
        "x_FxRate": Decimal("1.1172"),
        "x_FxDate": "2026-11-20",
        "x_Requests": 1,
        "x_TokensIn": 1200,
        "x_TokensOut": 300,
        "x_Rated": 1,
        "x_Unrated": 0,
        "x_Failures": None,
        "x_Unpriced": None,
        "x_Repriced": None,
        "x_Estimated": None,
        "x_EnergyKWhLow": Decimal("0.0005"),
        "x_EnergyKWhHigh": Decimal("0.0009"),
        "x_Co2eKgLow": Decimal("0.0002"),
        "x_Co2eKgHigh": Decimal("0.0004"),
        "x_WaterLLow": Decimal("0.002"),
        "x_WaterLHigh": Decimal("0.003"),
        "x_Final": True,
    }


def test_every_row_of_a_user_has_the_name_and_no_other_row() -> None:
    summaries, total = summaries_and_total([wire(costUSD=1, model=name) for name in ("a", "b", "c")])
    named = [summary | {"name": "=1+1", "costCentre": "-4711"} for summary in summaries]
    rows = list(day_rows(total, named, WHO, starts_at, NOON))
    assert {(row["x_UserId"], row["x_UserName"], row["x_CostCentre"]) for row in rows} == {
        ("alice", "=1+1", "-4711"),
        (None, None, None),
    }
    assert {(row["x_UserName"], row["x_CostCentre"]) for row in as_file(rows)} == {
        ("'=1+1", "'-4711"),
        ("", ""),
    }
    assert violations(rows) == []


def test_a_footprint_that_nobody_knows_and_a_rate_that_nothing_needed_are_null() -> None:
    in_euros = wire(userId="alice", model="llama", costUSD=None, costEUR=1)
    rows = {(row["x_UserId"], row["x_Model"]): row for row in rows_of([*EVENTS, in_euros])}
    assert rows["alice", "claude"]["x_Co2eKgLow"] is None
    assert rows["carol", "gpt-4o"]["x_Co2eKgLow"] == 0  # a failure generated nothing
    assert rows["alice", "claude"]["x_FxDate"] == "2026-11-20"
    assert rows["alice", "llama"]["x_FxRate"] is rows["alice", "llama"]["x_FxDate"] is None


@pytest.mark.parametrize(
    ("day", "first", "following"),
    [
        ("2026-12-31", "2026-12-01", "2027-01-01"),
        ("2026-02-28", "2026-02-01", "2026-03-01"),
        ("2026-03-29", "2026-03-01", "2026-04-01"),  # 23 hours
    ],
)
def test_days_and_months_begin_in_the_stacks_time_zone(day: str, first: str, following: str) -> None:
    summaries, total = summaries_and_total(EVENTS, day=day)
    row = next(day_rows(total, summaries, WHO, starts_at, NOON))
    assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == (starts_at(first), starts_at(following))
    assert (row["ChargePeriodStart"], row["ChargePeriodEnd"]) == (starts_at(day), starts_at(day_after(day)))


def test_dollars_without_a_rate_are_not_billed_and_stand_beside() -> None:
    summaries, total = summaries_and_total(EVENTS[:2], rate=None)
    rows = list(day_rows(total, summaries, WHO, starts_at, NOON))
    assert [row["BilledCost"] for row in rows] == [0, 0]
    assert [row["x_UnconvertedUSD"] for row in rows] == [Decimal("1.1172"), Decimal("2.2344")]
    assert [row["x_FxRate"] for row in rows] == [None, None]
    assert metadata([total], DAY, DAY, time_zone="UTC", who=WHO)["x_Sums"]["x_UnconvertedUSD"] == Decimal(
        "3.3516"
    )


def test_counts_of_a_user_stand_on_one_row_however_many_models_there_are() -> None:
    models = ("a", "b", "c")
    rows = rows_of([wire(model=model, costUSD=None, estimated=True) for model in models])
    assert [row["x_Requests"] for row in rows] == [1, 1, 1, None]
    assert (
        [row["x_Unpriced"] for row in rows] == [row["x_Estimated"] for row in rows] == [None, None, None, 3]
    )
    assert rows[-1]["BilledCost"] == 0


def test_a_users_further_models_stand_on_one_row() -> None:
    rows = rows_of([wire(model=f"m{n:03d}", costUSD=Decimal("1.1172")) for n in range(203)])
    [rest] = [row for row in rows if row["x_Model"] == "other"]
    assert (rest["x_Requests"], rest["BilledCost"], rest["ServiceName"]) == (3, 3, "other")
    assert rest["ChargeDescription"] == "Requests to further models: a summary names 200 of a user and day"
    assert violations(rows) == []


def test_what_rounding_leaves_stands_on_one_row_that_nobody_used() -> None:
    *rows, last = rows_of([wire(model=name, costUSD=1) for name in ("a", "b", "c")], terms=Terms())
    assert (last["ServiceName"], last["ChargeCategory"], last["x_UserId"]) == ("Rounding", "Adjustment", None)
    quotient = Decimal("0.89509488005728607232366630862871464375")  # 1 / 1.1172
    assert [row["BilledCost"] for row in rows] == [quotient] * 3
    assert last["BilledCost"] == Decimal("5E-38")  # 3 / 1.1172 = 2.6852846401718582169709989258861439313
    assert violations([*rows, last]) == []


def test_names_that_are_blank_or_text_that_a_spreadsheet_would_run_are_valid() -> None:
    rows = rows_of(
        [
            wire(userId="=1+1\n", model=" ", provider="  ", costUSD=Decimal("1E-7")),
            wire(userId="-", model='@x/y,"z"', provider="p" * 64),
            wire(userId="😀" * 64, model="m" * 256, provider="p" * 64),
        ]
    )
    assert violations(rows) == []
    assert {row["ServiceName"] for row in rows if row["x_Model"] == " "} == {"unknown"}
    assert max(len(row["ChargeDescription"]) for row in rows) <= DESCRIPTION_MAX


# --- the price book ---

LLAMA: Event = {"provider": "vllm", "model": "llama", "costUSD": None}
BOOK = book_of(
    [price("vllm/*", perRequest="2.2344")],
    [price("vllm/*", perRequest="1.1172"), price("openai/*", perRequest="3.3516", only="all")],
)
DECEMBER = datetime(2026, 11, 30, 23, tzinfo=UTC)
"""November is over in Vienna."""


def of_book(*revisions: int) -> DayBook:
    return DayBook.of(BOOK, DAY, revisions)


def priced_rows(events: Iterable[Event], *revisions: int, now: datetime = NOON) -> list[Event]:
    summaries, total = summaries_and_total(events, book=of_book(*revisions))
    return list(day_rows(total, summaries, WHO, starts_at, now))


def test_rows_name_the_prices_of_the_users_day() -> None:
    rows = priced_rows([wire(userId="alice", **LLAMA), *EVENTS], 1)
    named = {(row["x_UserId"], row["ServiceName"]): row for row in rows}
    assert {row["x_PriceIds"] for row in rows if row["x_UserId"] != "alice"} == {None}
    assert {row["x_PriceIds"] for row in rows if row["ChargeCategory"] == "Usage"} == {"1.1", None}
    assert named["alice", "llama"]["BilledCost"] == 2
    # Which of alice's models have a price from the book is not in a summary, and so not what was reported.
    assert {row["x_CostReportedUSD"] for row in rows if row["x_UserId"] == "alice"} == {
        None,
        Decimal("3.3516"),
    }
    counts = named["alice", "Request counts"]
    assert (counts["x_Repriced"], counts["x_Unpriced"], counts["x_CostReportedUSD"]) == (
        1,
        0,
        Decimal("3.3516"),
    )
    assert violations(rows) == []


def test_a_corrected_day_shows_what_it_was_final_with_and_the_difference() -> None:
    events = [wire(userId="alice", **LLAMA), wire(userId="alice", costUSD=Decimal("1.1172"))]
    rows = priced_rows(events, 1, 2, now=DECEMBER)
    shown = [
        (row["ChargeClass"], row["ServiceName"], row["BilledCost"], row["x_CostUSD"], row["x_PriceIds"])
        for row in rows
    ]
    assert shown == [
        (None, "llama", 2, Decimal("2.2344"), "1.1"),
        (None, "gpt-4o", 1, Decimal("1.1172"), "1.1"),
        (None, "Markup", Decimal("0.3"), None, None),
        (None, "Restoration fee", Decimal("0.06"), None, None),
        (None, "Request counts", 0, None, "1.1"),
        ("Correction", "llama", -1, Decimal("-1.1172"), "2.1 2.2"),
        ("Correction", "gpt-4o", 2, Decimal("2.2344"), "2.1 2.2"),
        ("Correction", "Markup", Decimal("0.1"), None, None),
        ("Correction", "Restoration fee", Decimal("0.02"), None, None),
        ("Correction", "Request counts", 0, None, "2.1 2.2"),
    ]
    llama, of_llama = rows[0], rows[5]
    assert (llama["ConsumedQuantity"], llama["x_Requests"], llama["x_Final"]) == (1500, 1, True)
    assert (of_llama["ConsumedQuantity"], of_llama["x_Requests"], of_llama["x_Final"]) == (0, None, True)
    assert of_llama["ChargeDescription"] == "Correction: Requests to vllm/llama"
    assert (rows[4]["x_Repriced"], rows[9]["x_Repriced"]) == (1, 1)
    assert violations(rows) == []


def test_a_correction_within_the_current_billing_period_has_no_charge_class() -> None:
    """FOCUS: null for a correction within the current billing period."""
    events = [wire(userId="alice", **LLAMA)]
    rows = {now: priced_rows(events, 1, 2, now=now) for now in (DECEMBER - timedelta(seconds=1), DECEMBER)}
    corrections = [
        [row for row in of if row["ChargeDescription"].startswith("Correction: ")] for of in rows.values()
    ]
    assert [{row["ChargeClass"] for row in of} for of in corrections] == [{None}, {"Correction"}]
    assert [sum(row["BilledCost"] for row in of) for of in corrections] == [Decimal("-1.12")] * 2
    assert violations([row for of in rows.values() for row in of]) == []


def test_what_a_correction_gives_a_price_was_unpriced_at_first() -> None:
    rows = priced_rows([wire(userId="alice", **LLAMA)], 0, 1, now=DECEMBER)
    assert [
        (row["ChargeClass"], row["BilledCost"], row["x_Unpriced"], row["x_Repriced"]) for row in rows
    ] == [
        (None, 0, None, None),
        (None, 0, 1, 0),
        ("Correction", 2, None, None),
        ("Correction", Decimal("0.2"), None, None),
        ("Correction", Decimal("0.04"), None, None),
        ("Correction", 0, -1, 1),
    ]


def test_models_and_users_that_a_correction_leaves_alone_have_no_further_row() -> None:
    events = [wire(userId="alice", **LLAMA), wire(userId="alice"), wire(userId="bob")]
    rows = priced_rows(events, 0, 1, now=DECEMBER)
    corrected = {(row["x_UserId"], row["x_Model"]) for row in rows if row["ChargeClass"]}
    assert corrected == {("alice", "llama"), ("alice", None)}


# --- a day that was recomputed meanwhile ---


def changed(summaries: list[Event], total: Event) -> bool:
    try:
        list(day_rows(total, summaries, WHO, starts_at, NOON))
    except DayChanged:
        return True
    return False


def more(amount: Any, step: str) -> Decimal:
    return EXACT.add(amount, Decimal(step))


def test_a_day_that_changed_is_never_taken_for_rounding() -> None:
    summaries, total = summaries_and_total(EVENTS)
    assert not changed(summaries, total)
    assert changed(summaries[1:], total)
    assert changed([*summaries, summaries[0]], total)
    assert changed([{**summaries[0], "final": False}, *summaries[1:]], total)
    for name in (
        "requests",
        "tokens_in",
        "tokens_out",
        "failures",
        "unpriced",
        "repriced",
        "estimated",
        "rated",
        "unrated",
        "users",
    ):
        assert changed(summaries, total | {name: total[name] + 1}), name
    for name in ("billedEUR", "costUSD", "costReportedUSD", "unconverted"):
        assert changed(summaries, total | {name: more(total[name], "1E-30")}), name
    for name in ("energyKWh", "co2eKg", "waterL"):
        for bound in ("low", "high"):
            other = total[name] | {bound: more(total[name][bound], "1E-30")}
            assert changed(summaries, total | {name: other}), name


@pytest.mark.parametrize("rate", ["1.1171", "1.11720000001"])
def test_a_day_converted_at_another_rate_has_changed(rate: str) -> None:
    summaries, _ = summaries_and_total(EVENTS)
    _, total = summaries_and_total(EVENTS, FxRate(RATE.date, Decimal(rate)))
    assert changed(summaries, total)


def test_a_day_at_other_terms_has_changed() -> None:
    summaries, _ = summaries_and_total(EVENTS)
    _, total = summaries_and_total(EVENTS, terms=Terms(Decimal("10.0001"), Decimal(2)))
    assert changed(summaries, total)


def test_the_bound_is_a_share_of_the_total() -> None:
    summaries, total = summaries_and_total(EVENTS)
    assert total["billedEUR"] == Decimal("3.92")
    assert str(TOLERANCE) == "6.0E-37"
    for step, is_changed in (("2.3E-36", False), ("2.4E-36", True), ("-2.3E-36", False), ("-2.4E-36", True)):
        assert changed(summaries, total | {"billedEUR": more(total["billedEUR"], step)}) == is_changed, step


# --- whatever the events are ---

MONEY = st.one_of(
    st.sampled_from(
        [Decimal(0), Decimal("1E-38"), Decimal("0.1"), Decimal("999999999.99999999999999999999999999999")]
    ),
    st.decimals(0, 10**9, places=29),
    st.decimals(0, 1, places=38),
).map(stored)
FOOTPRINTS: st.SearchStrategy[Event] = st.one_of(
    st.just({}),
    st.tuples(MONEY, MONEY).map(
        lambda bounds: {name: {"low": min(bounds), "high": max(bounds)} for name in FOOTPRINT},
    ),
)
TOKEN_COUNTS = st.integers(0, 10**12)


@st.composite
def wire_events(draw: st.DrawFn) -> Event:
    costs = {"costUSD": draw(st.none() | MONEY), "costEUR": draw(st.none() | MONEY)}
    return wire(
        draw(FOOTPRINTS),
        **costs,
        userId=draw(st.sampled_from(["alice", "bob", "=cmd", "dörte", "e", "f"])),
        model=draw(st.sampled_from(["gpt-4o", "a/b", " ", "m" * 256])),
        provider=draw(st.sampled_from(["openai", "anthropic", "other"])),
        status=draw(st.sampled_from(["success", "failure"])),
        cacheHit=draw(st.sampled_from([None, True])),
        estimated=draw(st.sampled_from([None, True])),
        tokens_in=draw(TOKEN_COUNTS),
        tokens_out=draw(TOKEN_COUNTS),
    )


DAYS_EVENTS = st.lists(wire_events(), min_size=1, max_size=12)
RATES = st.none() | st.decimals("0.5", 2, places=5).map(lambda usd: FxRate("2026-11-20", usd))
PERCENT = st.sampled_from([Decimal(0), Decimal("7.5"), Decimal("33.3333")])
ALL_TERMS = st.builds(Terms, PERCENT, PERCENT)


def shown_sums(total: Event) -> dict[str, Fraction]:
    sums = Tally.from_fields(dict(total))
    return {column: Fraction(getattr(sums, name)) for column, name in (AMOUNTS | COUNTS).items()}


@st.composite
def day_books(draw: st.DrawFn) -> DayBook:
    """Prices of a day, and those that it was final with at first."""
    book = draw(books("openai", "other", "gpt-4o", "a/b"))
    revisions = draw(st.lists(st.integers(0, book.revision), min_size=1, max_size=2).map(sorted))
    return DayBook.of(book, DAY, revisions)


@given(DAYS_EVENTS, RATES, ALL_TERMS, day_books(), st.sampled_from([NOON, DECEMBER]))
def test_every_column_adds_up_to_the_total_of_the_day(
    events: list[Event], rate: FxRate | None, terms: Terms, book: DayBook, now: datetime
) -> None:
    summaries, total = summaries_and_total(events, rate, terms, book=book)
    rows = list(day_rows(total, summaries, WHO, starts_at, now))
    assert {column: column_sum(rows, column) for column in (*AMOUNTS, *COUNTS)} == shown_sums(total)
    assert column_sum(rows, "ConsumedQuantity") == total["tokens_in"] + total["tokens_out"]
    assert all(tuple(row) == COLUMNS for row in rows)
    assert violations(rows) == []


@given(st.lists(st.tuples(DAYS_EVENTS, RATES, day_books()), min_size=1, max_size=4), ALL_TERMS)
def test_a_file_adds_up_to_the_total_of_its_days(
    days: list[tuple[list[Event], FxRate | None, DayBook]], terms: Terms
) -> None:
    """The API's total of several days is their exact sum, rounded to 38 digits once: so is the file's."""
    rows, totals = [], []
    for number, (events, rate, book) in enumerate(days):
        summaries, total = summaries_and_total(events, rate, terms, f"2026-11-{number + 1:02d}", book)
        rows += list(day_rows(total, summaries, WHO, starts_at, NOON))
        totals.append(total)
    whole = from_api(sum_totals(totals))
    read_back = list(as_file(rows))
    for column, name in (
        ("BilledCost", "billedEUR"),
        ("x_CostUSD", "costUSD"),
        ("x_UnconvertedUSD", "unconverted"),
        ("x_CostReportedUSD", "costReportedUSD"),
    ):
        cells = [Decimal(row[column]) for row in read_back if row[column]]
        exact = Decimal(0)
        for cell in cells:
            exact = EXACT.add(exact, cell)
        assert stored(exact) == whole[name], column
    assert column_sum(rows, "x_Requests") == whole["requests"] == sum(len(events) for events, _, _ in days)


@given(DAYS_EVENTS, wire_events(), RATES, ALL_TERMS)
def test_one_event_more_is_always_found(
    events: list[Event], late: Event, rate: FxRate | None, terms: Terms
) -> None:
    before, total_before = summaries_and_total(events, rate, terms)
    after, total_after = summaries_and_total([*events, late], rate, terms)
    assert changed(before, total_after)
    assert changed(after, total_before)


# --- the check finds what it claims to ---


def cells() -> dict[str, str]:
    """A valid row of usage, as text."""
    row, *_ = rows_of(EVENTS)
    return dict(zip(COLUMNS, csv_row(row, COLUMNS), strict=True))


WRONG_CELLS = [
    *(
        (column, "", "must not be empty")
        for column in sorted(
            MANDATORY
            - {"BillingAccountName", "ChargeClass", "ChargeDescription", "PricingQuantity", "PricingUnit"}
        )
    ),
    ("x_Final", "", "must not be empty"),
    ("ServiceProviderName", "", "must not be empty"),
    ("ProviderName", "  ", "must not be empty"),
    ("PricingQuantity", " ", "must not be empty"),
    *(
        ("x_CostUSD", text, "is not written as Decimal")
        for text in ("1,5", "+1", "1e5", "1E+5", "1E10000", "$1", "NaN", ".5", "١", "1 ")
    ),
    *(("x_Requests", text, "is not written as Integer") for text in ("1.0", "1E3")),
    *(
        ("ChargePeriodEnd", text, "is not written as Date/Time")
        for text in (
            "2026-11-24",
            "2026-11-24 23:00:00Z",
            "2026-11-24T23:00:00+00:00",
            "2026-11-24T23:00:00.5Z",
        )
    ),
    ("ChargePeriodEnd", "2026-11-31T23:00:00Z", "is no date and time"),
    *(("BillingCurrency", text, "is not written as Currency Format") for text in ("eur", "EURO", "€")),
    ("ChargeCategory", "usage", "is not an allowed value"),
    ("ChargeClass", "Rounding", "is not an allowed value"),
    ("ChargeFrequency", "Daily", "is not an allowed value"),
    ("ServiceCategory", "AI", "is not an allowed value"),
    ("ServiceSubcategory", "Chat", "is not an allowed value"),
    ("x_Final", "True", "is not written as Boolean"),
]


@pytest.mark.parametrize(("column", "text", "reason"), WRONG_CELLS)
def test_a_wrong_cell_is_found(column: str, text: str, reason: str) -> None:
    [violation] = check_row(cells() | {column: text})
    assert violation.startswith(f"{column} {reason}")


RELATIONS: list[tuple[dict[str, str], str]] = [
    ({"ChargePeriodEnd": "2026-11-22T23:00:00Z"}, "ChargePeriodEnd must be after ChargePeriodStart"),
    ({"BillingPeriodEnd": "2026-10-31T22:59:59Z"}, "BillingPeriodEnd must be after BillingPeriodStart"),
    ({"ContractedCost": "1.01"}, "ContractedCost must match BilledCost"),
    ({"EffectiveCost": "0"}, "EffectiveCost must match BilledCost"),
    ({"ListCost": "2"}, "ListCost must match BilledCost"),
    ({"ChargeCategory": "Adjustment"}, "ConsumedQuantity must be null unless ChargeCategory is Usage"),
    ({"ConsumedQuantity": "", "ConsumedUnit": ""}, "ConsumedQuantity must not be null for Usage"),
    ({"PricingQuantity": "", "PricingUnit": ""}, "PricingQuantity must not be null for Usage and Purchase"),
    (
        {"ChargeCategory": "Tax", "ConsumedQuantity": "", "ConsumedUnit": ""},
        "PricingQuantity must be null for Tax",
    ),
    ({"ConsumedUnit": ""}, "ConsumedUnit and ConsumedQuantity must both be null or neither"),
    ({"PricingUnit": ""}, "PricingUnit and PricingQuantity must both be null or neither"),
    (
        {"ChargeCategory": "Purchase", "ConsumedQuantity": "", "ConsumedUnit": ""},
        "ChargeFrequency must not be Usage-Based for a Purchase",
    ),
    ({"ServiceCategory": "Compute"}, "ServiceSubcategory belongs to AI and Machine Learning"),
]


@pytest.mark.parametrize(("changes", "violation"), RELATIONS)
def test_cells_that_contradict_each_other_are_found(changes: dict[str, str], violation: str) -> None:
    assert check_row(cells() | changes) == [violation]


def test_a_correction_may_lack_quantities_and_numbers_may_have_exponents() -> None:
    nothing = dict.fromkeys(("ConsumedQuantity", "ConsumedUnit", "PricingQuantity", "PricingUnit"), "")
    assert check_row(cells() | nothing | {"ChargeClass": "Correction"}) == []
    assert (
        check_row(
            cells() | dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost", "ListCost"), "-35.2E-7")
        )
        == []
    )


def test_a_header_is_checked() -> None:
    assert check(COLUMNS) == []
    assert check(MANDATORY) == []
    for name in MANDATORY:
        assert check(column for column in COLUMNS if column != name) == [f"{name} is mandatory and missing"]
    assert check([*COLUMNS, "Model", "x_Anything"]) == [
        "'Model' is not a column of FOCUS that we write, nor begins with x_"
    ]
    assert check([*COLUMNS, "BilledCost"]) == ["'BilledCost' stands there twice"]


def test_a_row_is_named_and_must_fit_the_header() -> None:
    file = io.StringIO("BilledCost,x_A\n1,2\n1\n1,2,3\nx,2\n")
    reader = csv.DictReader(file)
    found = check(MANDATORY, reader)
    assert found == [
        "row 2: it has more or fewer cells than the header",
        "row 3: it has more or fewer cells than the header",
        "row 4: BilledCost is not written as Decimal: 'x'",
    ]


def test_the_mandatory_columns_are_those_of_the_specification() -> None:
    assert set(MANDATORY) == {
        "BilledCost",
        "BillingAccountId",
        "BillingAccountName",
        "BillingCurrency",
        "BillingPeriodEnd",
        "BillingPeriodStart",
        "ChargeCategory",
        "ChargeClass",
        "ChargeDescription",
        "ChargePeriodEnd",
        "ChargePeriodStart",
        "ContractedCost",
        "EffectiveCost",
        "InvoiceIssuerName",
        "ListCost",
        "PricingQuantity",
        "PricingUnit",
        "ProviderName",
        "PublisherName",
        "ServiceCategory",
        "ServiceName",
    }
    assert all(name.startswith("x_") for name in CUSTOM_COLUMNS)


# --- metadata ---


def test_metadata_says_what_is_in_the_file_and_up_to_which_day_it_is_final() -> None:
    totals = [summaries_and_total(EVENTS, day=f"2026-11-{day}")[1] for day in (20, 22, 23)]
    totals[1]["final"] = False
    found = metadata(totals, "2026-11-19", "2026-11-30", time_zone="Europe/Vienna", who=WHO)
    assert found["DataGenerator"] == "Example University (Impact Service)"
    assert found["FocusVersion"] == "1.2"
    assert [column["ColumnName"] for column in found["ColumnDefinition"]] == list(COLUMNS)
    types = {column["ColumnName"]: column["DataType"] for column in found["ColumnDefinition"]}
    assert (types["BilledCost"], types["ChargePeriodEnd"], types["x_Final"]) == (
        "DECIMAL",
        "DATETIME",
        "BOOLEAN",
    )
    assert (found["x_FirstDay"], found["x_LastDay"]) == ("2026-11-19", "2026-11-30")
    assert (found["x_TimeZone"], found["x_FinalThrough"], found["x_DaysWithUse"]) == (
        "Europe/Vienna",
        "2026-11-20",
        3,
    )
    assert found["x_Sums"]["BilledCost"] == Decimal("11.76")
    assert (found["x_Sums"]["x_Requests"], found["x_Sums"]["x_Failures"]) == (12, 3)
    assert found["x_Sums"]["x_EnergyKWhLow"] == Decimal("0.0015")
    assert "null" not in simplejson.dumps(found, use_decimal=True)


def test_without_a_final_day_or_a_footprint_metadata_names_none() -> None:
    _, total = summaries_and_total([wire()])
    found = metadata([total | {"final": False}], DAY, DAY, time_zone="UTC", who=WHO)
    assert "x_FinalThrough" not in found
    assert not {name for name in found["x_Sums"] if name.startswith("x_Energy")}
    assert metadata([], DAY, DAY, time_zone="UTC", who=WHO)["x_Sums"]["BilledCost"] == 0


def test_another_schema_has_another_id_and_date() -> None:
    """The columns or their types have changed? Then give SCHEMA_CREATED a new date, and both here."""
    found = metadata([], DAY, DAY, time_zone="UTC", who=WHO)
    assert (found["SchemaId"], found["CreationDate"]) == (
        "db53ff8d-c846-59e8-8994-288deafda859",
        "2026-11-28T05:00:00Z",
    )
