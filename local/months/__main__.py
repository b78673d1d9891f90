"""`make months`: fill the stack of `make local` with months of plausible use."""

import argparse
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from impact_cli.deployed_stack import calendar_of, store_of
from impact_cli.progress import Progress
from impact_client import Impact, ImpactError
from local import PROJECT
from local.months import __doc__ as about
from local.months.fill import NotFilled, Target, fill, plausible
from local.months.people import hostile_people
from local.stack.stack import session_at

NEEDED = (
    "AWS_ENDPOINT_URL",
    "IMPACT_STACK",
    "IMPACT_SERVICE_URL",
    "IMPACT_SERVICE_TOKEN",
    "IMPACT_READ_TOKEN",
)


class NoStack(Exception):
    """No stack runs on this machine."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m local.months", description=about)
    parser.add_argument("--days", type=_positive, default=92, help="how far back the use goes (92)")
    parser.add_argument("--users", type=_positive, default=40, help="(40)")
    parser.add_argument(
        "--requests", type=_positive, default=100, help="about how many on a working day (100)"
    )
    parser.add_argument("--seed", type=int, default=0, help="another seed, other requests (0)")
    parser.add_argument(
        "--hostile", action="store_true", help="also users whose ids try to be more than text"
    )
    parser.add_argument("--env-file", type=Path, default=PROJECT / ".local.env", help="written by make local")
    options = parser.parse_args(arguments)
    start, progress = time.monotonic(), Progress()
    try:
        target = _target(options.env_file)
        months = plausible(target.calendar, options.days, options.users, options.requests, options.seed)
        if options.hostile:
            months = replace(months, users=[*months.users, *hostile_people()])
        sent = fill(target, months, progress)
    except NoStack as error:
        print(error, file=sys.stderr)
        return 1
    except (NotFilled, ImpactError, BotoCoreError, ClientError) as error:
        progress.clear()
        print(f"The months were not filled: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        progress.clear()
        print("Stopped. Run it again for the rest: nothing is stored twice.", file=sys.stderr)
        return 130
    progress.clear()
    there = f" {sent.duplicates:,} were there already." if sent.duplicates else ""
    print(
        f"Stored {sent.created:,} requests of {len(months.users)} users,"
        f" {months.first} to {months.days()[-1]}, in {time.monotonic() - start:.0f} s.{there}"
    )
    return 0


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _target(env_file: Path) -> Target:
    """The stack of the environment, or of `.local.env`. Raises NoStack, BotoCoreError, ClientError."""
    environment = stack_environment(os.environ, env_file)
    impact = Impact(
        environment["IMPACT_SERVICE_URL"],
        read_token=environment["IMPACT_READ_TOKEN"],
        ingest_token=environment["IMPACT_SERVICE_TOKEN"],
    )
    try:
        impact.clock()
    except ImpactError as error:
        raise NoStack(f"No stack answers on this machine: run make local first. ({error})") from None
    session, stack = session_at(environment["AWS_ENDPOINT_URL"]), environment["IMPACT_STACK"]
    store = store_of(session, stack)
    return Target(session, stack, store, calendar_of(session, stack, store), impact)


def stack_environment(given: Mapping[str, str], env_file: Path) -> dict[str, str]:
    """What the environment says of the stack, or else the file that `make local` has written. Raises NoStack.

    The file is only for a stack on this machine, so no real service can get made-up events by mistake.
    """
    if all(given.get(name) for name in NEEDED):
        return dict(given)
    try:
        lines = env_file.read_text().splitlines()
    except FileNotFoundError:
        raise NoStack("No stack runs on this machine: run make local first, in another terminal.") from None
    return dict(line.split("=", 1) for line in lines if "=" in line)


if __name__ == "__main__":
    sys.exit(main())
