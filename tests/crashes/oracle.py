"""Decides, request by request, which events must be in the ledger after crashes, and which may be.

A request is known by its user, whom no other request has; an event by its user and its status.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.crashes.clients import FAILURE, SUCCESS, Answered

Event = tuple[str, str]
"""User and status."""

QUEUE_SECONDS = 20.0
"""Maximum time of an event in LiteLLM's queue after its response: LiteLLM gives a callback no longer.
(Milliseconds are usual. On a machine with six times more to do than it can, 12 s were seen.)"""
READ_SECONDS = 2.0
"""A client may read a response that was sent before a kill a moment after the kill."""


@dataclass
class Hooks:
    """LiteLLM's calls of the callback, each with its begin and its end."""

    called: dict[Event, float] = field(default_factory=dict)
    kept: dict[Event, float] = field(default_factory=dict)
    cut: set[Event] = field(default_factory=set)
    """The last call of a process, if the kill came within these microseconds."""
    problems: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path) -> Hooks:
        hooks = cls()
        for path in sorted(folder.glob("*.jsonl")):
            hooks._read(path)
        return hooks

    def _read(self, path: Path) -> None:
        last = None
        for line in path.read_text().splitlines():
            step = json.loads(line)
            last = (step["user"], step["status"])
            into = self.called if step["step"] == "called" else self.kept
            if last in into:
                self.problems.append(f"{last}: LiteLLM has called for it twice")
            into[last] = step["at"]
        if last is not None and last not in self.kept:
            self.cut.add(last)


@dataclass
class Verdict:
    """The verdict on all requests."""

    problems: list[str] = field(default_factory=list)
    lost: set[Event] = field(default_factory=set)
    """Lost although the client has the response: LiteLLM was killed before it called the callback."""


def judge(
    answered: Iterable[Answered],
    kills: Sequence[float],
    hooks: Hooks,
    served: Iterable[Mapping[str, Any]],
    ledger: Iterable[Mapping[str, Any]],
) -> Verdict:
    """Compare the ledger with the records of the clients, the callback's probe and the providers.

    `kills` are times in seconds since 1970, as those of the requests.
    """
    items = Counter((item["userId"], item["status"]) for item in ledger)
    called = set(hooks.called) - hooks.cut
    verdict = Verdict(list(hooks.problems))
    say = verdict.problems.append
    for event, times in items.items():
        if times > 1:
            say(f"{event}: {times} times in the ledger")
    for event in called - set(items):
        say(f"{event}: the callback was called, and it is not in the ledger")
    for request in answered:
        for event in ((request.user, status) for status in request.events):
            if event in items or event in called:
                continue
            if event[1] != SUCCESS:
                say(f"{event}: LiteLLM calls for a failure before it answers, and it is not in the ledger")
            elif not any(-READ_SECONDS <= kill - request.at <= QUEUE_SECONDS for kill in kills):
                say(f"{event}: not answered just before a kill, and LiteLLM has never called the callback")
            else:
                verdict.lost.add(event)
    for event in set(items) - {(entry["call"], _status(entry)) for entry in served}:
        say(f"{event}: in the ledger, and no provider has served it")
    return verdict


def _status(entry: Mapping[str, Any]) -> str:
    return SUCCESS if entry["status"] == 200 else FAILURE
