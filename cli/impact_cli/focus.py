"""Days as rows of FOCUS, the FinOps Open Cost and Usage Specification, and a check of such rows. Pure.

Every column of sums adds up to the API's total, exactly: no figure stands on two rows. docs/exports.md says
what each row and column is.
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import takewhile
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from impact.calendar import day_after
from impact.daily_totals import sum_totals
from impact.decimals import EXACT, ZERO
from impact.summary import MODELS_MAX, OTHER, Figures, Tally
from request_events.limits import UNKNOWN

Row = dict[str, Any]
StartsAt = Callable[[str], datetime]
"""Returns the instant at which a day begins: `Calendar.starts_at`."""

VERSION = "1.2"
"""The version of FOCUS whose mandatory columns a file has."""
CURRENCY = "EUR"
USAGE, ADJUSTMENT = "Usage", "Adjustment"
CORRECTION = "Correction"
"""The ChargeClass of a correction to a billing period before the current one."""
COSTS = ("BilledCost", "ContractedCost", "EffectiveCost", "ListCost")
PROVIDERS = ("HostProviderName", "ProviderName", "PublisherName", "ServiceProviderName")

MODEL_COUNTS = {
    "x_Requests": "requests",
    "x_TokensIn": "tokens_in",
    "x_TokensOut": "tokens_out",
    "x_Rated": "rated",
    "x_Unrated": "unrated",
}
"""Counts that a summary has of each model: by column, the name of the sum."""
USER_COUNTS = {
    "x_Failures": "failures",
    "x_Unpriced": "unpriced",
    "x_Repriced": "repriced",
    "x_Estimated": "estimated",
}
"""Counts that a summary has of the user alone. They stand on a row of their own."""
DOLLARS = {"x_CostUSD": "costUSD", "x_UnconvertedUSD": "unconverted"}
REPORTED = {"x_CostReportedUSD": "costReportedUSD"}
"""What was reported is known of each model only where the price book prices no request of the user's day."""
FOOTPRINT = {
    "x_EnergyKWhLow": "energyLow",
    "x_EnergyKWhHigh": "energyHigh",
    "x_Co2eKgLow": "co2eLow",
    "x_Co2eKgHigh": "co2eHigh",
    "x_WaterLLow": "waterLow",
    "x_WaterLHigh": "waterHigh",
}
COUNTS = MODEL_COUNTS | USER_COUNTS
AMOUNTS = {"BilledCost": "billedEUR"} | DOLLARS | REPORTED | FOOTPRINT


@dataclass(frozen=True)
class Column:
    """What a column may hold."""

    type: str
    nulls: bool = True
    level: str = "Custom"
    format: str = ""
    allowed: Sequence[str] = ()
    parents: Mapping[str, str] = field(default_factory=dict)
    """The allowed values of a subcategory, each with its category."""

    @property
    def values(self) -> set[str]:
        """The allowed values; empty: any."""
        return {*self.allowed, *self.parents}


def _read_columns() -> dict[str, dict[str, Column]]:
    text = Path(__file__).with_name("focus_columns.toml").read_text()
    versions = tomllib.loads(text)
    return {
        version: {name: Column(**of) for name, of in found.items()} for version, found in versions.items()
    }


_BY_VERSION = _read_columns()
MANDATORY = frozenset(name for name, column in _BY_VERSION[VERSION].items() if column.level == "Mandatory")
FOCUS_COLUMNS = {name: column for columns in _BY_VERSION.values() for name, column in sorted(columns.items())}
CUSTOM_COLUMNS = {
    **dict.fromkeys(("x_UserId", "x_UserName", "x_CostCentre", "x_Provider", "x_Model"), Column("String")),
    "x_PriceIds": Column("String"),
    **dict.fromkeys(DOLLARS | REPORTED, Column("Decimal")),
    "x_FxRate": Column("Decimal"),
    "x_FxDate": Column("String"),
    **dict.fromkeys(COUNTS, Column("Integer")),
    **dict.fromkeys(FOOTPRINT, Column("Decimal")),
    "x_Final": Column("Boolean", nulls=False),
}
COLUMNS: tuple[str, ...] = (*sorted(FOCUS_COLUMNS), *CUSTOM_COLUMNS)
"""All columns of a file, in order."""


class DayChanged(Exception):
    """The rows of a day do not add up to its total: it was recomputed while it was read. Read both again."""

    def __init__(self, day: str, name: str, rows: object, total: object):
        super().__init__(
            f"{day} changed while it was read: {name} is {rows} in its summaries and {total} in its total"
        )


