"""AWS at its worst: microburst between a client and DynamoDB or SQS, with the faults a test asks for."""

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
"""The request is carried out, and the answer breaks off."""
UNAVAILABLE: Rule = {"error": {"code": "ServiceUnavailable", "status": 503}}
"""What SQS says in place of DynamoDB's word for throttling, which the SDK would not try again of SQS."""
FAULTS = {"throttled": THROTTLED, "broken": BROKEN, "reset": RESET, "cut off": CUT_OFF}


def of_sqs(fault: Rule) -> Rule:
    """The same kind of fault as SQS has it."""
    return UNAVAILABLE if fault == THROTTLED else fault


def slow(seconds: float) -> Rule:
    """The request waits for so long, is then carried out, and answered if anybody still listens."""
    return {"latency": seconds * 1000}


@dataclass(frozen=True)
class Proxy:
    """A microburst under way. Without a rule it hands on everything."""

    url: str

    def inject(self, fault: Rule, operation: str, **rule: Any) -> None:
        """Let calls of an operation go wrong; `rule` narrows it (microburst's README, "Rules")."""
        self._control("PATCH", "rules", [{"operation": operation} | fault | rule])

    def fired(self) -> int:
        """How many calls went wrong since the last `heal`."""
        return len(self._control("GET", "fired"))

    def heal(self) -> int:
        """End all faults; how many calls went wrong."""
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
    """Run microburst before an AWS of this machine.

    With `--resign` calls are made as the account's root: a signature holds for the address it was made for.
    """
    port = free_port()
    command = [sys.executable, "-m", "microburst", "--upstream", upstream, "--port", str(port), *options]
    with running_process(command, os.environ | ROOT, log) as process:
        proxy = Proxy(f"http://127.0.0.1:{port}")
        await_answer(f"{proxy.url}/_microburst/health")
        _warm_up(proxy)
        yield proxy
        process.kill()  # asked to end, it would wait for its clients


def _warm_up(proxy: Proxy) -> None:
    """Let it read botocore's models, which takes seconds, before somebody waits for its first error."""
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
    """Run moto as a server of its own: DynamoDB for the tests where there is no Java."""
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
