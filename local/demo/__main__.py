"""`python -m local.demo`, or `make demo`."""

from __future__ import annotations

import argparse
import signal
import sys
import time

from impact_client import ImpactError
from local.demo import __doc__ as about
from local.demo.page import Stopped, wait_for_interrupt, where_to_look, with_months
from local.demo.run import run
from local.months.fill import NotFilled
from local.stack.stack import FunctionFailed, Stack

RED, GREEN = "31", "32"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m local.demo", description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--keep", action="store_true", help="then fill three months, and serve the page until Ctrl-C"
    )
    wants_page = parser.parse_args().keep
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    start = time.monotonic()

    def say(step: str) -> None:
        print(f"{time.monotonic() - start:5.1f} s  {step}", flush=True)

    def keep(stack: Stack, ingest_token: str) -> None:
        print(_coloured("Every number agrees with what the providers served.", GREEN), flush=True)
        say("Filling three months of made-up use, about a minute")
        with_months(stack, ingest_token)
        print(where_to_look(stack), flush=True)
        wait_for_interrupt()

    try:
        problems = run(say, keep if wants_page else None)
    except Stopped:
        print("\nStopped; nothing is left running.")
        return 0
    except KeyboardInterrupt:
        print("\nInterrupted; nothing is left running.")
        return 130
    except (RuntimeError, OSError, FunctionFailed, NotFilled, ImpactError) as error:
        print(_coloured(f"The demo could not run: {error}", RED), file=sys.stderr)
        return 1
    if problems:
        print(_coloured(f"{len(problems)} problems:", RED))
        print(*(f"  {problem}" for problem in problems), sep="\n")
        return 1
    print(_coloured("Every number agrees with what the providers served.", GREEN), end=" ")
    print(f"{time.monotonic() - start:.0f} s; nothing is left running.")
    print("To see such figures on a page, with three months more: make demo KEEP=1")
    return 0


def _interrupt(number: int, frame: object) -> None:
    """Interrupt once: a second Ctrl-C must not interrupt the clean-up."""
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_IGN)
    raise KeyboardInterrupt


def _coloured(text: str, colour: str) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if sys.stdout.isatty() else text


if __name__ == "__main__":
    sys.exit(main())