@dataclass(frozen=True)
class Identity:
    """Who bills whom."""

    billing_account_id: str
    billing_account_name: str | None
    invoice_issuer: str
    """Who runs the stack. Markup, fee and rounding are theirs."""


def day_rows(
    total: Mapping[str, Any],
    summaries: Iterable[Mapping[str, Any]],
    who: Identity,
    starts_at: StartsAt,
    now: datetime,
) -> Iterator[Row]:
    """Yield the rows of a day, from its row of the API's totals and from all its summaries.

    `now` decides whether the day's billing period is over: a correction within the current one has no
    ChargeClass. Rows come as the summaries do, in constant memory. Whether they add up is known after the
    last one: raises DayChanged, and then none of the day's rows counts.
    """
    day = total["day"]
    of_day = _cells_of_day(day, who, starts_at)
    empty = dict.fromkeys(COLUMNS) | of_day
    charge_class = CORRECTION if of_day["BillingPeriodEnd"] <= now else None
    sums: dict[str, Any] = dict.fromkeys((*COUNTS, *AMOUNTS), ZERO)
    users, all_final = 0, True
    for summary in summaries:
        users += 1
        all_final = all_final and summary["final"]
        for row in _user_rows(summary, who.invoice_issuer, charge_class):
            _add(sums, row)
            yield empty | row
    if users != total["users"]:
        raise DayChanged(day, "users", users, total["users"])
    if total["final"] and not all_final:
        raise DayChanged(day, "final", False, True)
    if differences := _differences(day, sums, Tally.from_fields(dict(total))):
        yield empty | _rounding_row(differences, who.invoice_issuer) | {"x_Final": total["final"]}


def _cells_of_day(day: str, who: Identity, starts_at: StartsAt) -> Row:
    month = date.fromisoformat(day).replace(day=1)
    next_month = (month + timedelta(days=31)).replace(day=1)
    return {
        "BillingAccountId": who.billing_account_id,
        "BillingAccountName": who.billing_account_name,
        "BillingCurrency": CURRENCY,
        "BillingPeriodStart": starts_at(month.isoformat()),
        "BillingPeriodEnd": starts_at(next_month.isoformat()),
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": starts_at(day),
        "ChargePeriodEnd": starts_at(day_after(day)),
        "InvoiceIssuerName": who.invoice_issuer,
        "ServiceCategory": "AI and Machine Learning",
        "ServiceSubcategory": "Generative AI",
    }


def _user_rows(summary: Mapping[str, Any], operator: str, charge_class: str | None) -> Iterator[Row]:
    """Yield what the day was final with at first, then what corrections have changed since."""
    of_user = {
        "x_UserId": summary["userId"],
        "x_UserName": summary.get("name"),
        "x_CostCentre": summary.get("costCentre"),
        "x_Final": summary["final"],
    }
    first = _charges(_at_first(summary), operator)
    for row in first:
        if row["ChargeCategory"] == USAGE or any(row.get(column) for column in ("BilledCost", *USER_COUNTS)):
            yield of_user | row
    if "before" in summary:
        for before, row in zip(first, _charges(summary, operator), strict=True):
            if changes := _changes(before, row):
                yield of_user | _correction(row, changes, charge_class)


def _at_first(summary: Mapping[str, Any]) -> Mapping[str, Any]:
    """The summary with the costs that its day was final with at first."""
    if "before" not in summary:
        return summary
    before = dict(summary["before"])
    models = before.pop("models")
    same = {name: value for name, value in summary.items() if name != "prices"}
    return same | before | {"models": {name: of | models[name] for name, of in summary["models"].items()}}


