"""The tables of README.md and docs/cost.md."""

from benchmarks.cost.model import MILLION, Units, Usage, dollars

EVENTS = {"1 million": MILLION, "100 million": 100 * MILLION, "10 billion": 10_000 * MILLION}
SHARDS = {10_000 * MILLION: 64}
DELIVERED = (1, 100)
TYPICAL = Usage(100 * MILLION, 20)


def table() -> str:
    """The table of README.md: dollars a month, by events a month and events in a delivery."""
    rows = [
        "| events a month | first month, 1 a delivery | 100 a delivery | steady state, 1 | 100 |",
        "|---|---|---|---|---|",
    ]
    for name, events in EVENTS.items():
        sums = [
            sum(dollars(Units(), _usage(events, delivered), first_month=first).values())
            for first in (True, False)
            for delivered in DELIVERED
        ]
        rows.append(f"| {name} | " + " | ".join(f"${_rounded(amount):,}" for amount in sums) + " |")
    return "\n".join(rows)


def parts() -> str:
    """What each part of a million events costs, at 100 million a month and 20 in a delivery."""
    rows = ["| of a million events | first month | steady state |", "|---|---|---|"]
    first, steady = dollars(Units(), TYPICAL, first_month=True), dollars(Units(), TYPICAL)
    share = TYPICAL.events / MILLION
    rows += [f"| {name} | ${first[name] / share:.2f} | ${steady[name] / share:.2f} |" for name in steady]
    total = [sum(amounts.values()) / share for amounts in (first, steady)]
    return "\n".join([*rows, f"| **all** | **${total[0]:.2f}** | **${total[1]:.2f}** |"])


def _usage(events: int, delivered: int) -> Usage:
    return Usage(events, delivered, shards=SHARDS.get(events, 16))


def _rounded(amount: float) -> float:
    """Two significant digits below 100 dollars, three above."""
    digits = 2 if amount < 100 else 3
    return float(f"{amount:.{digits}g}") if amount < 10 else int(float(f"{amount:.{digits}g}"))
