"""The stack on MiniStack: deploy it, call its functions, read its logs."""

import json
import secrets
import socket
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from impact_cli.deployed_stack import physical_id
from impact_cli.template_parameters import override
from impact_cli.tokens import sha256
from impact_client import Impact
from local import PROJECT
from local.stack.api_routes import make_routes
from local.stack.ministack import REGION, ROOT, aws_environment, running_ministack
from local.stack.reverse_proxy import running_reverse_proxy
from local.stack.sam import SCRATCH, build, sam
from local.stack.table_settings import complete_tables
from local.waiting import PATIENCE_SECONDS, wait_until

SCHEDULED = {"source": "aws.scheduler", "detail-type": "Scheduled Event", "detail": "{}"}
"""The relevant part of the payload with which EventBridge Scheduler calls a function."""

LOCAL_SHARDS = 2
LOCAL_WORKERS = 2
"""Workers at a time; each is a process on this machine."""

Progress = Callable[[str], None]


def free_port() -> int:
    """Find a port of the loopback interface that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class Stack:
    """A stack on MiniStack."""

    endpoint_url: str
    build: Path
    name: str = "impact"
    ingest_token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    read_token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    mcp_token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    api_id: str = ""
    api_url: str = ""
    """URL before the routes: `http://localhost:3090`."""
    outputs: dict[str, str] = field(default_factory=dict)

    @property
    def request_events_table(self) -> str:
        return self.outputs["RequestEventsTable"]

    @property
    def daily_summaries_table(self) -> str:
        return self.outputs["DailySummariesTable"]

    @property
    def state_table(self) -> str:
        return self.outputs["StateTable"]

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables with the stack's addresses and tokens: the content of `.local.env`."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            **ROOT,
            "AWS_DEFAULT_REGION": REGION,  # what boto3 reads, in place of AWS_REGION
            "IMPACT_STACK": self.name,
            "IMPACT_SERVICE_URL": f"{self.api_url}/api/request-event",
            "IMPACT_SERVICE_TOKEN": self.ingest_token,
            "IMPACT_READ_TOKEN": self.read_token,
            "IMPACT_MCP_TOKEN": self.mcp_token,
        }

    @property
    def impact(self) -> Impact:
        """A client of its API, with both tokens."""
        return Impact(self.api_url, read_token=self.read_token, ingest_token=self.ingest_token)

    @cached_property
    def session(self) -> boto3.Session:
        return session_at(self.endpoint_url)

    def client(self, service: str) -> Any:
        return self.session.client(service)  # type: ignore[call-overload]

    def deploy(self, **parameters: object) -> None:
        """Create or update the stack. Parameters not given stay as they were."""
        tokens = {
            "IngestTokenHashes": sha256(self.ingest_token),
            "ReadTokenHashes": sha256(self.read_token),
            "McpTokenHashes": sha256(self.mcp_token),
        }
        overrides = [override(name, value) for name, value in (tokens | parameters).items()]
        sam(
            "deploy",
            f"--config-file={PROJECT / 'samconfig.toml'}",
            f"--template-file={self.build / 'template.yaml'}",
            f"--stack-name={self.name}",
            f"--region={REGION}",
            "--no-confirm-changeset",
            "--parameter-overrides",
            *overrides,
            environment=aws_environment(self.endpoint_url) | {"SAM_CLI_POLL_DELAY": "0.2"},
        )
        [described] = self.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
        self.api_id = make_routes(self.session, self.name)
        complete_tables(self.session, self.name)

    def physical_id(self, logical_id: str) -> str:
        """Look up the name (or URL) that a resource of template.yaml has in this stack."""
        return physical_id(self.session, self.name, logical_id)

    def invoke(self, function: str, payload: object) -> Any:
        """Call a function, by its logical id, and return its response. Raises FunctionFailed."""
        response = self.client("lambda").invoke(
            FunctionName=self.physical_id(function), Payload=json.dumps(payload).encode()
        )
        content = json.loads(response["Payload"].read() or "null")
        if "FunctionError" in response:
            raise FunctionFailed(function, content)
        return content

    def update_rates(self) -> Any:
        """Update the fx rates, and return what was stored. Raises FunctionFailed.

        On AWS the schedule runs as soon as it is created, on MiniStack an hour later.
        """
        return self.invoke("RatesFunction", SCHEDULED)

    def rollup(self, day: str | None = None, *, seconds: float = PATIENCE_SECONDS) -> Any:
        """Run the rollup, for all due days or one day, and wait until the totals have all events stored now.

        A message whose worker fails comes back only after an hour and a half. So missing (day, shard)s are
        recomputed by direct calls now and then. Return the planner's response. Raises FunctionFailed,
        TimeoutError.
        """
        stored = self._stored_events()
        planned = self.invoke("RollupFunction", {"day": day} if day else SCHEDULED)
        due = {key: number for key, number in stored.items() if key.partition("#")[0] in planned["days"]}

        def missing() -> list[str]:
            return [key for key, number in due.items() if self._summed_events(key) < number]

        def call_again() -> None:
            for key in missing():
                of, shard = key.split("#")
                with suppress(FunctionFailed):  # a test may make it fail for a while
                    self.invoke("RollupWorkerFunction", {"day": of, "shard": int(shard)})

        wait_until(
            lambda: not missing(), f"totals of {len(due)} (day, shard)s", again=call_again, seconds=seconds
        )
        return planned

    def _stored_events(self) -> Counter[str]:
        """Count the ledger's events by (day, shard)."""
        pages = (
            self.client("dynamodb")
            .get_paginator("scan")
            .paginate(
                TableName=self.request_events_table, ProjectionExpression="dayShard", ConsistentRead=True
            )
        )
        return Counter(item["dayShard"]["S"] for page in pages for item in page["Items"])

    def _summed_events(self, day_shard: str) -> int:
        """The number of events in the total of a (day, shard); -1 without a total."""
        item = self.client("dynamodb").get_item(
            TableName=self.state_table,
            Key={"kind": {"S": "total"}, "key": {"S": day_shard}},
            ConsistentRead=True,
        )
        return int(item["Item"]["requests"]["N"]) if "Item" in item else -1

    def log_lines(self) -> Iterator[str]:
        """Yield all log lines of the stack's functions."""
        logs = self.client("logs")
        for groups in logs.get_paginator("describe_log_groups").paginate():
            for group in groups["logGroups"]:
                pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"])
                yield from (event["message"] for page in pages for event in page["events"])


