"""Is everything as it should be? Every comparison of the demo, each with a line for all that differs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from local.demo.expected_euros import day_problems, event_problems, platform_problems, unequal
from local.demo.usage_totals import TOLERANCE, ByUser, Items, counted, differences, summed
from local.fake_ecb import Rates

EVERYBODY = "all users"
UNSEEN = {"dayShard", "revision"}
"""Attributes of a summary that the API does not show."""


@dataclass(frozen=True)
class Found:
    """What the stack says."""

    ledger: Items
    summaries: Items
    totals: Mapping[str, Any]
    """The answer of GET /api/totals."""


def check(truth: ByUser, found: Found, rates: Rates) -> list[str]:
    """Compare the ledger with what the providers served, summaries with the ledger, the platform with both.

    Apart from LiteLLM's own rounding of dollars all are compared to the last digit.
    """
    in_ledger, platform = counted(found.ledger), summed(found.summaries, EVERYBODY)
    for figures in platform.values():
        figures.models.clear()  # the platform's are not told
    return [
        *differences("ledger", in_ledger, truth, TOLERANCE),
        *event_problems(found.ledger, rates),
        *differences("summaries", summed(found.summaries), in_ledger),
        *day_problems(found.summaries, found.ledger, rates),
        *differences("GET /api/totals", summed([found.totals["total"]], EVERYBODY), platform),
        *platform_problems(found.totals, found.summaries, found.ledger, rates),
        *(f"ledger: {item['eventId']} holds a prompt" for item in found.ledger if "#call=" in str(item)),
    ]


def check_reading(name: str, read: Items, stored: Items) -> list[str]:
    """Compare a user's days, as others read them, with what is stored."""
    days = {row["day"]: row for row in read}
    if sorted(days) != sorted(row["day"] for row in stored):
        return [f"{name}: has the days {sorted(days)}, expected {[row['day'] for row in stored]}"]
    shown = [{key: value for key, value in row.items() if key not in UNSEEN} for row in stored]
    return [problem for row in shown for problem in unequal(name, days[row["day"]], row)]


def check_logs(logged: Iterable[str], secrets: Iterable[str]) -> list[str]:
    """Look for users, tokens and prompts in what was logged: no line may hold one."""
    secrets = tuple(secrets)
    return [f"logged: {line}" for line in logged if any(secret in line for secret in secrets)]
