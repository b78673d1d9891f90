"""What genai-prices would charge: a price for what has none, and a difference where there is one."""

import shlex
import socket
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import genai_prices
import pytest
from genai_prices.data import providers
from genai_prices.data_snapshot import DataSnapshot, set_custom_snapshot
from genai_prices.types import (
    ClauseEquals,
    ClauseStartsWith,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)

from impact.price_book import Price, PriceBook, Rates, Revision
from impact_cli.second_opinion import PROVIDERS, SecondOpinion

DAY = "2026-11-23"
SOURCE = f"genai-prices {genai_prices.__version__}"


def mtok(**prices: str) -> ModelPrice:
    return ModelPrice(**{f"{name}_mtok": Decimal(price) for name, price in prices.items()})


def model(name: str, prices: Any, variants: list[PriceVariant] | None = None) -> ModelInfo:
    return ModelInfo(name, ClauseEquals(name), prices=prices, price_variants=variants)


MODELS = [
    model("plain", mtok(input="2", output="10", cache_read="0.2", cache_write="3", output_reasoning="20")),
    model("embedding", mtok(input="0.02")),
    model("speech", ModelPrice(audio_hours=Decimal("0.36"))),
    model("request", ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(1), requests_kcount=Decimal(5))),
    model(
        "long",
        ModelPrice(input_mtok=TieredPrices(Decimal(1), [Tier(1000, Decimal(2))]), output_mtok=Decimal(4)),
    ),
    model(
        "night",
        [
            ConditionalPrice(prices=mtok(input="4", output="4")),
            ConditionalPrice(TimeOfDateConstraint(time(0), time(6)), prices=mtok(input="1", output="1")),
        ],
    ),
    model(
        "newer",
        [
            ConditionalPrice(prices=mtok(input="4", output="4")),
            ConditionalPrice(StartDateConstraint(date(2026, 11, 24)), prices=mtok(input="8", output="8")),
        ],
    ),
    model(
        "tiers",
        mtok(input="2", output="2"),
        [
            PriceVariant({"service_tier": "priority"}, mtok(input="4")),
            PriceVariant({"processing": "batch"}, mtok(input="1")),
        ],
    ),
]


@pytest.fixture(autouse=True)
def table() -> Iterator[None]:
    """A small table in place of the one of the package, which may change with its version."""
    made = [Provider(name, name, "-", models=MODELS) for name in ("openai", "aws", "google")]
    set_custom_snapshot(DataSnapshot(made, from_auto_update=False))
    yield
    set_custom_snapshot(None)


def event(**fields: Any) -> dict[str, Any]:
    base = {"provider": "openai", "model": "plain", "day": DAY, "ts": f"{DAY}T12:00:00.000000Z"}
    given = base | {"tokens_in": 1_000_000, "tokens_out": 0} | fields
    return {name: value for name, value in given.items() if value is not None}


def opinion(*events: dict[str, Any], book: PriceBook | None = None) -> SecondOpinion:
    made = SecondOpinion(book or PriceBook())
    made.add(events)
    return made


def would_cost(**fields: Any) -> Decimal:
    [row] = opinion(event(**fields)).proposals()
    cost: Decimal = row["costUSD"]
    return cost


def words(row: dict[str, Any]) -> list[str]:
    return shlex.split(row["command"])


# --- What it would charge ---


def test_each_token_is_charged_once_by_the_rate_of_its_part() -> None:
    parts = {"tokens_cached": 500_000, "tokens_cache_write": 100_000, "tokens_reasoning": 400_000}
    by_hand = Decimal("0.4") * 2 + Decimal("0.5") * Decimal("0.2") + Decimal("0.1") * 3
    assert would_cost(**parts, tokens_out=1_000_000) == by_hand + Decimal("0.6") * 10 + Decimal("0.4") * 20
    too_many = {"tokens_cached": 10**7, "tokens_cache_write": 10**7, "tokens_reasoning": 10**7}
    assert would_cost(**too_many, tokens_out=10) == Decimal("0.2") + Decimal("0.0002")


@pytest.mark.parametrize(
    ("fields", "dollars"),
    [
        ({"model": "night", "ts": f"{DAY}T05:59:59.000000Z"}, 1),
        ({"model": "night", "ts": f"{DAY}T06:00:00.000000Z"}, 4),
        ({"model": "newer"}, 4),
        ({"model": "newer", "ts": "2026-11-24T00:00:00.000000Z"}, 8),
        ({"model": "long", "tokens_in": 1000}, Decimal("0.001")),
        ({"model": "long", "tokens_in": 1001}, Decimal("0.002002")),
        ({"model": "tiers"}, 2),
        ({"model": "tiers", "serviceTier": "priority"}, 4),
        ({"model": "tiers", "serviceTier": "batch"}, 1),
        ({"model": "tiers", "serviceTier": "unheard of"}, 2),
        ({"provider": "bedrock"}, 2),
        ({"provider": "vertex_ai"}, 2),
        ({"provider": "gemini"}, 2),
    ],
)
def test_a_request_is_charged_as_at_its_time_and_by_its_tier(fields: dict[str, Any], dollars: Any) -> None:
    assert would_cost(**fields) == dollars


# --- Proposals ---


def test_a_price_is_proposed_from_the_first_day_without_one() -> None:
    [row] = opinion(
        event(day="2026-11-22", ts="2026-11-22T12:00:00.000000Z"), event(day="2026-11-20"), event()
    ).proposals()
    assert (row["model"], row["requests"], row["costUSD"], row["notes"]) == ("openai/plain", 3, 6, [])
    options = "--from 2026-11-20 --input 2 --cached 0.2 --cache-write 3 --output 10 --reasoning 20"
    assert row["command"] == f"impact price add {options} --source '{SOURCE} (openai)' openai/plain"


@pytest.mark.parametrize(
    ("name", "amounts", "notes"),
    [
        ("embedding", "--input 0.02 --output 0", []),
        ("request", "--input 1 --output 1 --per-request 0.005", []),
        (
            "long",
            "--input 1 --output 4",
            ["It has other prices for requests of more than 1,000 prompt tokens."],
        ),
        ("night", "--input 4 --output 4", ["It has other prices at other times."]),
        ("newer", "--input 8 --output 8", ["It has other prices at other times."]),
    ],
)
def test_it_says_what_a_proposed_price_leaves_out(name: str, amounts: str, notes: list[str]) -> None:
    later = event(model=name, ts="2026-11-24T12:00:00.000000Z")
    [row] = opinion(event(model=name), later).proposals()
    assert f" --from {DAY} {amounts} --source " in row["command"]
    assert row["notes"] == notes


def test_it_says_which_model_it_took_another_name_for() -> None:
    found = ModelInfo("gpt-4o", ClauseStartsWith("gpt-4o"), prices=mtok(input="1", output="1"))
    set_custom_snapshot(DataSnapshot([Provider("openai", "", "-", models=[found])], False))
    rows = opinion(event(model="gpt-4o"), event(model="GPT-4o-2024-08-06")).proposals()
    assert [row["notes"] for row in rows] == [[], ["It takes it for gpt-4o."]]


def test_dearest_first() -> None:
    rows = opinion(event(model="embedding"), event(), event(model="newer")).proposals()
    assert [row["model"] for row in rows] == ["openai/newer", "openai/plain", "openai/embedding"]


@pytest.mark.parametrize("name", ["$(id)`id`; rm -rf /", "it's", '"', "a b", "日本"])
def test_a_name_is_quoted(name: str) -> None:
    set_custom_snapshot(
        DataSnapshot([Provider("openai", "", "-", models=[model(name, mtok(input="1", output="1"))])], False)
    )
    [row] = opinion(event(model=name)).proposals()
    assert words(row)[-1] == f"openai/{name}"
    assert words(row)[:4] == ["impact", "price", "add", "--from"]


@pytest.mark.parametrize("name", ["gpt*", "\x1b[2J", "a\nb", "x" * 320])
def test_of_a_name_that_no_command_can_have_nothing_is_proposed(name: str) -> None:
    set_custom_snapshot(
        DataSnapshot([Provider("openai", "", "-", models=[model(name, mtok(input="1", output="1"))])], False)
    )
    [row] = opinion(event(model=name)).proposals()
    assert (row["command"], len(row["notes"])) == (None, 1)


# --- Differences ---


@pytest.mark.parametrize(
    ("reported", "differs"),
    [
        ("2", False),
        ("1.981", False),
        ("1.980", True),
        ("2.0203", True),
        ("2.02", False),
        ("0", True),
        ("4", True),
    ],
)
def test_more_than_one_percent_of_what_was_reported_is_a_difference(reported: str, differs: bool) -> None:
    assert bool(opinion(event(costUSD=Decimal(reported))).differences()) is differs


def test_both_sums_are_told_and_the_largest_difference_first() -> None:
    rows = opinion(
        event(costUSD=Decimal("1.5")),
        event(costUSD=Decimal("1.5")),
        event(model="newer", costUSD=0),
        event(model="night", costUSD=Decimal("4.01")),
    ).differences()
    assert rows == [
        {"model": "openai/newer", "requests": 1, "reportedUSD": 0, "computedUSD": 4, "ratio": None},
        {
            "model": "openai/plain",
            "requests": 2,
            "reportedUSD": 3,
            "computedUSD": 4,
            "ratio": Decimal("1.333"),
        },
    ]


def test_what_was_reported_for_tools_is_left_out() -> None:
    assert opinion(event(costUSD=Decimal("12"), costToolsUSD=Decimal(10))).differences() == []


# --- What it does not know, and what is left out ---


@pytest.mark.parametrize(
    "fields",
    [{"provider": "ollama"}, {"model": "unheard of"}, {"model": "speech"}, {"provider": "OpenAI"}],
)
def test_what_it_does_not_know_is_named(fields: dict[str, Any]) -> None:
    made = opinion(event(**fields), event(**fields, costUSD=1))
    [row] = made.not_known()
    assert (row["requests"], row["unpriced"]) == (2, 1)
    assert (made.proposals(), made.differences()) == ([], [])


@pytest.mark.parametrize(
    "fields", [{"cacheHit": True}, {"tokens_in": 0}, {"costEUR": 5}, {"tokens_in": 0, "provider": "ollama"}]
)
def test_what_cannot_be_compared_is_left_out(fields: dict[str, Any]) -> None:
    made = opinion(event(**fields))
    assert (made.proposals(), made.differences(), made.not_known()) == ([], [], [])


@pytest.mark.parametrize(("only", "proposed", "different"), [("unpriced", 1, 1), ("all", 1, 0)])
def test_what_the_book_prices_is_left_out(only: Any, proposed: int, different: int) -> None:
    price = Price("", "openai/pl*", DAY, Rates(perRequest=Decimal(1)), only=only)
    book = PriceBook((Revision.of(1, [price.as_fields()], "", ""),))
    made = opinion(event(), event(day="2026-11-22"), event(costUSD=Decimal(9)), book=book)
    assert [row["requests"] for row in made.proposals()] == [proposed]
    assert len(made.differences()) == different


# --- The package itself ---


def test_each_provider_is_one_that_it_has() -> None:
    assert set(PROVIDERS.values()) <= {provider.id for provider in providers}


def test_it_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("it opens a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    set_custom_snapshot(None)
    known = {"model": "gpt-4o", "ts": datetime(2026, 11, 23, tzinfo=UTC).isoformat()}
    assert would_cost(**known) == Decimal("2.5")