def _charges(summary: Mapping[str, Any], operator: str) -> list[Row]:
    """The rows of a user's day, those of nothing too: so another price changes none but their figures."""
    sums = Tally.from_fields(dict(summary))
    exchange = {"x_FxRate": summary.get("fxRate"), "x_FxDate": summary.get("fxDate")}
    prices = {"x_PriceIds": " ".join(sums.prices) or None}
    rows = []
    for name, model in sums.models.items():
        reported = {} if sums.repriced else dict.fromkeys(REPORTED, model.costUSD)
        rows.append(_usage_row(name, model) | prices | reported | (exchange if model.costUSD else {}))
    markup, fee = sums.markupEUR or ZERO, sums.restorationFeeEUR or ZERO
    text = f"Markup{_share(summary, 'markupPercent')}"
    rows.append(_charge(ADJUSTMENT, markup, "Markup", operator, text))
    text = f"Fee for the restoration of ecosystems{_share(summary, 'restorationFeePercent')}"
    rows.append(_charge(ADJUSTMENT, fee, "Restoration fee", operator, text))
    text = "No charge: counts of requests that failed, are unpriced, by the price book or estimated"
    counts = {column: getattr(sums, name) for column, name in USER_COUNTS.items()}
    reported = {column: getattr(sums, name) for column, name in REPORTED.items()} if sums.repriced else {}
    rows.append(_charge(ADJUSTMENT, ZERO, "Request counts", operator, text) | counts | prices | reported)
    return rows


def _changes(before: Row, row: Row) -> Row:
    """What is added to the figures of a row, to the last digit. What was reported stays as it is."""
    columns = [column for column in (*COUNTS, *AMOUNTS) if column not in REPORTED]
    changes = {
        column: EXACT.subtract(row[column], before[column])
        for column in columns
        if row.get(column) is not None
    }
    return {column: EXACT.normalize(change) for column, change in changes.items() if change}


def _correction(row: Row, changes: Row, charge_class: str | None) -> Row:
    nothing = dict.fromkeys((*COUNTS, *AMOUNTS))
    quantities = {name: 0 for name in ("ConsumedQuantity", "PricingQuantity") if name in row}
    return {
        **(row | nothing | quantities | changes),
        **dict.fromkeys(COSTS, changes.get("BilledCost", ZERO)),
        "ChargeClass": charge_class,
        "ChargeDescription": f"Correction: {row['ChargeDescription']}",
    }


def _usage_row(name: str, model: Figures) -> Row:
    """`name` is `provider/model`. LiteLLM's names of providers have no slash."""
    provider, _, model_name = name.partition("/")
    text = f"Requests to {name}"
    if name == OTHER:
        text = f"Requests to further models: a summary names {MODELS_MAX} of a user and day"
    return {
        **_charge(USAGE, model.costEUR, _not_blank(model_name), _not_blank(provider), text),
        **dict.fromkeys(("ConsumedQuantity", "PricingQuantity"), model.tokens_in + model.tokens_out),
        **dict.fromkeys(("ConsumedUnit", "PricingUnit"), "Tokens"),
        "x_Provider": provider,
        "x_Model": model_name,
        **{column: getattr(model, name) for column, name in (MODEL_COUNTS | DOLLARS).items()},
        **_footprint(model),
    }


def _footprint(figures: Figures) -> Row:
    """Return the footprint, or nothing where none is known, which differs from zero."""
    is_known = figures.rated or not figures.unrated
    return {column: getattr(figures, name) for column, name in FOOTPRINT.items()} if is_known else {}


def _charge(category: str, cost: Decimal, service: str, provider: str, description: str) -> Row:
    """All four costs are the same: the service knows no list prices, and nothing is paid ahead."""
    return {
        **dict.fromkeys(COSTS, cost),
        "ChargeCategory": category,
        "ChargeDescription": description,
        "ServiceName": service,
        **dict.fromkeys(PROVIDERS, provider),
    }


def _share(summary: Mapping[str, Any], name: str) -> str:
    percent = summary.get("terms", {}).get(name)
    return f", {Decimal(percent):f}% of the user's cost" if percent is not None else ""


def _not_blank(text: str) -> str:
    return text if text.strip() else UNKNOWN


# How far the rows of a day may be from its total, and why no real difference is that small.
#
# Rounding to 38 digits changes a number by at most 5e-38 of itself. All amounts are 0 or more, so a sum of
# rounded numbers is off by no larger share than they are: how many there are does not matter, only how often
# each was rounded. (A row and its correction are exactly the amount that is stored now.) Euros of a row, 4
# times: its sum, the quotient, the two kinds of euros together, the percentage. Euros of the total, 7 times:
# the sum of a shard, of the shards, the quotient, the two kinds together, the percentage, cost and markup and
# fee together, the sum over rates. Dollars and footprints have only the sums. That is 11, and 1 more for the
# products of these errors.
#
# What can differ really is a request more or less, which a count shows, or another rate or other terms:
# nobody writes those with so many digits.
ROUNDINGS = 12
TOLERANCE = ROUNDINGS * Decimal("5e-38")
"""As a share of the total."""


