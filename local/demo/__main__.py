"""`python -m local.demo`, or `make demo`."""

from __future__ import annotations

import argparse
import signal
import sys
import time

from local.demo import __doc__ as about
from local.demo.run import run
from local.stack.stack import FunctionFailed

RED, GREEN = "31", "32"


def main() -> int:
    argparse.ArgumentParser(
        prog="python -m local.demo", description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    start = time.monotonic()
    try:
        problems = run(lambda step: print(f"{time.monotonic() - start:5.1f} s  {step}", flush=True))
    except KeyboardInterrupt:
        print("\nInterrupted; nothing is left running.")
        return 130
    except (RuntimeError, OSError, FunctionFailed) as error:
        print(_coloured(f"The demo could not run: {error}", RED), file=sys.stderr)
        return 1
    if problems:
        print(_coloured(f"{len(problems)} problems:", RED))
        print(*(f"  {problem}" for problem in problems), sep="\n")
        return 1
    print(_coloured("Every number agrees with what the providers served.", GREEN), end=" ")
    print(f"{time.monotonic() - start:.0f} s; nothing is left running.")
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
