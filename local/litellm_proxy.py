"""The real LiteLLM proxy as a child process, from its own environment (`make proxy-env`)."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from local import PROJECT
from local.process import running_process
from local.stack import free_port

ENVIRONMENT = PROJECT / os.environ.get("LITELLM_ENVIRONMENT", ".venv-proxy")
"""The environment with LiteLLM's pinned version, or the one that `make test-litellm` names."""
PROGRAM = ENVIRONMENT / "bin" / "litellm"
CONFIG = PROJECT / "deploy" / "litellm_config.yaml"
CALLBACK = PROJECT / "layers" / "callback"
BOOT_SECONDS = 120.0


def litellm_version() -> str:
    """The version of LiteLLM that is installed, or "" if none is."""
    found = ENVIRONMENT.glob("lib/python*/site-packages/litellm-*.dist-info")
    return next((path.stem.removeprefix("litellm-") for path in found), "")


class ProxyError(RuntimeError):
    """LiteLLM is not installed, or did not start."""


@dataclass(frozen=True)
class Proxy:
    """A proxy that was started. It accepts requests once `wait_until_ready` has returned."""

    url: str
    key: str
    process: subprocess.Popen[bytes]

    def wait_until_ready(self) -> None:
        """Raises ProxyError."""
        end = time.monotonic() + BOOT_SECONDS
        while not self._is_ready():
            if self.process.poll() is not None:
                raise ProxyError(f"the LiteLLM proxy ended with exit code {self.process.returncode}")
            if time.monotonic() > end:
                raise ProxyError(f"the LiteLLM proxy did not respond within {BOOT_SECONDS:.0f} s")
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        with suppress(OSError), urllib.request.urlopen(f"{self.url}/health/readiness", timeout=2):
            return True
        return False


@contextmanager
def running_proxy(
    environment: Mapping[str, str], log: Path, config: Path = CONFIG, *, arguments: Sequence[str] = ()
) -> Iterator[Proxy]:
    """Start the proxy on a free port. At the block's end, SIGTERM lets it deliver its events.

    `arguments` are LiteLLM's own, as in `litellm --num_workers 4`. The proxy gets only the given environment,
    not this shell's: so it cannot use a real key by accident. Raises ProxyError.
    """
    if not PROGRAM.exists():
        raise ProxyError("the LiteLLM proxy is not installed: run `make proxy-env`")
    port, key = free_port(), f"sk-{secrets.token_urlsafe(24)}"
    own = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(log.parent),
        "PYTHONPATH": str(CALLBACK),
        "LITELLM_MASTER_KEY": key,
        # Otherwise LiteLLM downloads its price list at each start.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "IMPACT_FLUSH_SECONDS": "1",  # somebody waits for the events
    }
    command = [str(PROGRAM), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), *arguments]
    with running_process(command, own | dict(environment), log) as process:
        yield Proxy(f"http://127.0.0.1:{port}", key, process)
