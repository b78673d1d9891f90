"""What `genai-prices` would charge for the events of the ledger, beside what was reported.

It is an open table of prices (PyPI, an optional package) and is read without a network. It proposes prices of
models that have none, and names models whose reported costs differ from it. A person decides.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Context, Decimal, localcontext
from typing import TYPE_CHECKING

import click

from impact.decimals import EXACT, ZERO
from impact.price_book import ANY, DayPrices, PriceBook
from impact.types import Item
from impact_cli.follow_up import same_stack
from impact_cli.price_draft import AMOUNTS, InvalidDraft, read_price
from impact_cli.records import Record, text
from impact_cli.table import as_argument, visible

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice, PriceCalculation

PROVIDERS = {
    **{name: name for name in ("anthropic", "azure", "baseten", "cerebras", "cloudflare", "cohere")},
    **{name: name for name in ("cursor", "databricks", "deepseek", "elevenlabs", "groq", "minimax")},
    **{name: name for name in ("mistral", "novita", "openai", "openrouter", "ovhcloud", "perplexity", "zai")},
    "anthropic_text": "anthropic",
    "azure_ai": "azure",
    "azure_text": "azure",
    "bedrock": "aws",
    "bedrock_mantle": "aws",
    "codestral": "mistral",
    "cohere_chat": "cohere",
    "fireworks_ai": "fireworks",
    "gemini": "google",
    "github_copilot": "github-copilot",
    "meta_llama": "meta",
    "moonshot": "moonshotai",
    "text-completion-codestral": "mistral",
    "text-completion-openai": "openai",
    "together_ai": "together",
    "vertex_ai": "google",
    "vertex_ai_beta": "google",
    "voyage": "voyageai",
    "xai": "x-ai",
}
"""LiteLLM's name of a provider, and that of genai-prices. Of a provider that is not here nothing is known."""
RATES = {
    "input": "input_mtok",
    "cached": "cache_read_mtok",
    "cache-write": "cache_write_mtok",
    "output": "output_mtok",
    "reasoning": "output_reasoning_mtok",
}
"""The option of `impact price add`, and the price of a million tokens in genai-prices."""
ONE_OF_EACH = {"input_tokens": 1, "output_tokens": 1}
DIFFERENCE_MAX = Decimal("0.01")
"""A sum that differs by more than this part of what was reported is named."""
ROUNDED = Context(prec=60)
"""For sums of genai-prices: it divides."""


class CannotAsk(click.ClickException):
    """genai-prices is not installed."""

    def __init__(self) -> None:
        super().__init__("A second opinion needs another package: pip install './cli[prices]'")


@dataclass
class Sums:
    """The requests of a model that have tokens. Those that the price book prices are left out."""

    compared: int = 0
    """Requests that were reported with dollars, and that genai-prices knows a price of."""
    reported: Decimal = ZERO
    """Dollars that were reported for them, without those for tools."""
    computed: Decimal = ZERO
    """Dollars that genai-prices computes for them."""
    unpriced: int = 0
    """Requests without a cost, and without a price in the book."""
    first_day: str = ""
    """First day of the unpriced ones."""
    last_ts: str = ""
    """Time of the last unpriced one."""
    would_cost: Decimal = ZERO
    """Dollars that genai-prices computes for the unpriced ones."""
    unknown: int = 0
    """Requests that genai-prices knows no price of."""

    @property
    def differs(self) -> bool:
        return abs(self.computed - self.reported) > DIFFERENCE_MAX * self.reported


