"""SAM CLI with real Lambda containers and DynamoDB Local. If one is missing, the tests are skipped."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config

from impact.store import Store
from local import PROJECT
from local.fake_ecb import published, serving
from local.stack import free_port
from local.template import template as parsed_template
from local.waiting import wait_until
from tests.tables import drop_tables, make_tables

DYNAMODB_LOCAL = os.environ.get("DYNAMODB_LOCAL_URL", "http://localhost:8000")
IMAGE = "public.ecr.aws/lambda/python:3.13-x86_64"
BY_HAND = {"2026-11-19": Decimal("1.1172"), "2026-11-20": Decimal("1.1172")}
"""The rates that events/rates-*.json store. They are the ECB's, so they change no results."""


@dataclass(frozen=True)
class SamLocal:
    """The built template, and a file with the functions' environment: the database and its tables."""

    template: Path
    env_vars: Path

    def command(self, *arguments: str) -> list[str]:
        """`sam local ...` with samconfig.toml, except for the functions' environment."""
        return [
            *(sys.executable, "-m", "samcli", "local", *arguments),
            f"--config-file={PROJECT / 'samconfig.toml'}",
            f"--template={self.template}",
            f"--env-vars={self.env_vars}",
        ]

    def invoke(self, function: str, event: Path) -> Any:
        """`sam local invoke FUNCTION -e EVENT`, in a container of its own."""
        command = self.command("invoke", function, f"--event={event}")
        ran = subprocess.run(
            command, cwd=PROJECT, env=environment(), capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    @contextmanager
    def serving(self, *arguments: str, port: int) -> Iterator[str]:
        """Run `sam local start-...`, on an address that containers can reach; yields its URL."""
        command = self.command(*arguments, "--host=0.0.0.0", f"--port={port}")
        log = self.env_vars.with_name(f"{arguments[0]}.log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=PROJECT,
                env=environment(),
                stdout=output,
                stderr=output,
                preexec_fn=heed_interrupts,  # noqa: PLW1509  # it takes no lock
            )
            try:
                wait_until(lambda: process.poll() is not None or listens("127.0.0.1", port), str(log))
                assert process.poll() is None, log.read_text()
                yield f"http://127.0.0.1:{port}"
            finally:
                process.send_signal(signal.SIGINT)  # it stops its containers
                process.wait(60)


def heed_interrupts() -> None:
    """Restore the handling of SIGINT: background jobs of a shell, and their children, ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def environment() -> dict[str, str]:
    """This process's environment without the variables that `sam local` would pass on to the functions."""
    resources = parsed_template()["Resources"].values()
    sections = [parsed_template()["Globals"]["Function"], *(resource["Properties"] for resource in resources)]
    declared = {name for section in sections for name in section.get("Environment", {}).get("Variables", {})}
    kept = {name: v for name, v in os.environ.items() if name not in declared and not name.startswith("AWS_")}
    return kept | {"SAM_CLI_TELEMETRY": "0"}


def client(service: str, endpoint_url: str) -> Any:
    """A client of a server on this machine, which needs no credentials."""
    return boto3.client(  # type: ignore[call-overload]
        service,
        endpoint_url=endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(read_timeout=120, retries={"total_max_attempts": 1}),
    )


def has_image() -> bool:
    """Tell whether Docker runs and has the image of AWS's Lambda runtime, or can pull it."""
    commands = (["docker", "image", "inspect", IMAGE], ["docker", "pull", "--quiet", IMAGE])
    return any(
        subprocess.run(command, capture_output=True, check=False).returncode == 0 for command in commands
    )


def listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


@pytest.fixture(scope="session")
def tables() -> Iterator[Store]:
    """The template's tables in DynamoDB Local."""
    address = urlsplit(DYNAMODB_LOCAL)
    if not listens(address.hostname or "", address.port or 80):
        pytest.skip(f"no DynamoDB Local at {DYNAMODB_LOCAL} (DYNAMODB_LOCAL_URL)")
    store = make_tables(client("dynamodb", DYNAMODB_LOCAL))
    yield store
    drop_tables(store)


@pytest.fixture(scope="session")
def rates_url() -> Iterator[str]:
    """A fake ECB that containers can reach, with the rates up to yesterday."""
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    last_90_days = published((yesterday - timedelta(days=89)).isoformat(), yesterday.isoformat())
    with serving("0.0.0.0") as server:
        server.publish(last_90_days | {day: usd for day, usd in BY_HAND.items() if day in last_90_days})
        yield server.url.replace("127.0.0.1", "host.docker.internal")


@pytest.fixture(scope="session")
def sam_local(tables: Store, rates_url: str, tmp_path_factory: pytest.TempPathFactory) -> SamLocal:
    """The functions, built as for AWS."""
    if not shutil.which("docker") or not has_image():
        pytest.skip(f"no Docker, or no way to {IMAGE}")
    folder = tmp_path_factory.mktemp("samlocal")
    command = [sys.executable, "-m", "samcli", "build", f"--build-dir={folder / 'build'}"]
    subprocess.run(command, cwd=PROJECT, env=environment(), check=True, capture_output=True)
    variables = json.loads((PROJECT / "local" / "sam-local.json").read_text())["Parameters"] | {
        "REQUEST_EVENTS_TABLE": tables.ledger.name,
        "DAILY_SUMMARIES_TABLE": tables.summaries.name,
        "STATE_TABLE": tables.state.name,
        "AWS_ENDPOINT_URL_DYNAMODB": f"http://host.docker.internal:{urlsplit(DYNAMODB_LOCAL).port or 80}",
        "RATES_URL": rates_url,
    }
    env_vars = folder / "env.json"
    env_vars.write_text(json.dumps({"Parameters": variables}))
    return SamLocal(folder / "build" / "template.yaml", env_vars)


@pytest.fixture(scope="session")
def lambda_(sam_local: SamLocal) -> Iterator[Any]:
    """A Lambda client of `sam local start-lambda`, which reuses its containers."""
    with sam_local.serving("start-lambda", port=free_port()) as url:
        yield client("lambda", url)
