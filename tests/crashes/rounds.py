"""The rounds: a real proxy under load is killed at a random moment, while the service fails in some way."""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path
from typing import Any

from impact_cli.tokens import sha256
from local.fake_providers import running_provider
from local.fault_proxy import DOWN, FLAPPING, HANGING, UP, FaultProxy, forward_to, running_fault_proxy
from local.litellm_proxy import Proxy
from local.process import stop
from local.stack import Stack, free_port, running_stack
from local.waiting import wait_until
from tests.crashes.clients import Answered, Load, clients
from tests.crashes.oracle import Hooks, Verdict, judge
from tests.crashes.probed_proxy import probed_proxy

MODES = (UP, DOWN, HANGING, FLAPPING)
CLIENTS = (6, 12, 24)
ANSWERS = (20, 80)
"""Range of the number of responses before a kill, which comes up to half a second later."""
ANSWERS_SECONDS = 120.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Life:
    """The life of a proxy, of several rounds. The last kills it; the others kill one worker."""

    name: str
    arguments: tuple[str, ...] = ()
    rounds: int = 1


ONE = Life("1 worker")
FOUR = Life("4 workers", ("--num_workers", "4", "--timeout_worker_healthcheck", "60"), 4)
"""By default uvicorn kills a worker that does not respond within 5 s while it starts."""
FORKED = Life("4 workers, gunicorn", ("--num_workers", "4", "--run_gunicorn"), 4)
"""Gunicorn forks workers from a process that has started; uvicorn starts each, which takes far longer."""
LIVES = (ONE, FORKED, ONE, FOUR, ONE, ONE, FORKED, ONE, ONE, ONE, ONE)


def lives(rounds: int) -> Iterator[Life]:
    """Make lives with so many rounds in all."""
    for life in cycle(LIVES):
        if rounds > 0:
            yield replace(life, rounds=min(life.rounds, rounds))
            rounds -= life.rounds
        else:
            return


@dataclass
class Round:
    """One round, and the responses of its clients."""

    number: int
    proxy: str
    killed: str
    service: str
    clients: int
    answered: list[Answered] = field(default_factory=list)
    at: float = 0.0
    """Time of the kill, in seconds since 1970."""

    @property
    def users(self) -> str:
        """Prefix of its users' ids."""
        return f"round-{self.number:02}"


@dataclass(frozen=True)
class Result:
    """All rounds, LiteLLM's calls of the callback, the user of each item in the ledger, and the verdict."""

    rounds: Sequence[Round]
    hooks: Hooks
    ledger: Counter[str]
    verdict: Verdict


def run(folder: Path, rounds: int, seed: int, say: Say = lambda _: None) -> Result:
    """Deploy the stack, run the rounds, start the proxy again, wait until all is delivered, and judge.

    `folder` has the proxies' logs, the outbox and the probe's journal. Raises TimeoutError.
    """
    # Chosen here, not by the stack: so the first proxy can start while the stack is being deployed.
    token, port = secrets.token_urlsafe(32), free_port()
    with ExitStack() as running:
        provider = running.enter_context(running_provider(free_port(), folder / "provider.log"))
        fault_proxy = running.enter_context(running_fault_proxy(forward_to(f"http://localhost:{port}"), seed))
        crashes = _Crashes(folder, provider, fault_proxy, token, random.Random(seed), say)
        first, *others = lives(rounds)
        booting = running.enter_context(crashes.boot(first))
        stack = running.enter_context(running_stack(port=port, progress=say, IngestTokenHashes=sha256(token)))
        for life, following in zip((first, *others), (*others, ONE), strict=True):
            proxy = booting
            proxy.wait_until_ready()
            booting = running.enter_context(crashes.boot(following))  # on the same outbox, meanwhile
            for number in range(1, life.rounds + 1):
                crashes.round(life, proxy, is_last=number == life.rounds)
        fault_proxy.mode = UP
        booting.wait_until_ready()
        say("Restarted, and the service is up")
        wait_until(crashes.is_delivered, "an empty outbox")
        stop(booting.process)
        return crashes.result(stack)


class _Crashes:
    def __init__(
        self,
        folder: Path,
        provider: str,
        fault_proxy: FaultProxy,
        token: str,
        chance: random.Random,
        say: Say,
    ) -> None:
        self._provider, self._fault_proxy, self._token = provider, fault_proxy, token
        self._random, self._say = chance, say
        self._folder = folder
        self._rounds: list[Round] = []

    def result(self, stack: Stack) -> Result:
        with urllib.request.urlopen(f"{self._provider}/journal", timeout=30) as response:
            served = json.load(response)
        dynamodb: Any = stack.session.resource("dynamodb")
        pages = dynamodb.meta.client.get_paginator("scan").paginate(
            TableName=stack.request_events_table, ConsistentRead=True
        )
        ledger = [item for page in pages for item in page["Items"]]
        hooks = Hooks.read(self._folder / "journal")
        answered = [request for each in self._rounds for request in each.answered]
        verdict = judge(answered, [each.at for each in self._rounds], hooks, served, ledger)
        if list(self._folder.glob("outbox/rejected/*")):
            verdict.problems.append(f"the service has refused events: {self._folder}/outbox/rejected")
        return Result(self._rounds, hooks, Counter(item["userId"] for item in ledger), verdict)

    def boot(self, life: Life) -> AbstractContextManager[Proxy]:
        return probed_proxy(self._folder, self._provider, self._fault_proxy.url, self._token, life.arguments)

    def round(self, life: Life, proxy: Proxy, *, is_last: bool) -> None:
        each = Round(
            number=len(self._rounds) + 1,
            proxy=life.name,
            killed="all of it" if is_last else "a worker",
            service=self._mode(),
            clients=self._random.choice(CLIENTS),
        )
        self._rounds.append(each)
        self._fault_proxy.mode = each.service
        load = Load(each.users, proxy, self._random.randrange(2**32))
        with clients(load, each.clients):
            load.wait_for(self._random.randint(*ANSWERS), ANSWERS_SECONDS)
            time.sleep(self._random.uniform(0, 0.5))  # so that no kill comes just after a response
            each.at = time.time()
            if is_last:
                os.killpg(proxy.process.pid, signal.SIGKILL)
            else:
                os.kill(self._random.choice(self._workers(proxy)), signal.SIGKILL)
                load.wait_for(len(load.answered) + ANSWERS[0], ANSWERS_SECONDS)  # the others go on
        each.answered = load.answered
        assert not load.unexpected, load.unexpected
        self._say(
            f"Round {each.number}: {each.proxy}, service {each.service}, {each.clients} clients,"
            f" {len(each.answered)} answers, killed {each.killed}"
        )

    def _mode(self) -> str:
        """Yield modes: each once in four rounds, in random order."""
        seen = [each.service for each in self._rounds]
        return self._random.choice([mode for mode in MODES if mode not in seen[len(seen) // 4 * 4 :]])

    def _workers(self, proxy: Proxy) -> list[int]:
        """The processes of a proxy that have reported events."""
        return [
            pid
            for pid in map(int, (path.stem for path in (self._folder / "journal").iterdir()))
            if _is_of(pid, proxy)
        ]

    def is_delivered(self) -> bool:
        with suppress(FileNotFoundError):
            return not any(path.stat().st_size for path in self._folder.glob("outbox/*.jsonl"))
        return False


def _is_of(pid: int, proxy: Proxy) -> bool:
    with suppress(ProcessLookupError):
        return os.getpgid(pid) == proxy.process.pid
    return False
