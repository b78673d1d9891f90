"""A Python client of the Impact Service's HTTP API.

    from impact_client import Impact

    impact = Impact("https://abc.execute-api.eu-central-1.amazonaws.com", read_token="...")
    usage = impact.usage("alice", "2026-11-01", "2026-11-30")
    print(usage["total"]["costEUR"])          # Decimal, exact
    for summary in impact.day("2026-11-23"):  # every user of a day; pages are read as needed
        print(summary["userId"], summary["billedEUR"])

Responses are the API's own, under its field names. Numbers are exact: money and footprints are Decimal,
counts are int.
"""

from typing import TYPE_CHECKING, Any

from impact_client.errors import ImpactError, Rejected, Unauthorized, Unavailable
from impact_client.responses import (
    Breakdown,
    BreakdownItem,
    DayTotal,
    Dimension,
    Figures,
    Range,
    Summary,
    Sums,
    Terms,
    Totals,
    Usage,
    ValueDay,
    ValueField,
    ValueUsage,
)

if TYPE_CHECKING:
    from impact_client.client import Impact

__all__ = [
    "Breakdown",
    "BreakdownItem",
    "DayTotal",
    "Dimension",
    "Figures",
    "Impact",
    "ImpactError",
    "Range",
    "Rejected",
    "Summary",
    "Sums",
    "Terms",
    "Totals",
    "Unauthorized",
    "Unavailable",
    "Usage",
    "ValueDay",
    "ValueField",
    "ValueUsage",
]


def __getattr__(name: str) -> Any:
    """Load the client when it is asked for: who needs the types alone need not wait for `requests`."""
    if name == "Impact":
        from impact_client.client import Impact

        return Impact
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