@dataclass
class SecondOpinion:
    """Adds up events by model, with what genai-prices would charge for them."""

    book: PriceBook
    models: dict[tuple[str, str], Sums] = field(default_factory=dict)
    """By provider and model."""
    _days: dict[str, DayPrices] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            import genai_prices
        except ImportError:
            raise CannotAsk from None
        self.source = f"genai-prices {genai_prices.__version__}"

    def add(self, events: Iterable[Record]) -> None:
        for event in events:
            has_tokens = event["tokens_in"] or event["tokens_out"]
            if has_tokens and not event.get("cacheHit") and not self._is_in_book(event):
                self._add(event)

    def _is_in_book(self, event: Record) -> bool:
        day = event["day"]
        if day not in self._days:
            self._days[day] = self.book.on(day, self.book.revision)
        price = self._days[day].of(f"{event['provider']}/{event['model']}")
        return price is not None and (price.only == "all" or not _has_cost(event))

    def _add(self, event: Record) -> None:
        sums = self.models.setdefault((event["provider"], event["model"]), Sums())
        found = _calculate(event)
        if found is None:
            sums.unknown += 1
        if not _has_cost(event):
            sums.unpriced += 1
            sums.first_day = min(sums.first_day or event["day"], event["day"])
            sums.last_ts = max(sums.last_ts, event["ts"])
            if found:
                sums.would_cost = ROUNDED.add(sums.would_cost, found.total_price)
        elif found and "costUSD" in event:
            sums.compared += 1
            sums.computed = ROUNDED.add(sums.computed, found.total_price)
            with localcontext(EXACT):
                sums.reported += event["costUSD"] - event.get("costToolsUSD", ZERO)

    def proposals(self) -> list[Item]:
        """Prices of models that have none, dearest first."""
        found = []
        for (provider, model), sums in self.models.items():
            opinion = _ask(provider, model, sums.last_ts, ONE_OF_EACH) if sums.unpriced else None
            if opinion:
                name = f"{provider}/{model}"
                row = {"model": name, "requests": sums.unpriced, "costUSD": sums.would_cost}
                found.append(row | self._proposal(name, sums.first_day, opinion))
        return sorted(found, key=lambda row: row["costUSD"], reverse=True)

    def _proposal(self, name: str, first_day: str, opinion: "PriceCalculation") -> Item:
        """The command that appends a price, None if there is none, and what to know of it."""
        amounts, notes = _amounts(opinion.model_price)
        if isinstance(opinion.model.prices, list):
            notes.append("It has other prices at other times.")
        if not name.endswith(f"/{opinion.model.id}"):
            notes.append(f"It takes it for {opinion.model.id}.")
        given = {"model": name, "from": first_day, **amounts}
        given["source"] = f"{self.source} ({opinion.provider.id})"
        if name.endswith(ANY) or visible(name) != name:
            return {"command": None, "notes": ["No command can be proposed for this name."]}
        try:
            read_price(given)
        except InvalidDraft as error:
            return {"command": None, "notes": [f"No command can be proposed: {error}."]}
        return {"command": _command(given), "notes": notes}

    def differences(self) -> list[Item]:
        """Models whose reported costs differ by more than DIFFERENCE_MAX, the largest difference first."""
        found = [
            {
                "model": f"{provider}/{model}",
                "requests": sums.compared,
                "reportedUSD": sums.reported,
                "computedUSD": sums.computed,
                "ratio": _ratio(sums.computed, sums.reported),
            }
            for (provider, model), sums in self.models.items()
            if sums.differs
        ]
        return sorted(found, key=lambda row: abs(row["computedUSD"] - row["reportedUSD"]), reverse=True)

    def not_known(self) -> list[Item]:
        """Models of which genai-prices knows no price, or not of each request; most requests first."""
        found = [
            {"model": f"{provider}/{model}", "requests": sums.unknown, "unpriced": sums.unpriced}
            for (provider, model), sums in self.models.items()
            if sums.unknown
        ]
        return sorted(found, key=lambda row: row["requests"], reverse=True)


def _has_cost(event: Record) -> bool:
    return "costUSD" in event or "costEUR" in event


def _calculate(event: Record) -> "PriceCalculation | None":
    """What genai-prices charges for the tokens of an event, at its time. None if it knows no price."""
    tokens_in, tokens_out = event["tokens_in"], event["tokens_out"]
    # A sender may report parts that are larger than the whole.
    cached = min(event.get("tokens_cached", 0), tokens_in)
    usage = {
        "input_tokens": tokens_in,
        "cache_read_tokens": cached,
        "cache_write_tokens": min(event.get("tokens_cache_write", 0), tokens_in - cached),
        "output_tokens": tokens_out,
        "output_reasoning_tokens": min(event.get("tokens_reasoning", 0), tokens_out),
    }
    tier = event.get("serviceTier")
    context = {"processing" if tier == "batch" else "service_tier": tier} if tier else None
    return _ask(event["provider"], event["model"], event["ts"], usage, context)


def _ask(
    provider: str, model: str, ts: str, usage: dict[str, int], context: dict[str, str] | None = None
) -> "PriceCalculation | None":
    from genai_prices import Usage, calc_price

    if provider not in PROVIDERS:
        return None
    try:
        found = calc_price(
            Usage(**usage),
            model,
            provider_id=PROVIDERS[provider],
            genai_request_timestamp=datetime.fromisoformat(ts),
            price_context=context,
        )
    except (LookupError, ValueError):  # ValueError: it cannot price these tokens
        return None
    price = found.model_price
    return None if price.input_mtok is None and price.output_mtok is None else found


def _amounts(price: "ModelPrice") -> tuple[dict[str, str], list[str]]:
    """The rates as options of `impact price add`, and what they leave out."""
    from genai_prices.types import TieredPrices

    amounts, notes = {"input": "0", "output": "0"}, set()
    for option, name in RATES.items():
        found = getattr(price, name)
        if isinstance(found, TieredPrices):
            starts = ", ".join(f"{tier.start:,}" for tier in found.tiers)
            notes.add(f"It has other prices for requests of more than {starts} prompt tokens.")
        if found is not None:
            amounts[option] = text(found.base if isinstance(found, TieredPrices) else found)
    if price.requests_kcount is not None and isinstance(price.requests_kcount, Decimal):
        amounts["per-request"] = text(price.requests_kcount / 1000)
    return {name: amounts[name] for name in AMOUNTS if name in amounts}, sorted(notes)


def _command(given: Mapping[str, str]) -> str:
    from shlex import quote

    options = [f"--{name} {quote(value)}" for name, value in given.items() if name != "model"]
    return " ".join([same_stack("impact price add"), *options, as_argument(given["model"])])


def _ratio(computed: Decimal, reported: Decimal) -> Decimal | None:
    return Context(prec=4).divide(computed, reported) if reported else None