def _add(sums: Row, row: Row) -> None:
    for column in sums:
        if (value := row.get(column)) is not None:
            sums[column] = EXACT.add(sums[column], value)


def _differences(day: str, sums: Row, total: Tally) -> Row:
    """Return what the sums of the rows lack of the total's. Raises DayChanged where it is not rounding."""
    for column, name in COUNTS.items():
        if sums[column] != getattr(total, name):
            raise DayChanged(day, name, sums[column], getattr(total, name))
    differences = {}
    for column, name in AMOUNTS.items():
        amount = Decimal(getattr(total, name) or 0)
        difference = EXACT.subtract(amount, sums[column])
        if difference.copy_abs() > EXACT.multiply(amount, TOLERANCE):
            raise DayChanged(day, name, sums[column], amount)
        if difference:
            differences[column] = EXACT.normalize(difference)
    return differences


def _rounding_row(differences: Row, operator: str) -> Row:
    text = "Rounding: the day's total is one division to 38 digits, each row another"
    cost = differences.pop("BilledCost", ZERO)
    return _charge(ADJUSTMENT, cost, "Rounding", operator, text) | differences


# --- metadata ---

SCHEMA_CREATED = "2026-11-28T05:00:00Z"
"""When COLUMNS or their types last changed."""
DESCRIPTION_MAX = 512  # characters
METADATA_TYPES = {
    "String": "STRING",
    "Decimal": "DECIMAL",
    "Integer": "INTEGER",
    "Date/Time": "DATETIME",
    "Boolean": "BOOLEAN",
}


def metadata(
    totals: Sequence[Mapping[str, Any]], first: str, last: str, *, time_zone: str, who: Identity
) -> dict[str, Any]:
    """Describe a file: FOCUS's metadata (data generator and schema in one object), and what it holds.

    `totals` are the API's rows of its days, in order. `x_FinalThrough` is the last of them before one that is
    not final, and is left out where there is none.
    """
    definitions = [_definition(name, {**FOCUS_COLUMNS, **CUSTOM_COLUMNS}[name]) for name in COLUMNS]
    schema = json.dumps([VERSION, definitions])
    sums = Tally.from_fields(sum_totals(dict(total) for total in totals))
    shown = {
        column: getattr(sums, name) for column, name in (AMOUNTS | COUNTS).items() if column not in FOOTPRINT
    }
    final = [total["day"] for total in takewhile(lambda total: total["final"], totals)]
    return {
        "DataGenerator": f"{who.invoice_issuer} (Impact Service)",
        "SchemaId": str(uuid5(NAMESPACE_URL, schema)),
        "FocusVersion": VERSION,
        "CreationDate": SCHEMA_CREATED,
        "ColumnDefinition": definitions,
        "x_FirstDay": first,
        "x_LastDay": last,
        "x_TimeZone": time_zone,
        **({"x_FinalThrough": final[-1]} if final else {}),
        "x_DaysWithUse": len(totals),
        "x_Sums": shown | _footprint(sums),
    }


def _definition(name: str, column: Column) -> dict[str, Any]:
    definition: dict[str, Any] = {"ColumnName": name, "DataType": METADATA_TYPES[column.type]}
    if column.type == "String":
        definition["StringEncoding"] = "UTF-8"
    if name == "ChargeDescription":
        definition["StringMaxLength"] = DESCRIPTION_MAX
    return definition


# --- check ---

FORMS = {
    "Decimal": r"-?\d+(\.\d+)?(E-?\d{1,4})?",
    "Integer": r"-?\d+",
    "Date/Time": r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z",
    "Boolean": "true|false",
    "Currency Format": "[A-Z]{3}",
}
"""How a type or a format is written: regular expressions. No decimal of IEEE 754 has a longer exponent."""

Cells = Mapping[Any, Any]
"""A row as `csv.DictReader` returns it: text by column, None for a cell that is not there."""


def check(header: Iterable[str], rows: Iterable[Cells] = ()) -> list[str]:
    """Return what is against FOCUS 1.2 in a file of ours, as read back from its CSV; an empty cell is null.

    It checks each column by `focus_columns.toml` (mandatory, nulls, type, allowed values), and each row by
    the rules of `check_row`. It does not check what a file alone cannot show (invoices, prices, whether a
    code is a currency's), what concerns several rows, units, the order of columns, or metadata.
    """
    violations = check_header(header)
    for number, row in enumerate(rows, 1):
        violations += [f"row {number}: {violation}" for violation in check_row(row)]
    return violations


