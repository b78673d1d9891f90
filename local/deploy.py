"""`make deploy`: deploy the built stack to AWS.

The first deployment asks for some parameters and creates the tokens. It takes over the tables that an earlier
stack of this name has left, if the operator agrees. Later deployments ask nothing: CloudFormation keeps each
parameter that is not given. Before it deploys, the command says from which day on a changed ShardCount,
ReportingTimeZone or RetentionDays takes effect. If a parameter is invalid, nothing is deployed.
"""

import argparse
import os
import secrets
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from impact.day_settings import InvalidSettings
from local import PROJECT
from local.deploy_preview import DAY_PARAMETERS, CannotDeploy, describe, preview
from local.deployed_stack import (
    FoundStack,
    cannot_call,
    delete_stack,
    find_stack,
    holds_only,
    is_empty,
    parameters_of,
    store_of,
)
from local.left_tables import TABLES, find_tables, take_over
from local.questions import agreed
from local.stack.sam import override
from local.stack.stack import sha256
from local.template_parameters import InvalidParameter, check, declare_parameters, defaults, parse

QUESTIONS = {
    "ReportingTimeZone": ("Time zone in which a day begins, such as Europe/Berlin", "UTC"),
    "RetentionDays": ("Days for which each request is kept (summaries are kept for good)", "400"),
}

TOKEN_LISTS = {
    "IngestTokenHashes": "ingest token (IMPACT_SERVICE_TOKEN of the LiteLLM proxy)",
    "ReadTokenHashes": "read token   (dashboards, scripts)                       ",
}
TOKENS = """
These tokens are shown only once; the stack stores only their SHA-256. Keep them with your secrets.

"""
_DELETE = "run `aws cloudformation delete-stack --stack-name {stack}` (its tables stay), then deploy again."
BLOCKED = {
    "DELETE_FAILED": _DELETE,
    "ROLLBACK_FAILED": _DELETE,
    "UPDATE_ROLLBACK_FAILED": "run `aws cloudformation continue-update-rollback --stack-name {stack}` first.",
}
"""States that only an operator can end, and how."""
FAILED = """
The deployment failed; the cause is the first FAILED above. Nothing that is stored was deleted.
Remove the cause and run `make deploy` again."""


def main() -> int:
    arguments = _arguments()
    try:
        given = parse(arguments.words + arguments.parameters)
        return _deploy(arguments.stack, arguments.template, given, yes=arguments.yes)
    except (InvalidParameter, CannotDeploy, InvalidSettings) as error:
        print(f"Nothing was deployed. {error}", file=sys.stderr)
    except (BotoCoreError, ClientError) as error:
        print(cannot_call(error), file=sys.stderr)
    return 1


def _deploy(stack: str, template: str, given: dict[str, str], *, yes: bool) -> int:
    """Say what is about to change, and deploy.

    Raises InvalidParameter, CannotDeploy, InvalidSettings, BotoCoreError and ClientError.
    """
    session = boto3.Session(region_name=os.environ.get("AWS_REGION"))
    account = session.client("sts").get_caller_identity()["Account"]
    found = find_stack(session, stack)
    _check_status(stack, found)
    current = parameters_of(found)
    # Flushed: in a pipe it would otherwise appear only after the output of `sam`.
    print(
        f"{'Stack' if current else 'New stack'} {stack} in {session.region_name}, account {account}",
        flush=True,
    )
    tokens: dict[str, str] = {}
    if current:
        _print_preview(session, stack, defaults() | current, defaults() | current | given)
    else:
        tokens = {name: secrets.token_urlsafe(32) for name in TOKEN_LISTS if name not in given}
        given = _prepare_new_stack(session, stack, found, given, yes=yes)
        given = {name: sha256(token) for name, token in tokens.items()} | given
    if _sam_deploy(template, stack, str(session.region_name), given):
        print(FAILED, file=sys.stderr)
        return 1
    deployed = parameters_of(find_stack(session, stack))
    if any(deployed.get(name) != sha256(token) for name, token in tokens.items()):
        print("Nothing was deployed: the change set was not confirmed.", file=sys.stderr)
        return 1
    if tokens:
        print(TOKENS, *(f"  {TOKEN_LISTS[name]}  {token}\n" for name, token in tokens.items()), sep="")
    return 0


