"""`make crashes`: kill a real proxy again and again. Every request with a response must be stored once."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from local.litellm_proxy import ProxyError
from tests.crashes.probed_proxy import window
from tests.crashes.rounds import Result, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crashes", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="how many kills (20)")
    parser.add_argument(
        "--seed", type=int, default=random.randrange(10_000), help="of what is left to chance"
    )
    options = parser.parse_args()
    start = time.monotonic()

    def say(step: str) -> None:
        print(f"{time.monotonic() - start:5.1f} s  {step}", flush=True)

    say(f"{options.rounds} rounds, seed {options.seed}")
    with tempfile.TemporaryDirectory(prefix="crashes-") as folder:
        try:
            result = run(Path(folder), options.rounds, options.seed, say)
        except (ProxyError, TimeoutError) as error:
            print(error, file=sys.stderr)
            return 1
    say("Done\n")
    print(report(result))
    return 1 if result.verdict.problems else 0


def report(result: Result) -> str:
    """Make a table of the rounds, with the events' time in LiteLLM's queue, and the problems, if any."""
    lost = [user for user, _ in result.verdict.lost]
    lines = [
        "round  proxy                service   killed     clients  answered  in the ledger  lost in the queue"
    ]
    for each in result.rounds:
        events = sum(count for user, count in result.ledger.items() if user.startswith(each.users))
        gone = sum(user.startswith(each.users) for user in lost)
        lines.append(
            f"{each.number:>5}  {each.proxy:21}{each.service:10}{each.killed:11}{each.clients:>7}"
            f"{len(each.answered):>10}{events:>15}{gone:>19}"
        )
    answered = sum(len(each.answered) for each in result.rounds)
    lines += [
        f"\n{answered} requests were answered; the ledger has {result.ledger.total()} events.",
        f"{len(lost)} answered requests were killed while LiteLLM had not called the callback yet.",
        *windows(result),
        "",
        *(
            result.verdict.problems
            or ["All else is there exactly once, and nothing that no provider has served."]
        ),
    ]
    return "\n".join(lines)


def windows(result: Result) -> list[str]:
    lines = ["\nFrom the answer at the client to the event in the outbox (the next proxy boots meanwhile):"]
    for clients in sorted({each.clients for each in result.rounds}):
        answered = [request for each in result.rounds if each.clients == clients for request in each.answered]
        lines.append(f"  {clients:>2} clients: {window(answered, result.hooks)}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
