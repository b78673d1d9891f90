"""What the demo shows of the summaries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

COLUMNS = {
    "user": "userId",
    "day": "day",
    "requests": "requests",
    "failures": "failures",
    "tokens in": "tokens_in",
    "cached": "tokens_cached",
    "tokens out": "tokens_out",
    "reasoning": "tokens_reasoning",
    "cost USD": "costUSD",
    "unpriced": "unpriced",
}
LEFT = 2


def table(summaries: Iterable[Mapping[str, Any]]) -> str:
    """A line for each user and day; costs with every digit that was stored."""
    ordered = sorted(summaries, key=lambda summary: (summary["day"], summary["userId"]))
    rows = [tuple(COLUMNS)] + [
        tuple(_cell(summary[name]) for name in COLUMNS.values()) for summary in ordered
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_line(row, widths) for row in rows)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = zip(row, widths, strict=True)
    padded = [f"{cell:<{width}}" if n < LEFT else f"{cell:>{width}}" for n, (cell, width) in enumerate(cells)]
    return "  ".join(padded)


def _cell(value: object) -> str:
    return f"{value:f}" if isinstance(value, Decimal) else str(value)
