"""The comparisons of the demo. Each returns a line for every difference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from local.demo.expected_euros import compare_days, compare_events, compare_platform, unequal
from local.demo.usage_totals import (
    TOLERANCE,
    ByUser,
    Items,
    differences,
    totals_of_events,
    totals_of_summaries,
)
from local.fake_ecb import Rates

EVERYBODY = "all users"
INTERNAL = {"dayShard", "revision"}
"""Attributes of a stored summary that the API does not return."""


@dataclass(frozen=True)
class Found:
    """What the stack has."""

    ledger: Items
    summaries: Items
    totals: Mapping[str, Any]
    """The response of GET /api/totals."""


def check(truth: ByUser, found: Found, rates: Rates) -> list[str]:
    """Compare the ledger with the providers' journal, the summaries with the ledger, the platform with both.

    All numbers are compared to the last digit, except for LiteLLM's own rounding of dollars.
    """
    in_ledger, platform = totals_of_events(found.ledger), totals_of_summaries(found.summaries, EVERYBODY)
    for totals in platform.values():
        totals.models.clear()  # GET /api/totals reports no models
    return [
        *differences("ledger", in_ledger, truth, TOLERANCE),
        *compare_events(found.ledger, rates),
        *differences("summaries", totals_of_summaries(found.summaries), in_ledger),
        *compare_days(found.summaries, found.ledger, rates),
        *differences("GET /api/totals", totals_of_summaries([found.totals["total"]], EVERYBODY), platform),
        *compare_platform(found.totals, found.summaries, found.ledger, rates),
        *(f"ledger: {item['eventId']} holds a prompt" for item in found.ledger if "#call=" in str(item)),
    ]


def check_reading(name: str, read: Items, stored: Items) -> list[str]:
    """Compare a user's days, as a client reads them, with what is stored."""
    days = {row["day"]: row for row in read}
    if sorted(days) != sorted(row["day"] for row in stored):
        return [f"{name}: has the days {sorted(days)}, expected {[row['day'] for row in stored]}"]
    shown = [{key: value for key, value in row.items() if key not in INTERNAL} for row in stored]
    return [problem for row in shown for problem in unequal(name, days[row["day"]], row)]


def check_logs(logged: Iterable[str], secrets: Iterable[str]) -> list[str]:
    """Look for users, tokens and prompts in the logs: no line may contain one."""
    secrets = tuple(secrets)
    return [f"logged: {line}" for line in logged if any(secret in line for secret in secrets)]
