"""Clients of the proxy: each makes the next request when it has its response, until it is stopped."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any
from urllib.parse import urlsplit

from local.demo.calls import EMBEDDINGS, MESSAGES, METADATA, RESPONSES, Call
from local.litellm_proxy import Proxy

SUCCESS, FAILURE = "success", "failure"
BOTH = (FAILURE, SUCCESS)


@dataclass(frozen=True)
class Kind:
    """A kind of request, and its events: a successful retry is a failure and a success."""

    fields: dict[str, Any]
    events: tuple[str, ...] = (SUCCESS,)

    def call(self, name: str) -> Call:
        return Call(name, name, **self.fields)


PLAIN = Kind({"model": "gpt-4o", "directions": "#in=900 #out=140"})
STREAM = Kind({"model": "gpt-4o-mini", "directions": "#in=2048 #out=301 #cached=1536", "stream": True})
KINDS = (
    *(PLAIN, STREAM) * 3,
    Kind({"model": "claude-haiku-4-5", "directions": "#in=640 #out=90", "stream": True}),
    Kind(
        {
            "model": "claude-haiku-4-5",
            "directions": "#in=4096 #out=350 #cached=3072",
            "path": MESSAGES,
            "named": METADATA,
            "stream": True,
        }
    ),
    Kind({"model": "gpt-5-mini", "directions": "#in=70 #out=900 #reasoning=832", "path": RESPONSES}),
    Kind({"model": "text-embedding-3-small", "directions": "#in=8100", "path": EMBEDDINGS}),
    Kind({"model": "gpt-4o", "directions": "#in=501 #out=77 #fail=openai:1:500"}, BOTH),
    Kind({"model": "claude-haiku-4-5", "directions": "#in=640 #out=90 #fail=anthropic:always:529"}, BOTH),
    Kind({"model": "gpt-4o-mini", "directions": "#fail=openai:always:500", "fails": True}, (FAILURE,)),
)


@dataclass(frozen=True)
class Answered:
    """A request whose client has the whole response, since `at` (seconds since 1970)."""

    user: str
    events: tuple[str, ...]
    at: float


class Load:
    """The responses of the clients of a round, so far."""

    def __init__(self, name: str, proxy: Proxy, seed: int, kinds: Sequence[Kind] = KINDS) -> None:
        self.answered: list[Answered] = []
        self.unexpected: list[str] = []
        self.ended = threading.Event()
        self._name = name
        self._proxy = proxy
        self._kinds = kinds
        self._random = random.Random(seed)
        self._numbers = count()
        self._lock = threading.Lock()

    def wait_for(self, answers: int, seconds: float) -> None:
        """Wait until so many requests have a response. Raises TimeoutError."""
        end = time.monotonic() + seconds
        while len(self.answered) < answers:
            if time.monotonic() > end:
                raise TimeoutError(f"{self._name}: {len(self.answered)} answers in {seconds:.0f} s")
            time.sleep(0.005)

    def client(self) -> None:
        while not self.ended.is_set():
            with self._lock:
                kind, number = self._random.choice(self._kinds), next(self._numbers)
            self._ask(kind, kind.call(f"{self._name}-{number:04}"))

    def _ask(self, kind: Kind, call: Call) -> None:
        headers = {"Authorization": f"Bearer {self._proxy.key}", "Content-Type": "application/json"}
        connection = http.client.HTTPConnection(urlsplit(self._proxy.url).netloc, timeout=30)
        try:
            connection.request("POST", call.path, json.dumps(call.body()), headers | call.headers())
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):  # killed: without a response, the event may be missing
            self.ended.wait(0.01)
            return
        finally:
            connection.close()
        at = time.time()
        if (response.status == 200) == call.fails:
            self.unexpected.append(f"{call.id}: answered with {response.status}: {content[:200]!r}")
        self.answered.append(Answered(call.user, kind.events, at))


@contextmanager
def clients(load: Load, number: int) -> Iterator[None]:
    """Run so many clients until the end of the block."""
    threads = [threading.Thread(target=load.client) for _ in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        load.ended.set()
        for thread in threads:
            thread.join()
