"""What each tool answers: lines of text, and the same figures as fields, with every digit."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

from impact.decimals import EXACT, STORED, ZERO
from impact.summary import OTHER
from impact.types import Item
from mcp_server.period import BadArgument
from mcp_server.protocol import JSON
from mcp_server.usage import Usage
from mcp_server.wording import amount, amounts, count, plain, quoted, rounded, shown_name

DAYS_LISTED_MAX = 31
MODELS_DEFAULT, MODELS_MAX = 10, 50  # models that stand by themselves
SOURCE = "EcoLogits (https://ecologits.ai)"

MONEY = ("billedEUR", "costEUR", "markupEUR", "restorationFeeEUR", "costUSD")
COUNTS = ("requests", "failures", "tokens_in", "tokens_out", "tokens_cached")
FOOTPRINT = {"energyKWh": "kWh", "co2eKg": "kg CO2e", "waterL": "litres"}
_FOOTPRINT_LABELS = {"energyKWh": "Electricity", "co2eKg": "Greenhouse gases", "waterL": "Water"}
_SUMMED = ("costEUR", "unconverted", "requests", "tokens_in", "tokens_out")

Arguments = Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    lines: list[str]
    fields: JSON


# ------------------------------------------------------------------ my_usage


def my_usage(usage: Usage, given: Arguments) -> Answer:
    """Answer what a user used and is billed. Raises BadArgument."""
    total = usage.total
    cached = f"of which {total['tokens_cached']} cached"
    lines = [
        _billed_line(total),
        f"Of it in dollars, as it came: {amount(total['costUSD'], 'USD')}. Do not add it to the euros.",
        f"Requests: {total['requests']}, of which {total['failures']} failed.",
        f"Tokens: {total['tokens_in']} in, {cached}; {total['tokens_out']} out.",
    ]
    fields = {name: plain(total[name]) for name in MONEY} | {name: total[name] for name in COUNTS}
    if not _is_by_day(given):
        return Answer(lines, fields)
    if usage.period.days > DAYS_LISTED_MAX:
        raise BadArgument(f"by_day lists at most {DAYS_LISTED_MAX} days: ask for a shorter time.")
    return Answer(
        [*lines, *map(_day_line, usage.days), "On days that are not listed: no use."],
        fields | {"days": [_day_fields(day) for day in usage.days]},
    )


def _billed_line(total: Item) -> str:
    added = {"markup": total["markupEUR"], "restoration fee": total["restorationFeeEUR"]}
    parts = [f" and a {what} of {amount(euros, 'EUR')}" for what, euros in added.items() if euros]
    cost = f"a cost of {amount(total['costEUR'], 'EUR')}" if parts else "the cost: nothing is added"
    return f"Billed: {amount(total['billedEUR'], 'EUR')}. That is {cost}{''.join(parts)}."


def _is_by_day(given: Arguments) -> bool:
    by_day = given.get("by_day", False)
    if not isinstance(by_day, bool):
        raise BadArgument("by_day must be true or false.")
    return by_day


def _day_line(day: Item) -> str:
    return f"On {day['day']}: a cost of {amount(day['costEUR'], 'EUR')}, {count(day['requests'], 'request')}."


def _day_fields(day: Item) -> JSON:
    money = {name: plain(day[name]) for name in MONEY if name in day}
    return {"day": day["day"], "final": day["final"]} | money | {name: day[name] for name in COUNTS}


# ----------------------------------------------------------------- my_models


def my_models(usage: Usage, given: Arguments) -> Answer:
    """Answer what each model cost, the dearest first. Raises BadArgument."""
    limit = _limit(given)
    named = dict(usage.total["models"])
    unnamed = [named.pop(OTHER)] if OTHER in named else []
    models = sorted(named.items(), key=_dearness, reverse=True)
    first, others = models[:limit], len(models[limit:])
    rest = _sum([model for _, model in models[limit:]] + unnamed)
    whole = usage.total["costEUR"]
    lines = [f"Cost of all models: {amount(whole, 'EUR')}, without markup and fee. The dearest come first."]
    lines += [
        f"{rank}. {quoted(name)}: {_words(model, whole)}." for rank, (name, model) in enumerate(first, 1)
    ]
    if unnamed:
        which = "The other models, and models" if others else "Models"
        lines.append(f"{which} that a day's summary had no room for, together: {_words(rest, whole)}.")
    elif others:
        lines.append(f"The other {count(others, 'model')} together: {_words(rest, whole)}.")
    elif not models:
        lines.append("No model was used.")
    return Answer(
        lines,
        {
            "costEUR": plain(whole),
            "models": [{"model": shown_name(name)} | _model_fields(model, whole) for name, model in first],
            "others": {"models": None if unnamed else others} | _model_fields(rest, whole),
        },
    )


def _limit(given: Arguments) -> int:
    limit = given.get("limit", MODELS_DEFAULT)
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MODELS_MAX:
        raise BadArgument(f"limit must be an integer from 1 to {MODELS_MAX}.")
    return limit


def _dearness(named: tuple[str, Item]) -> tuple[Decimal, Decimal, int, str]:
    """What models are ordered by, as the API orders what its breakdowns list."""
    name, model = named
    return model["costEUR"], model["unconverted"], model["requests"], name


def _sum(models: list[Item]) -> Item:
    with localcontext(EXACT):
        return {name: sum((model[name] for model in models), ZERO) for name in _SUMMED}


def _words(model: Item, whole: Decimal) -> str:
    words = [amount(model["costEUR"], "EUR")]
    share = _share(model, whole)
    if share is not None:
        words.append(f"{plain(share)} percent of the cost (rounded)")
    if model["unconverted"]:
        words.append(f"and {amount(model['unconverted'], 'USD')} not converted")
    words.append(count(model["requests"], "request"))
    return ", ".join([*words, f"{model['tokens_in']} tokens in", f"{model['tokens_out']} out"])


def _model_fields(model: Item, whole: Decimal) -> JSON:
    share = _share(model, whole)
    return {
        "costEUR": plain(model["costEUR"]),
        "unconvertedUSD": plain(model["unconverted"]),
        "sharePercentRounded": None if share is None else plain(share),
        **{name: int(model[name]) for name in ("requests", "tokens_in", "tokens_out")},
    }


def _share(model: Item, whole: Decimal) -> Decimal | None:
    """Percent of the cost in euros, rounded; None where there are no euros to have a share of."""
    return rounded(STORED.divide(100 * model["costEUR"], whole)) if whole else None


# -------------------------------------------------------------- my_footprint


def my_footprint(usage: Usage, given: Arguments) -> Answer:
    """Answer the electricity, CO2e and water that the requests took, as ranges."""
    total = usage.total
    known = {name: total[name] for name in FOOTPRINT if name in total}
    lines = [f"{_FOOTPRINT_LABELS[name]}: {_range(name, bounds)}." for name, bounds in known.items()]
    if not known:
        lines.append("Electricity, greenhouse gases and water are not known. That is not the same as none.")
    lines.append(f"Estimated as a range by {SOURCE}, of {count(total['rated'], 'rated request')}.")
    fields: JSON = {
        name: {bound: plain(bounds[bound]) for bound in ("low", "high")} for name, bounds in known.items()
    }
    if "restoredM2" in total:
        area = amount(total["restoredM2"], "square metres")
        lines.append(f"Restored: {area}, for the midpoint of the CO2e, by the operator's own figure.")
        fields["restoredM2"] = plain(total["restoredM2"])
    return Answer(lines, fields | {"source": SOURCE, "rated": total["rated"]})


def _range(name: str, bounds: Item) -> str:
    return amounts(bounds["low"], bounds["high"], FOOTPRINT[name])
