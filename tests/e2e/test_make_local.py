"""`make local` as a process of its own, from its start to its end."""

import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dotenv import dotenv_values

from local import PROJECT
from local.fake_ecb import published, serving
from local.stack import Stack, free_port
from local.waiting import PATIENCE_SECONDS, wait_until
from tests.children import child
from tests.e2e.api import Api, a_user, an_event

COMMAND = [sys.executable, "-m", "local.stack"]


@dataclass(frozen=True)
class Running:
    """A running `make local`."""

    process: subprocess.Popen[str]
    ports: list[int]
    env_file: Path

    def arguments(self, env_file: Path, *parameters: str) -> list[str]:
        port, ministack_port = map(str, self.ports)
        return ["--port", port, "--ministack-port", ministack_port, "--env-file", str(env_file), *parameters]


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Running]:
    ports, env_file = [free_port(), free_port()], tmp_path / ".local.env"
    today = datetime.now(UTC).date()
    with serving() as ecb, (tmp_path / "output").open("w") as output:
        ecb.publish(published(str(today - timedelta(days=90)), str(today)))
        of = Running(None, ports, env_file)  # type: ignore[arg-type]
        arguments = of.arguments(env_file, f"RatesUrl={ecb.url}")
        with child([*COMMAND, *arguments], cwd=PROJECT, stdout=output) as process:
            wait_until(lambda: env_file.exists() or process.poll() is not None, "make local to be ready")
            yield Running(process, ports, env_file)


def test_it_serves_counts_and_ends_clean(local: Running, tmp_path: Path) -> None:
    values = {name: value or "" for name, value in dotenv_values(local.env_file).items()}
    assert stat.S_IMODE(local.env_file.stat().st_mode) == 0o600
    stack = Stack(
        values["AWS_ENDPOINT_URL"],
        build=tmp_path,
        name=values["IMPACT_STACK"],
        ingest_token=values["IMPACT_SERVICE_TOKEN"],
        read_token=values["IMPACT_READ_TOKEN"],
        mcp_token=values["IMPACT_MCP_TOKEN"],
        api_url=values["IMPACT_SERVICE_URL"].removesuffix("/api/request-event"),
    )
    assert stack.environment == values
    api, user_id = Api(stack), a_user()
    assert api.post(an_event(user_id, costEUR=None, costUSD=0.0064)).status == 201
    wait_until(lambda: bool(api.impact.usage(user_id)["days"]), "a rollup by itself")
    [day] = api.impact.usage(user_id)["days"]
    assert day["unconverted"] == 0
    assert float(day["costEUR"]) == pytest.approx(0.0064 / float(day["fxRate"]))

    second = [*COMMAND, *local.arguments(tmp_path / "second.env")]
    refused = subprocess.run(second, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"Port {local.ports[0]} is taken")

    local.process.send_signal(signal.SIGTERM)
    assert local.process.wait(PATIENCE_SECONDS) == 0
    assert not local.env_file.exists()
    for port in local.ports:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.long
def test_ctrl_c_while_it_starts_leaves_nothing(tmp_path: Path) -> None:
    ports = [free_port(), free_port()]
    arguments = Running(None, ports, tmp_path).arguments(tmp_path / ".local.env")  # type: ignore[arg-type]
    with child([*COMMAND, *arguments], cwd=PROJECT, stdout=subprocess.PIPE) as process:
        assert process.stdout
        for line in process.stdout:
            if "Deploying" in line:
                break
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_SECONDS) == 0
    for port in ports:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
