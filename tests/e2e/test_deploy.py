"""`make deploy` where something is left: the tables of an earlier stack, a first deployment that failed."""

import re
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from impact.calendar import Calendar, Settings
from impact_cli.deployed_stack import store_of
from impact_cli.left_tables import TABLES
from impact_cli.template_parameters import override
from impact_cli.tokens import sha256
from local import PROJECT
from local.stack import Stack
from local.stack.ministack import REGION, aws_environment
from local.stack.sam import sam
from tests.e2e.deploying import delete, deploy
from tests.events import NOON

SETTINGS = Settings(ZoneInfo("Europe/Berlin"), timedelta(days=400), 4)
pytestmark = pytest.mark.long
BROKEN = """
Resources:
  Broken: # there is no such group
    Type: AWS::Logs::LogStream
    DependsOn: [RequestEvents, DailySummaries, State]
    Properties: { LogGroupName: /no/such/group }
"""


def parameters(stack: Stack, name: str) -> dict[str, str]:
    [found] = stack.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    return {item["ParameterKey"]: item["ParameterValue"] for item in found["Parameters"]}


def status(stack: Stack, name: str) -> str:
    [found] = stack.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    return str(found["StackStatus"])


def tokens(out: str) -> list[str]:
    return re.findall(r"token .*?\)\s+(\S{43})", out)


def test_a_new_stack_takes_over_the_tables_of_a_deleted_one(stack: Stack, name: str) -> None:
    assert deploy(stack, name, "ReportingTimeZone=Europe/Berlin", "ShardCount=4").code == 0
    store = store_of(stack.session, name)
    period = Calendar.of(SETTINGS).periods[0]
    store.state.put_first_period(period, NOON)
    store.client.put_item(TableName=store.ledger.name, Item={"dayShard": {"S": "d"}, "userEvent": {"S": "e"}})
    store.client.update_table(TableName=store.ledger.name, DeletionProtectionEnabled=False)
    delete(stack, name)

    without = deploy(stack, name)
    assert without.code == 1
    assert (
        f"An earlier stack has left {name}-RequestEvents, {name}-DailySummaries, {name}-State." in without.out
    )
    assert "Nothing was deployed. Run it in a terminal and say y, or give --yes." in without.out

    ran = deploy(stack, name, "--yes")
    assert ran.code == 0, ran.out
    assert status(stack, name) == "UPDATE_COMPLETE"
    assert store.client.scan(TableName=store.ledger.name)["Count"] == 1
    assert list(store.state.periods()) == [period]
    # The settings are those of the tables, and what was changed by hand is as the template has it again.
    kept = parameters(stack, name)
    assert (kept["ReportingTimeZone"], kept["ShardCount"]) == (SETTINGS.zone.key, str(SETTINGS.shard_count))
    assert store.client.describe_table(TableName=store.ledger.name)["Table"]["DeletionProtectionEnabled"]
    ingest, read = tokens(ran.out)
    assert (kept["IngestTokenHashes"], kept["ReadTokenHashes"]) == (sha256(ingest), sha256(read))

    again = deploy(stack, name, "MarkupPercent=5")
    assert (again.code, tokens(again.out)) == (0, [])
    assert parameters(stack, name)["IngestTokenHashes"] == sha256(ingest)


def test_a_first_deployment_that_failed_is_deployed_again(stack: Stack, name: str) -> None:
    """It failed after it had made the tables."""
    broken = stack.build / f"{name}.yaml"
    broken.write_text((stack.build / "template.yaml").read_text().replace("\nResources:\n", BROKEN))
    failed = deploy(stack, name, template=broken)
    assert failed.code == 1
    assert status(stack, name) == "ROLLBACK_COMPLETE"
    assert tokens(failed.out) == []
    assert "Nothing that is stored was deleted." in failed.out
    assert {f"{name}-{table}" for table in TABLES} <= set(
        stack.client("dynamodb").list_tables()["TableNames"]
    )

    ran = deploy(stack, name, "--yes")
    assert ran.code == 0, ran.out
    assert "Deleting the empty stack of an earlier deployment: ROLLBACK_COMPLETE" in ran.out
    assert len(tokens(ran.out)) == 2


def test_no_to_the_change_set_deploys_nothing_and_prints_no_tokens(stack: Stack, name: str) -> None:
    ran = deploy(stack, name, answers=["Europe/Berlin", "", "n"])
    assert ran.code == 1
    assert "Nothing was deployed: the change set was not confirmed." in ran.out
    assert (tokens(ran.out), status(stack, name)) == ([], "REVIEW_IN_PROGRESS")

    ran = deploy(stack, name, answers=["Europe/Berlin", "", "y"])
    assert (ran.code, len(tokens(ran.out))) == (0, 2)
    assert parameters(stack, name)["ReportingTimeZone"] == "Europe/Berlin"


def test_only_the_tokens_that_it_made_are_printed(stack: Stack, name: str) -> None:
    ran = deploy(stack, name, f"IngestTokenHashes={sha256('mine')}")
    [read] = tokens(ran.out)
    assert parameters(stack, name)["ReadTokenHashes"] == sha256(read)


def test_what_a_plain_sam_deploy_made_is_updated(stack: Stack, name: str) -> None:
    sam(
        "deploy",
        f"--config-file={PROJECT / 'samconfig.toml'}",
        f"--template-file={stack.build / 'template.yaml'}",
        f"--stack-name={name}",
        f"--region={REGION}",
        "--no-confirm-changeset",
        "--parameter-overrides",
        override("MarkupPercent", 3),
        environment=aws_environment(stack.endpoint_url) | {"SAM_CLI_POLL_DELAY": "0.2"},
    )
    ran = deploy(stack, name, "ShardCount=8")
    assert (ran.code, tokens(ran.out)) == (0, [])
    assert (parameters(stack, name)["MarkupPercent"], parameters(stack, name)["ShardCount"]) == ("3", "8")