def _check_status(stack: str, found: FoundStack | None) -> None:
    """Raise CannotDeploy if CloudFormation cannot change the stack now."""
    status = found["StackStatus"] if found else ""
    if status in BLOCKED:
        raise CannotDeploy(f"The stack {stack} is {status}: {BLOCKED[status].format(stack=stack)}")
    if found and status.endswith("_IN_PROGRESS") and not is_empty(found):
        raise CannotDeploy(f"The stack {stack} is {status}: wait until that has ended.")


def _prepare_new_stack(
    session: boto3.Session, stack: str, found: FoundStack | None, given: dict[str, str], *, yes: bool
) -> dict[str, str]:
    """Ask for the parameters, and take over the tables that an earlier stack has left. Return the parameters.

    Raises InvalidParameter, CannotDeploy, InvalidSettings, BotoCoreError and ClientError.
    """
    tables = find_tables(session, stack)
    if found and not holds_only(session, found, TABLES):
        raise CannotDeploy(f"The stack {stack} is not of this service: it has no parameters. STACK=...")
    if tables:
        names = ", ".join(table["TableName"] for table in tables.values())
        print(f"An earlier stack has left {names}. The new stack takes them over, with all that is in them.")
        if not (yes or agreed("Take them over?")):
            raise CannotDeploy(
                "Run it in a terminal and say y, or give yes=1. Or give the stack another name: STACK=..."
            )
    kept = _settings_kept(session, stack) if "State" in tables else {}
    given = _answers(given, kept) | given
    check(given)
    if kept:
        _print_preview(session, stack, defaults() | kept, defaults() | given)
    if found:  # it has tables at most, which stay
        print(f"Deleting the empty stack of an earlier deployment: {found['StackStatus']}", flush=True)
        delete_stack(session, found)
    if tables:
        take_over(session, stack, tables)
    return given


def _settings_kept(session: boto3.Session, stack: str) -> dict[str, str]:
    """The settings of the newest days in the tables that are taken over; nothing before the first event."""
    periods = store_of(session, stack).state.periods()
    return describe(periods[-1].settings) if periods else {}


def _print_preview(
    session: boto3.Session, stack: str, current: dict[str, str], requested: dict[str, str]
) -> None:
    """Print when each change takes effect. Also check those that a plain `sam deploy` has set."""
    check({name: requested[name] for name in DAY_PARAMETERS})
    for line in preview(store_of(session, stack), current, requested, datetime.now(UTC)):
        print(line, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        usage='make deploy [STACK=impact] [yes=1] [PARAMETERS="Name=value ..."]', description=__doc__
    )
    parser.add_argument("--stack", default="impact")
    parser.add_argument(
        "--yes", action="store_true", help="take over tables that are there, without a question"
    )
    parser.add_argument("--template", default=".aws-sam/build/template.yaml", help="as built")
    declare_parameters(parser)
    return parser.parse_args()


def _answers(given: dict[str, str], kept: dict[str, str]) -> dict[str, str]:
    """Ask for what was not given. Without a terminal: what the tables have, else the defaults."""
    if not sys.stdin.isatty():
        return kept
    questions: Any = {name: question for name, question in QUESTIONS.items() if name not in given}
    offered = {name: kept.get(name, default) for name, (_, default) in questions.items()}
    return kept | {
        name: input(f"{text} [{offered[name]}]: ") or offered[name] for name, (text, _) in questions.items()
    }


def _sam_deploy(template: str, stack: str, region: str, parameters: dict[str, str]) -> int:
    command = [sys.executable, "-m", "samcli", "deploy", "--config-file", str(PROJECT / "samconfig.toml")]
    command += ["--template-file", template, "--stack-name", stack, "--region", region]
    if not sys.stdin.isatty():
        command.append("--no-confirm-changeset")
    if parameters:
        command += ["--parameter-overrides", *(override(name, value) for name, value in parameters.items())]
    return subprocess.run(command, cwd=PROJECT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
