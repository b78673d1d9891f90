"""Each command of the Makefile that works on a deployed stack, with `make local` in place of AWS."""

import json
import os
import subprocess
import urllib.request
from collections import Counter
from pathlib import Path

import boto3
import pytest

from impact_cli.table import visible
from tests.commands.commands import assert_unchanged, make
from tests.e2e.api import an_event, day

pytestmark = pytest.mark.long

COMMANDS = {
    "local": "",
    "months": "days=3 users=4",
    "rollup": f"day={day(1)}",
    "rate": "date=2012-01-03 usd=1.3014 reason=old yes=1",
    "replay": "",
    "erase": "user=nobody",
    "put-back": "from=restored to=impact-State",
    "deploy": "STACK=second",
    "revert-drift": "yes=1",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_works_and_changes_no_file(project: Path, local: dict[str, str], name: str) -> None:
    if name != "local":  # it runs already
        assert make(project, name, COMMANDS[name], **local)
    assert_unchanged(project)


TYPED = [
    "$(touch ran)",
    "$(shell touch ran)",
    "`touch ran`",
    "$HOME",
    "$$",
    "-rf",
    "--yes",
    "'\"",
    "a%#b",
    "🌳",
]
LEFT = ["alice", "$", "-r", "a%", "a%25#b", "x" * 255]
"""Users whose ids could be confused with the others."""


def test_exactly_one_user_is_erased_and_nothing_runs(project: Path, local: dict[str, str]) -> None:
    by_environment, by_pipe = ["two\nlines", "x" * 256], [" $(touch ran)\t", "; touch ran"]
    users = Counter([*TYPED, *by_environment, *by_pipe, *LEFT])
    before = ledger(local)  # `make months` may have run
    send(local, [an_event(user_id) for user_id in users])
    for user_id in TYPED:
        assert erased(project, local, user_id, f"user={user_id}")
        assert ledger(local) - before == users - Counter([user_id])
        del users[user_id]
    for user_id in by_environment:
        assert erased(project, local, user_id, user=user_id)
        assert ledger(local) - before == users - Counter([user_id])
        del users[user_id]
    for user_id in by_pipe:
        assert erased(project, local, user_id, piped=f"{user_id}\nignored\n")
        assert ledger(local) - before == users - Counter([user_id])
        del users[user_id]
    assert_unchanged(project)


def send(local: dict[str, str], events: list[dict[str, object]]) -> None:
    headers = {"Authorization": f"Bearer {local['IMPACT_SERVICE_TOKEN']}", "Content-Type": "application/json"}
    request = urllib.request.Request(local["IMPACT_SERVICE_URL"], json.dumps(events).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        assert json.load(response)["created"] == len(events)


def erased(
    project: Path, local: dict[str, str], user_id: str, *arguments: str, piped: str = "", **environment: str
) -> bool:
    """Run `make erase`, and tell whether it reports that exactly the one event of this user was deleted."""
    ran = subprocess.run(
        ["make", "erase", "yes=1", *arguments],
        cwd=project, env=os.environ | local | environment, input=piped,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return (
        ran.stdout.startswith(f"'{visible(user_id)}': 1 events of 1 days and ") and "Deleted." in ran.stdout
    )


def ledger(local: dict[str, str]) -> Counter[str]:
    dynamodb = boto3.client(
        "dynamodb",
        endpoint_url=local["AWS_ENDPOINT_URL"],
        region_name=local["AWS_REGION"],
        aws_access_key_id=local["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=local["AWS_SECRET_ACCESS_KEY"],
    )
    items = dynamodb.scan(TableName="impact-RequestEvents", ConsistentRead=True)["Items"]
    return Counter(item["userId"]["S"] for item in items)
