"""The real LiteLLM proxy as a child process, from its own environment (`make proxy-env`)."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv-proxy"
CONFIG = ROOT / "deploy" / "litellm_config.yaml"
CALLBACK = ROOT / "layers" / "callback"
BOOT_SECONDS = 120
STOP_SECONDS = 20


class NotInstalled(RuntimeError):
    """There is no LiteLLM to run."""


class DidNotStart(RuntimeError):
    """The proxy ended, or did not answer in time."""


@dataclass(frozen=True)
class Proxy:
    """A proxy that has been started; it takes requests once `wait_until_ready` has returned."""

    url: str
    key: str
    process: subprocess.Popen[bytes]

    def wait_until_ready(self, seconds: float = BOOT_SECONDS) -> None:
        end = time.monotonic() + seconds
        while not self._ready():
            if self.process.poll() is not None:
                raise DidNotStart(f"the proxy ended with exit code {self.process.returncode}")
            if time.monotonic() > end:
                raise DidNotStart(f"the proxy did not answer within {seconds:.0f} s")
            time.sleep(0.2)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health/readiness", timeout=2) as response:
                return int(response.status) == 200
        except (urllib.error.URLError, OSError):
            return False


@contextmanager
def running_proxy(environment: Mapping[str, str], log: Path, config: Path = CONFIG) -> Iterator[Proxy]:
    """Start the proxy on a free loopback port; stop it with SIGTERM, so that it delivers all it has.

    It sees the given environment alone, never this shell's: no real key can get into it by accident.
    """
    program = ENVIRONMENT / "bin" / "litellm"
    if not program.exists():
        raise NotInstalled("LiteLLM is not installed: run `make proxy-env`")
    port, key = free_port(), f"sk-{secrets.token_urlsafe(24)}"
    command = [str(program), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    own = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(log.parent),
        "PYTHONPATH": str(CALLBACK),
        "LITELLM_MASTER_KEY": key,
        # Without it LiteLLM asks the internet for prices at each start.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    with running_process(command, {**own, **environment}, log) as process:
        yield Proxy(f"http://127.0.0.1:{port}", key, process)


@contextmanager
def running_process(
    command: Sequence[str], environment: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A child in a session of its own: Ctrl-C in the terminal does not reach it before this block ends."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=dict(environment), cwd=ROOT, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the child and whatever it started."""
    process.terminate()
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
