"""One process with the callback's outbox and sender, and a clock on each POST."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

from request_events.outbox import Outbox
from request_events.sender import Sender
from request_events.transport import Response

BURST_SECONDS = 2.0
BURST_EVERY_SECONDS = 60.0
BURST_AT_SECONDS = 5.0
BURST_FACTOR = 10
STEP_SECONDS = 0.01

MODELS = (("openai", "gpt-4o"), ("openai", "gpt-4o-mini"), ("anthropic", "claude-sonnet-4-5-20250929"))


@dataclass(frozen=True)
class Load:
    """So many events a second, and ten times as many for a moment of each minute."""

    rate: float
    seconds: float

    def due(self, elapsed: float) -> int:
        """The number of events to send in the first so many seconds."""
        elapsed = min(elapsed, self.seconds)
        minutes, rest = divmod(elapsed, BURST_EVERY_SECONDS)
        in_bursts = minutes * BURST_SECONDS + min(max(rest - BURST_AT_SECONDS, 0), BURST_SECONDS)
        return int(self.rate * (elapsed + (BURST_FACTOR - 1) * in_bursts))


@dataclass
class Sent:
    """What a sender has observed: seconds of every POST, statuses of the responses, and errors."""

    events: int = 0
    seconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    """Responses other than 200, and 503 with Retry-After."""
    unanswered: list[str] = field(default_factory=list)
    rejected: int = 0


def _timed(post: Callable[[bytes], Response], sent: Sent) -> Callable[[bytes], Response]:
    """The same POST, which records each exchange."""

    def timed(body: bytes) -> Response:
        began = time.monotonic()
        try:
            response = post(body)
        except Exception as error:
            sent.unanswered.append(f"{type(error).__name__} after {time.monotonic() - began:.1f} s")
            raise
        sent.seconds.append(time.monotonic() - began)
        status = response.status
        sent.statuses[status] = sent.statuses.get(status, 0) + 1
        if status != 200 and not (status == 503 and response.headers.get("Retry-After")):
            sent.wrong.append(f"{status}: {response.body[:200]!r}")
        return response

    return timed


def send(name: str, folder: Path, url: str, token: str, load: Load, drain: float, result: Connection) -> None:
    """Send a load, wait until the outbox is empty (at most so many seconds), and pass on the observations."""
    outbox = Outbox(folder)
    sender, sent = Sender(outbox, url, token), Sent()
    transport = sender._transport
    transport.post = _timed(transport.post, sent)  # type: ignore[assignment]
    sender.start()
    began = time.monotonic()
    for line in _lines(name, load, began):
        sender.send(line)
        sent.events += 1
    until = time.monotonic() + drain
    while outbox.measure().events and time.monotonic() < until:
        time.sleep(0.1)
    sender.close(seconds=15)
    sent.rejected = outbox.rejected
    result.send(sent)


def _lines(name: str, load: Load, began: float) -> Iterator[bytes]:
    """Yield each event when it is due."""
    sent = 0
    while sent < load.due(load.seconds):
        due = load.due(time.monotonic() - began)
        yield from (_line(name, number) for number in range(sent, due))
        sent = due
        time.sleep(STEP_SECONDS)


def _line(name: str, number: int) -> bytes:
    provider, model = MODELS[number % len(MODELS)]
    event = {
        "userId": f"user-{number % 97}",
        "ts": datetime.now(UTC).isoformat(),
        "provider": provider,
        "model": model,
        "tokens_in": 1000 + number % 1000,
        "tokens_out": 100 + number % 300,
        "latency": 1.5,
        "costUSD": 0.00475,
        "eventId": f"{name}-{number}:success",
    }
    return json.dumps(event).encode() + b"\n"