class FunctionFailed(Exception):
    """A function raised an error; `reason` is its message."""

    def __init__(self, function: str, content: Any):
        super().__init__(f"{function}: {content}")
        self.reason = str(content.get("errorMessage", content) if isinstance(content, dict) else content)


def session_at(endpoint_url: str) -> boto3.Session:
    """Make a session whose clients call a MiniStack as the account's root."""
    return _Session(
        endpoint_url,
        aws_access_key_id=ROOT["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=ROOT["AWS_SECRET_ACCESS_KEY"],
        region_name=REGION,
    )


class _Session(boto3.Session):
    def __init__(self, endpoint_url: str, **credentials: str):
        super().__init__(**credentials)  # type: ignore[arg-type]
        self.endpoint_url = endpoint_url

    def client(self, *arguments: Any, **options: Any) -> Any:
        patient: Any = {"endpoint_url": self.endpoint_url, "config": Config(read_timeout=PATIENCE_SECONDS)}
        return super().client(*arguments, **patient | options)

    def resource(self, *arguments: Any, **options: Any) -> Any:
        return super().resource(*arguments, **{"endpoint_url": self.endpoint_url} | options)


@contextmanager
def running_stack(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    ministack_port: int = 0,
    progress: Progress = lambda _: None,
    **parameters: object,
) -> Iterator[Stack]:
    """Build the stack, start MiniStack, deploy, and serve the API until the end of the block.

    `host` is the address that the API listens on. Ports that are not given are free ones. `parameters` are
    the template's. Raises RuntimeError.
    """
    SCRATCH.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="stack-", dir=SCRATCH) as scratch:
        folder = Path(scratch)
        progress("Building the functions for this machine's Python")
        built = build(folder / "build")
        progress("Starting MiniStack, an AWS on this machine")
        with running_ministack(ministack_port or free_port(), folder / "ministack.log") as endpoint_url:
            stack = Stack(endpoint_url, build=built)
            progress("Deploying template.yaml to it with sam deploy")
            stack.deploy(**{"ShardCount": LOCAL_SHARDS, "RollupConcurrency": LOCAL_WORKERS} | parameters)
            with running_reverse_proxy(port, endpoint_url, stack.api_id, host=host) as stack.api_url:
                yield stack