def check_header(header: Iterable[str]) -> list[str]:
    names = list(header)
    unknown = [name for name in names if not name.startswith("x_") and name not in FOCUS_COLUMNS]
    return [
        *(f"{name} is mandatory and missing" for name in sorted(MANDATORY - set(names))),
        *(f"{name!r} is not a column of FOCUS that we write, nor begins with x_" for name in unknown),
        *(f"{name!r} stands there twice" for name in sorted({n for n in names if names.count(n) > 1})),
    ]


def check_row(row: Cells) -> list[str]:
    """Return what is against FOCUS 1.2 in a row.

    Between cells: periods that do not end after their start, costs that differ (our columns have no unit
    price and no discount, so each must match BilledCost), quantities that ChargeCategory does not allow or
    wants, a quantity without a unit, a purchase that is Usage-Based, a subcategory of another category.
    """
    if None in row or None in row.values():
        return ["it has more or fewer cells than the header"]
    columns = {**FOCUS_COLUMNS, **CUSTOM_COLUMNS}
    cells = [(name, text, columns[name]) for name, text in row.items() if name in columns]
    wrong = {name: reason for name, text, column in cells if (reason := _wrong_cell(text, column))}
    sound = {name: text for name, text in row.items() if name not in wrong}
    return [f"{name} {reason}" for name, reason in wrong.items()] + list(_wrong_relations(sound))


def _wrong_cell(text: str, column: Column) -> str | None:
    if not text.strip():
        # An empty text must not stand for null, and one of spaces should not.
        return None if column.nulls and (text == "" or column.type == "String") else "must not be empty"
    for kind in (column.type, column.format):
        if kind in FORMS and not re.fullmatch(FORMS[kind], text, re.ASCII):
            return f"is not written as {kind}: {text!r:.60}"
    if column.type == "Date/Time" and not _is_instant(text):
        return f"is no date and time: {text!r:.60}"
    if column.values and text not in column.values:
        return f"is not an allowed value: {text!r:.60}"
    return None


def _is_instant(text: str) -> bool:
    try:
        return bool(datetime.fromisoformat(text))
    except ValueError:
        return False


def _wrong_relations(row: Cells) -> Iterator[str]:
    """Say which cells contradict each other. `row` has the cells that are right by themselves."""
    for period in ("BillingPeriod", "ChargePeriod"):
        start, end = row.get(f"{period}Start"), row.get(f"{period}End")
        if start and end and end <= start:  # as text: the form is fixed
            yield f"{period}End must be after {period}Start"
    # There is neither a unit price nor a commitment discount in our columns.
    costs = {name: Decimal(row[name]) for name in COSTS if name in row}
    for name, cost in costs.items():
        if cost != costs.get("BilledCost", cost):
            yield f"{name} must match BilledCost"
    if "ChargeCategory" in row and "ChargeClass" in row:
        yield from _wrong_quantities(row, row["ChargeCategory"], is_correction=bool(row["ChargeClass"]))
    for quantity, unit in (("ConsumedQuantity", "ConsumedUnit"), ("PricingQuantity", "PricingUnit")):
        if quantity in row and unit in row and bool(row[quantity]) != bool(row[unit]):
            yield f"{unit} and {quantity} must both be null or neither"
    if row.get("ChargeCategory") == "Purchase" and row.get("ChargeFrequency") == "Usage-Based":
        yield "ChargeFrequency must not be Usage-Based for a Purchase"
    parent = FOCUS_COLUMNS["ServiceSubcategory"].parents.get(row.get("ServiceSubcategory", ""))
    if parent and row.get("ServiceCategory", parent) != parent:
        yield f"ServiceSubcategory belongs to {parent}"


def _wrong_quantities(row: Cells, category: str, *, is_correction: bool) -> Iterator[str]:
    consumed, priced = row.get("ConsumedQuantity"), row.get("PricingQuantity")
    if category != USAGE and consumed:
        yield "ConsumedQuantity must be null unless ChargeCategory is Usage"
    if category == USAGE and consumed == "" and not is_correction:
        yield "ConsumedQuantity must not be null for Usage"
    if category == "Tax" and priced:
        yield "PricingQuantity must be null for Tax"
    if category in (USAGE, "Purchase") and priced == "" and not is_correction:
        yield "PricingQuantity must not be null for Usage and Purchase"
