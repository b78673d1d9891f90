"""`make local`: the stack on this machine, its API on http://localhost:3090, until Ctrl-C."""

import argparse
import os
import shlex
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from textwrap import shorten

from botocore.exceptions import BotoCoreError

from local import PROJECT
from local.stack.stack import FunctionFailed, Stack, running_stack

API_PORT = 3090
MINISTACK_PORT = 4566
TICK_SECONDS = 5.0
"""How often the rollup runs. EventBridge Scheduler cannot run it more than once a minute."""

READY = """
The stack is up. Its API: {stack.api_url}   AWS: {stack.endpoint_url}

  ingest token  {stack.ingest_token}
  read token    {stack.read_token}

In another terminal:

  set -a; . ./.local.env; set +a
  curl -H "Authorization: Bearer $IMPACT_SERVICE_TOKEN" -H "Content-Type: application/json" -d \\
    '{{"userId": "alice", "ts": "'$(date -u +%FT%TZ)'", "model": "gpt-4o", "provider": "openai",
      "tokens_in": 1200, "tokens_out": 340, "latency": 2.5, "costUSD": 0.0064}}' "$IMPACT_SERVICE_URL"
  curl -H "Authorization: Bearer $IMPACT_READ_TOKEN" '{stack.api_url}/api/summaries?userId=alice'

The rollup runs every {seconds:.0f} seconds here. Ctrl-C stops the stack and deletes its data.
"""


def main() -> int:
    arguments = _arguments()
    for port in (arguments.port, arguments.ministack_port):
        if _is_taken(port):
            print(
                f"Port {port} is taken, perhaps by another `make local`. Stop that process, or choose"
                " other ports: make local PORT=3091 MINISTACK_PORT=4567",
                file=sys.stderr,
            )
            return 1
    if not _is_own_address(arguments.host):
        print(f"{arguments.host!r} is no address of this machine. All of them: HOST=0.0.0.0", file=sys.stderr)
        return 1
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        with (
            running_stack(
                host=arguments.host,
                port=arguments.port,
                ministack_port=arguments.ministack_port,
                progress=_Progress(),
                **dict(parameter.split("=", 1) for parameter in arguments.words + arguments.parameters),
            ) as stack,
            _env_file(stack, arguments.env_file),
        ):
            print(READY.format(stack=stack, seconds=TICK_SECONDS), flush=True)
            update_rates(stack)
            while not _interrupted.is_set():
                _tick(stack)
                _interrupted.wait(TICK_SECONDS)
    except KeyboardInterrupt:
        pass
    except (RuntimeError, OSError, BotoCoreError) as error:
        print(error, file=sys.stderr)
        return 1
    print("\nStopped; nothing is left running.")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.stack", description=__doc__)
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address that the API listens on; with 0.0.0.0, containers and other machines reach it too",
    )
    parser.add_argument("--port", type=int, default=API_PORT)
    parser.add_argument("--ministack-port", type=int, default=MINISTACK_PORT)
    parser.add_argument("--env-file", type=Path, default=PROJECT / ".local.env")
    parser.add_argument(
        "--parameters",
        dest="words",
        type=shlex.split,
        default=[],
        help="parameters of template.yaml in one text, quoted as for a shell",
    )
    parser.add_argument("parameters", nargs="*", metavar="Name=value", help="parameters of template.yaml")
    return parser.parse_args()


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _is_own_address(host: str) -> bool:
    with socket.socket() as probe, suppress(OSError):
        probe.bind((host, 0))
        return True
    return False


_interrupted = threading.Event()
"""Set by a signal. Python drops an exception that a signal handler raises while a finalizer runs."""


def _interrupt(number: int, frame: object) -> None:
    # Interrupt once: a second Ctrl-C must not interrupt the clean-up.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _interrupted.set()
    raise KeyboardInterrupt


class _Progress:
    """Prints each step with the time since the start."""

    def __init__(self) -> None:
        self.start = time.monotonic()

    def __call__(self, step: str) -> None:
        print(f"{time.monotonic() - self.start:5.1f} s  {step}", flush=True)


@contextmanager
def _env_file(stack: Stack, path: Path) -> Iterator[None]:
    """Write `.local.env` while the stack runs. Only its owner can read it, because it contains the tokens."""
    path.unlink(missing_ok=True)
    content = "".join(f"{name}={value}\n" for name, value in stack.environment.items())
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def update_rates(stack: Stack) -> None:
    """Get the European Central Bank's fx rates. Without them the stack works too. It tries for some 20 s."""
    try:
        stack.update_rates()
    except FunctionFailed as error:
        why = shorten(error.reason.partition("; ")[0], 200, placeholder=" ...")
        print(
            "No fx rates: amounts stay in dollars (`unconverted`) until the European Central Bank can be"
            f" reached. The next try is in an hour. {why}",
            file=sys.stderr,
            flush=True,
        )


def _tick(stack: Stack) -> None:
    """Run the rollup and wait for it: on a busy machine, runs and their processes would pile up."""
    try:
        stack.rollup()
    except (FunctionFailed, TimeoutError) as error:
        print(f"The rollup failed: {error}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
