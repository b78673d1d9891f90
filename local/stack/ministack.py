"""Run MiniStack as a child process, with IAM enforced, and stop it with all processes of its functions."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from local import PROJECT

START_SECONDS = 30.0
STOP_SECONDS = 2.0

REGION = "us-east-1"
ROOT = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": REGION}
"""Credentials of the account's root in MiniStack. All others need a policy."""


def aws_environment(endpoint_url: str) -> dict[str, str]:
    """Return this process's environment, changed so that every AWS client calls MiniStack."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return kept | ROOT | {"AWS_DEFAULT_REGION": REGION, "AWS_ENDPOINT_URL": endpoint_url}


@contextmanager
def running_ministack(port: int, log: Path) -> Iterator[str]:
    """Run MiniStack on a port of the loopback interface; yields its endpoint. Raises RuntimeError."""
    endpoint_url = f"http://127.0.0.1:{port}"
    with (
        tempfile.TemporaryDirectory(prefix="ministack-", dir=log.parent) as scratch,
        log.open("wb") as output,
    ):
        process = subprocess.Popen(
            [sys.executable, "-m", "local.patched_ministack"],
            cwd=PROJECT,
            env=_environment(port, scratch),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a process group of its own, with the processes of its functions
        )
        try:
            _await_health(process, endpoint_url, log)
            yield endpoint_url
        finally:
            _stop(process)


def _environment(port: int, scratch: str) -> dict[str, str]:
    # No AWS_* of the caller: MiniStack passes its environment on to the functions.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return kept | {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "AUTH": "true",
        "MINISTACK_ROOT_ACCESS_KEY": ROOT["AWS_ACCESS_KEY_ID"],
        "MINISTACK_REGION": REGION,
        "IOT_MTLS_ENABLED": "false",  # it would open a port on all interfaces
        "LAMBDA_ASYNC_RETRY_BASE_SECONDS": "0.1",
        "TMPDIR": scratch,
        "STATE_DIR": scratch,
    }


def _await_health(process: subprocess.Popen[bytes], endpoint_url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with suppress(OSError), urllib.request.urlopen(f"{endpoint_url}/_ministack/health", timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"MiniStack did not start; see {log}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):  # processes of the group that are left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
