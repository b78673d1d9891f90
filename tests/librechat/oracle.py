"""The expected events, from the providers' journal and from how each turn ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

Event = Mapping[str, Any]

CLIENT_CLOSED_REQUEST = "499"


class Ending(StrEnum):
    """How a provider's response ended, as in the ledger."""

    WHOLE = "whole"
    FAILED = "failed"
    STOPPED = "stopped: the tokens are estimated"
    GIVEN_UP = "given up before its first part: no price is known"
    BY_CHANCE = "whole, stopped or given up, by chance"


@dataclass(frozen=True)
class Charge:
    """An event, or a call of a provider that needs one: the fields that both have."""

    user: str
    conversation: str | None
    provider: str
    model: str
    streamed: bool
    """None for a failure: LiteLLM does not report it."""
    ending: Ending
    tokens_in: int | None = None
    tokens_out: int | None = None
    """None if the provider's count did not arrive completely."""


@dataclass(frozen=True)
class Asked:
    """A message of a user, and how its answer is expected to end."""

    call: str
    conversation: str
    ending: Ending = Ending.WHOLE


def due(journal: Iterable[Event], asked: Iterable[Asked]) -> Counter[Charge]:
    """The expected events: one for each call that a provider served, one for all failed tries of a request.

    Only the answer itself is streamed: LibreChat's other requests (a title, memories) end normally.
    """
    by_call = {one.call: one for one in asked}
    charges: Counter[Charge] = Counter()
    failed: set[tuple[Charge, bool]] = set()
    for entry in journal:
        one = by_call[entry["call"]]
        of = Charge(
            entry["user"],
            one.conversation,
            entry["provider"],
            entry["model"],
            entry["streamed"],
            Ending.WHOLE,
        )
        if entry["status"] != 200:
            failed.add((replace(of, streamed=False, ending=Ending.FAILED), entry["streamed"]))
        elif entry["streamed"] and one.ending != Ending.WHOLE:
            charges[replace(of, ending=one.ending)] += 1
        else:
            charges[replace(of, tokens_in=entry["tokens_in"], tokens_out=entry["tokens_out"])] += 1
    return charges + Counter(charge for charge, _ in failed)


def found(ledger: Iterable[Event], asked: Iterable[Asked]) -> Counter[Charge]:
    """The ledger's events, in the same form."""
    by_chance = _by_chance(asked)
    return Counter(_charge(event, by_chance) for event in ledger)


def _by_chance(asked: Iterable[Asked]) -> set[str]:
    return {one.conversation for one in asked if one.ending == Ending.BY_CHANCE}


def _charge(event: Event, by_chance: set[str]) -> Charge:
    ending = ending_of(event)
    of = Charge(
        event["userId"],
        event.get("conversationId"),
        event["provider"],
        event["model"],
        bool(event.get("stream")),
        ending,
    )
    if of.streamed and of.conversation in by_chance and ending != Ending.FAILED:
        return replace(of, ending=Ending.BY_CHANCE)
    if ending == Ending.WHOLE:
        return replace(of, tokens_in=int(event["tokens_in"]), tokens_out=int(event["tokens_out"]))
    return of


def tokens_counted(journal: Iterable[Event], asked: Iterable[Asked]) -> Counter[str]:
    """Tokens that the providers reported, of all calls that ended normally."""
    tokens: Counter[str] = Counter()
    for charge, count in due(journal, asked).items():
        tokens["tokens_in"] += count * (charge.tokens_in or 0)
        tokens["tokens_out"] += count * (charge.tokens_out or 0)
    return tokens


def tokens_estimated(ledger: Iterable[Event], asked: Iterable[Asked]) -> Counter[str]:
    """Tokens of the other calls, whose usage no provider reported completely."""
    by_chance = _by_chance(asked)
    tokens: Counter[str] = Counter()
    for event in ledger:
        if _charge(event, by_chance).ending != Ending.WHOLE:
            tokens["tokens_in"] += int(event["tokens_in"])
            tokens["tokens_out"] += int(event["tokens_out"])
    return tokens


def ending_of(event: Event) -> Ending:
    if event.get("errorCode") == CLIENT_CLOSED_REQUEST:
        return Ending.STOPPED if event.get("estimated") else Ending.GIVEN_UP
    return Ending.FAILED if event["status"] == "failure" else Ending.WHOLE


def wrong_prices(ledger: Iterable[Event]) -> list[str]:
    """Check prices: an abandoned call has none, a failed one costs nothing, all others have a price."""
    return [
        f"{event['eventId']}: {ending_of(event)}, costUSD {event.get('costUSD')}"
        for event in ledger
        if not _is_priced_right(event)
    ]


def _is_priced_right(event: Event) -> bool:
    cost = event.get("costUSD")
    match ending_of(event):
        case Ending.GIVEN_UP:
            return cost is None and event["tokens_in"] == event["tokens_out"] == 0
        case Ending.FAILED:
            return bool(cost == 0)
        case _:
            return cost is not None and cost > 0
