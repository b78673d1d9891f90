"""docs/runbook.md: its commands work, and what it says about alarms, names and restores is true."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from local import PROJECT
from local.stack import Stack
from local.template import resources
from local.waiting import wait_until
from request_events.outbox import Outbox
from tests.e2e.api import Api, a_user, an_event, count, day, store_of
from tests.e2e.command import impact

TEXT = (PROJECT / "docs" / "runbook.md").read_text()
PREAMBLE, *BLOCKS = re.findall(r"(?m)(?:^    .*\n|^\n(?=    ))+", TEXT)
DAY = day(2)
COSTS = [Decimal("0.00425"), Decimal("1e-7"), Decimal("12.5")]

ELSEWHERE = (
    '    logs "',
    "make deploy",
    "make replay",
    "make rate",
    "for n in",
    "begins_with",
    "read -r user",
    "-in-time",
    "to-live",
    "OUTBOX",
    "    impact ",
)
"""Commands of blocks that other tests run: deployments, dead letters, rates, and tests below."""
ONLY_AWS = ("request-service-quota-increase", "--backup-type SYSTEM")
"""Calls that MiniStack does not have: only their options are checked."""

Shell = Callable[..., str]


@pytest.fixture(scope="module")
def user_id(stack: Stack, api: Api) -> str:
    """A user with three requests on a closed day that has a summary."""
    user_id = a_user()
    events = [an_event(user_id, days_ago=2, costUSD=float(cost)) for cost in COSTS]
    for event in events:
        del event["costEUR"]
    assert api.post(events).body["created"] == len(COSTS)
    count(stack, DAY)
    return user_id


@pytest.fixture(scope="module")
def shell(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Run commands as the runbook has them, for this day, and return their output.

    They run in a folder of their own, because some write files; `make` is the project's there.
    """
    folder, programs = tmp_path_factory.mktemp("runbook"), tmp_path_factory.mktemp("bin")
    commands = {
        "aws": f"{sys.executable} {Path(__file__).with_name('aws_cli.py')}",
        "make": f"{shutil.which('make')} --silent -C {PROJECT}",
    }
    for name, command in commands.items():
        (programs / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (programs / name).chmod(0o755)
    environment = os.environ | stack.environment | {"PATH": f"{programs}:{os.environ['PATH']}"}

    def run(commands: str, typed: str = "", **more: str) -> str:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        script = PREAMBLE + commands.replace("2026-11-23T09:00:00Z", now)
        script = script.replace("2026-11-23", DAY)
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=folder,
            env=environment | more,
            input=typed,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, f"{script}\n{ran.stdout}\n{ran.stderr}"
        assert list(folder.glob("ran*")) == []
        return ran.stdout

    return run


def blocks(*words: str) -> list[str]:
    return [block for block in BLOCKS if any(word in block for word in words)]


@pytest.mark.parametrize(
    "block", [b for b in BLOCKS if b not in blocks(*ELSEWHERE)], ids=lambda block: " ".join(block.split()[:3])
)
def test_each_command_runs(shell: Shell, block: str) -> None:
    dry = {"DRY_RUN": "1"} if any(word in block for word in ONLY_AWS) else {}
    shell(block, **dry)


def test_commands_of_impact_are_right_usage(stack: Stack) -> None:
    """What they do is tested elsewhere. With wrong usage the exit code would be 2."""
    lines = re.findall(r"(?m)^    impact (.+)$", TEXT)
    assert lines
    for line in lines:
        ran = impact(stack, *shlex.split(line, comments=True), "--stack", "nowhere")
        assert (ran.code, "There is no stack nowhere" in ran.out + ran.error) == (1, True), line


def test_log_queries_find_what_they_are_for(shell: Shell, api: Api) -> None:
    [rejected] = blocks("events rejected")

    def is_found() -> bool:
        api.post(an_event(a_user(), tokens_in=-1))  # MiniStack may log it together with the next one
        return '"fields":["tokens_in"]' in shell(rejected)

    wait_until(is_found, "the line in the log")
    everywhere, *_ = blocks('    logs "')
    shell(everywhere)


def test_log_groups_in_the_runbook_exist() -> None:
    groups = {
        group["LogGroupName"]["Fn::Sub"].rsplit("/", 1)[-1]
        for group in resources("AWS::Logs::LogGroup").values()
    }
    named = [name for names in re.findall(r'(?m)^    logs "(.*?)"', TEXT) for name in names.split()]
    assert set(named) == groups - {"api"}
    assert "vendedlogs/$STACK/api" in TEXT


def test_events_in_an_outbox_can_be_counted_and_sent_again(shell: Shell, tmp_path: Path) -> None:
    lines = [json.dumps(an_event(a_user())).encode() + b"\n" for _ in range(2)]
    outbox = Outbox(tmp_path)
    for line in lines:
        outbox.append(line)
        outbox.quarantine(line, "its clock was wrong")
    outbox.close()
    resending, counting = blocks("OUTBOX")
    assert shell(counting, IMPACT_OUTBOX=str(tmp_path)).strip() == "2"
    if shutil.which("curl") is None:
        pytest.skip("no curl here")
    answer = json.loads(shell(resending, IMPACT_OUTBOX=str(tmp_path)))
    assert (answer["created"], answer["rejected"]) == (2, [])


HOSTILE = [
    "$(touch ran)`touch ran`'; touch ran; ' $HOME ",
    '"}, ":k": {"S": "',
    "--yes a#b%23c% back\\slash zoë 🌳",
]
"""Ids that a shell, an option parser, JSON or a key could misinterpret."""


def test_a_cent_can_be_explained(shell: Shell, user_id: str, stack: Stack, api: Api) -> None:
    naming, listing, adding = blocks("begins_with", "read -r user")
    asked = {user_id: COSTS} | {f"{id_}{user_id}": [Decimal(n + 1)] for n, id_ in enumerate(HOSTILE)}
    asked |= {f" {user_id}#%": [Decimal(100)]}
    events = [
        an_event(whose, days_ago=2, costUSD=int(asked[whose][0])) for whose in asked if whose != user_id
    ]
    for event in events:
        del event["costEUR"]
    assert api.post(events).body["created"] == len(events)
    count(stack, DAY)
    for whose, costs in asked.items():
        listed, total = shell(naming + listing + adding, typed=f"{whose}\n").rstrip("\n").rsplit("\n", 1)
        assert sorted(Decimal(line.split("\t")[5]) for line in listed.splitlines()) == sorted(costs)
        [summary] = api.impact.usage(whose)["days"]
        assert Decimal(total) == summary["costUSD"] == sum(costs)


def test_a_late_mark_is_listed_and_taken_away(shell: Shell, stack: Stack) -> None:
    store, now = store_of(stack), datetime.now(UTC)
    [listing], [taking] = blocks('name.startswith("since")'), blocks("REMOVE since")
    store.state.mark_late(DAY, [37], now)
    line = f"{DAY} 37 {now:%Y-%m-%d %H:%M:%S} UTC"
    assert line in shell(listing).splitlines()
    shell(taking.replace("shard=0", "shard=37"))
    assert (DAY, 37) not in store.state.marked()
    assert line not in shell(listing).splitlines()


def test_the_settings_of_days_are_shown(shell: Shell, stack: Stack) -> None:
    [block] = blocks('"settings"')
    shown = json.loads(shell(block))
    assert (
        [item["key"]["S"] for item in shown] == [p.first_day for p in store_of(stack).state.periods()] != []
    )


def test_restored_days_are_recomputed(shell: Shell, stack: Stack, user_id: str, api: Api) -> None:
    """MiniStack restores the present content, whatever time is requested: so restore before the damage."""
    [block] = blocks("restore-table-to-point-in-time")
    restore, rest = block.split("    make put-back", 1)
    shell(restore)
    ledger: Any = stack.session.resource("dynamodb").Table(stack.request_events_table)
    lost, *_ = [item for item in ledger.scan()["Items"] if item["userId"] == user_id]
    ledger.delete_item(Key={"dayShard": lost["dayShard"], "userEvent": lost["userEvent"]})
    api.post(later := an_event(user_id, days_ago=2, costEUR=1))
    count(stack, DAY)
    assert summed(api, user_id) == sum(COSTS) - lost["costUSD"]
    told = shell("    table=$STACK-RequestEvents\n    make put-back" + rest)
    assert "1 were missing" in told
    assert summed(api, user_id) == sum(COSTS)
    assert later["eventId"] in {item["eventId"] for item in ledger.scan()["Items"]}


def summed(api: Api, user_id: str) -> Any:
    [summary] = api.impact.usage(user_id)["days"]
    return summary["costUSD"]


def test_a_restored_table_gets_the_settings_that_it_lacks(shell: Shell, stack: Stack) -> None:
    dynamodb, name = stack.client("dynamodb"), f"{stack.request_events_table}-again"
    dynamodb.restore_table_to_point_in_time(
        SourceTableName=stack.request_events_table, TargetTableName=name, UseLatestRestorableTime=True
    )
    assert settings_of(dynamodb, name) == ("DISABLED", "DISABLED", False)
    [block] = blocks("update-time-to-live")
    shell(block.replace("table=$STACK-RequestEvents", f"table={name}"))
    assert settings_of(dynamodb, name) == ("ENABLED", "ENABLED", True)


def settings_of(dynamodb: Any, table: str) -> tuple[str, str, bool]:
    ttl = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    backups = dynamodb.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
    recovery = backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"]
    described = dynamodb.describe_table(TableName=table)["Table"]
    return ttl["TimeToLiveStatus"], recovery, described["DeletionProtectionEnabled"]


def test_each_alarm_has_its_section() -> None:
    headings = re.findall(r"(?m)^### (.+)$", TEXT)
    named = [name for heading in headings for name in heading.split(", ")]
    assert sorted(named) == sorted(resources("AWS::CloudWatch::Alarm"))


def test_links_within_the_page_lead_somewhere() -> None:
    headings = re.findall(r"(?m)^##+ (.+)$", TEXT)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors
