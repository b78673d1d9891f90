"""A proxy that injects faults (microburst) between a client and DynamoDB or SQS."""

import json
import os
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from local.process import running_process
from local.stack.ministack import ROOT
from local.stack.stack import free_port
from local.waiting import wait_until

Rule = dict[str, Any]

THROTTLED: Rule = {"error": {"code": "ProvisionedThroughputExceededException", "status": 400}}
BROKEN: Rule = {"error": {"code": "InternalServerError", "status": 500}}
RESET: Rule = {"reset": True}
"""The connection breaks before the request is carried out."""
CUT_OFF: Rule = {"response": {"abort_bytes": 1}}
"""The request is carried out, and the response breaks off."""
UNAVAILABLE: Rule = {"error": {"code": "ServiceUnavailable", "status": 503}}
"""SQS's error code for throttling. From SQS, the SDK would not retry DynamoDB's."""
FAULTS = {"throttled": THROTTLED, "broken": BROKEN, "reset": RESET, "cut off": CUT_OFF}


def of_sqs(fault: Rule) -> Rule:
    """Translate a fault to SQS's error code."""
    return UNAVAILABLE if fault == THROTTLED else fault


def slow(seconds: float) -> Rule:
    """The request is carried out after so many seconds, and gets a response if the client still waits."""
    return {"latency": seconds * 1000}


@dataclass(frozen=True)
class Proxy:
    """A running microburst. Without a rule it forwards everything."""

    url: str

    def inject(self, fault: Rule, operation: str, **rule: Any) -> None:
        """Inject a fault into calls of an operation; `rule` limits it (microburst's README, "Rules")."""
        self._control("PATCH", "rules", [{"operation": operation} | fault | rule])

    def fired(self) -> int:
        """The number of calls with a fault since the last `heal`."""
        return len(self._control("GET", "fired"))

    def heal(self) -> int:
        """End all faults. Return the number of calls with a fault."""
        fired = self.fired()
        self._control("POST", "rules", [])
        self._control("DELETE", "fired")
        return fired

    def _control(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"{self.url}/_microburst/{path}",
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or "null")


@contextmanager
def faulty(upstream: str, log: Path, *options: str) -> Iterator[Proxy]:
    """Run microburst in front of an AWS emulator on this machine.

    With `--resign`, calls are signed anew as the account's root: a signature is valid for one address only.
    """
    port = free_port()
    command = [sys.executable, "-m", "microburst", "--upstream", upstream, "--port", str(port), *options]
    with running_process(command, os.environ | ROOT, log) as process:
        proxy = Proxy(f"http://127.0.0.1:{port}")
        await_answer(f"{proxy.url}/_microburst/health")
        _warm_up(proxy)
        yield proxy
        process.kill()  # SIGTERM would wait for its clients


def _warm_up(proxy: Proxy) -> None:
    """Make microburst load botocore's models, which takes seconds, before a test waits for an error."""
    once = Config(retries={"total_max_attempts": 1})
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    options: Any = keys | {"endpoint_url": proxy.url, "config": once}
    proxy.inject(BROKEN, "ListTables")
    proxy.inject(BROKEN, "ListQueues")
    with suppress(ClientError):
        boto3.client("dynamodb", **options).list_tables()
    with suppress(ClientError):
        boto3.client("sqs", **options).list_queues()
    proxy.heal()


@contextmanager
def moto_server(log: Path) -> Iterator[str]:
    """Run moto as a server: DynamoDB for the tests without DynamoDB Local."""
    port = free_port()
    with running_process([sys.executable, "-m", "moto.server", "-p", str(port)], os.environ, log):
        await_answer(url := f"http://127.0.0.1:{port}")
        yield url


def await_answer(url: str) -> None:
    def answers() -> bool:
        with suppress(OSError), urllib.request.urlopen(url, timeout=1):
            return True
        return False

    wait_until(answers, f"an answer from {url}")
