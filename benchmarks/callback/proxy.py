"""Run a real LiteLLM proxy in a process of its own, and the servers around it."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from local.litellm_proxy import ENVIRONMENT

ROOT = Path(__file__).resolve().parents[2]
LITELLM = ENVIRONMENT / "bin/litellm"
MASTER_KEY = "sk-benchmark-of-the-callback"

CONFIG = {
    "model_list": [
        {"model_name": "gpt-4o", "litellm_params": {"model": "openai/gpt-4o", "api_key": "provider-key"}}
    ],
    "general_settings": {"master_key": MASTER_KEY},
    "callback_settings": {
        "retrying": {  # LiteLLM's generic_api with retries
            "callback_type": "generic_api",
            "endpoint": "os.environ/RETRYING_LOGGER_ENDPOINT",
            "headers": {"Authorization": "Bearer benchmark"},
            "max_retries": 3,
            "retry_delay": 1,
        }
    },
}


@contextmanager
def server(*arguments: str) -> Iterator[int]:
    """Run one of the servers of `servers.py`; yields its port."""
    command = [sys.executable, "-m", "benchmarks.callback.servers", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield int(process.stdout.readline())
        finally:
            process.kill()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def received(port: int) -> dict[str, int]:
    """Return the ids of the events that an ingest has received, each with how often."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/received")
    counts: dict[str, int] = json.loads(connection.getresponse().read())
    connection.close()
    return counts


class Proxy:
    """A running proxy. `callbacks` are the callbacks in its config; they get the environment."""

    def __init__(self, folder: Path, provider: int, *callbacks: str, **environment: str) -> None:
        self.port = free_port()
        config = dict(CONFIG)
        settings: dict[str, object] = {"num_retries": 0, "callbacks": list(callbacks)}
        config["litellm_settings"] = settings
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "config.yaml"
        path.write_text(json.dumps(config))  # JSON is YAML
        self.log = folder / "proxy.log"
        environ = os.environ | {
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{provider}/v1",
            "OPENAI_API_BASE": f"http://127.0.0.1:{provider}/v1",
            "LITELLM_LOG": "WARNING",
            "IMPACT_OUTBOX": str(folder / "outbox"),
            "IMPACT_SERVICE_TOKEN": "benchmark",
        }
        command = [str(LITELLM), "--config", str(path), "--host", "127.0.0.1", "--port", str(self.port)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, env=environ | environment, stdout=log, stderr=subprocess.STDOUT
            )

    def wait_until_ready(self, seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with suppress(OSError):
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", "/health/liveliness")
                if connection.getresponse().status == 200:
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.2)
        self.stop()
        raise RuntimeError(f"the proxy does not start: {self.log.read_text()[-2000:]}")

    def chat(self, user: str = "alice") -> int:
        """Make one request; return its HTTP status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("POST", "/v1/chat/completions", *request(user))
        status = connection.getresponse().status
        connection.close()
        return status

    def metrics(self) -> dict[str, float]:
        """Return our metrics as Prometheus reads them. LiteLLM's own callback `prometheus` must be on."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", "/metrics/", headers={"Authorization": f"Bearer {MASTER_KEY}"})
        lines = connection.getresponse().read().decode().splitlines()
        connection.close()
        samples = (line.split(" ") for line in lines if line.startswith("impact_"))
        return {name: float(value) for name, value in samples}

    def cpu_seconds(self) -> float:
        """Processor time of the proxy so far, in seconds."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_memory(self) -> int:
        """Peak memory of the proxy, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) * 1024

    def stop(self, signal_number: int = signal.SIGTERM, seconds: float = 120) -> int:
        """Stop the proxy; return its exit status."""
        self.process.send_signal(signal_number)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def request(user: str = "alice") -> tuple[bytes, dict[str, str]]:
    body = {
        "model": "gpt-4o",
        "user": user,
        "messages": [{"role": "user", "content": "What does a forest cost?"}],
    }
    headers = {"Authorization": f"Bearer {MASTER_KEY}", "Content-Type": "application/json"}
    return json.dumps(body).encode(), headers
