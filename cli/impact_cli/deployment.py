"""Deploying the stack to AWS, from a checkout.

The first deployment asks for some parameters and creates the tokens. It takes over the tables that an earlier
stack of this name has left, if the operator agrees. Later deployments ask nothing: CloudFormation keeps each
parameter that is not given. Before it deploys, the command says from which day on a changed ShardCount,
ReportingTimeZone or RetentionDays takes effect. If a parameter is invalid, nothing is deployed.
"""

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3

from impact_cli.deploy_preview import DAY_PARAMETERS, CannotDeploy, describe, preview
from impact_cli.deployed_stack import (
    FoundStack,
    delete_stack,
    find_stack,
    holds_only,
    is_empty,
    parameters_of,
    store_of,
)
from impact_cli.left_tables import TABLES, find_tables, take_over
from impact_cli.output import note
from impact_cli.questions import agreed, answer
from impact_cli.template import checkout
from impact_cli.template_parameters import check, defaults, override
from impact_cli.tokens import new_token, sha256

QUESTIONS = {
    "ReportingTimeZone": ("Time zone in which a day begins, such as Europe/Berlin", "UTC"),
    "RetentionDays": ("Days for which each request is kept (summaries are kept for good)", "400"),
}

LABELS = {
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
Remove the cause and run `impact deploy` again."""


def deploy(
    session: boto3.Session, stack: str, template: str | None, given: dict[str, str], *, yes: bool
) -> int:
    """Say what is about to change, and deploy. Without a `template` as built, build the checkout first.

    Return the exit code. Raises InvalidParameter, CannotDeploy, InvalidSettings, BotoCoreError, ClientError.
    """
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
        tokens = {name: new_token() for name in LABELS if name not in given}
        given = _prepare_new_stack(session, stack, found, given, yes=yes)
        given = {name: sha256(token) for name, token in tokens.items()} | given
    if _sam_deploy(session, template or str(_build()), stack, given):
        note(FAILED)
        return 1
    deployed = parameters_of(find_stack(session, stack))
    if any(deployed.get(name) != sha256(token) for name, token in tokens.items()):
        note("Nothing was deployed: the change set was not confirmed.")
        return 1
    if tokens:
        print(TOKENS, *(f"  {LABELS[name]}  {token}\n" for name, token in tokens.items()), sep="")
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
        raise CannotDeploy(f"The stack {stack} is not of this service: it has no parameters. --stack ...")
    if tables:
        names = ", ".join(table["TableName"] for table in tables.values())
        print(f"An earlier stack has left {names}. The new stack takes them over, with all that is in them.")
        if not (yes or agreed("Take them over?")):
            raise CannotDeploy(
                "Run it in a terminal and say y, or give --yes. Or give the stack another name: --stack ..."
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


def _answers(given: dict[str, str], kept: dict[str, str]) -> dict[str, str]:
    """Ask for what was not given. Without a terminal: what the tables have, else the defaults."""
    if not sys.stdin.isatty():
        return kept
    questions: Any = {name: question for name, question in QUESTIONS.items() if name not in given}
    offered = {name: kept.get(name, default) for name, (_, default) in questions.items()}
    return kept | {
        name: answer(f"{text} [{offered[name]}]: ") or offered[name] for name, (text, _) in questions.items()
    }


def _build() -> Path:
    """Build the checkout, and return the built template. Raises CannotDeploy."""
    if subprocess.run([_sam(), "build"], cwd=checkout(), env=_environment(), check=False).returncode:
        raise CannotDeploy("The build failed: see above.")
    return checkout() / ".aws-sam" / "build" / "template.yaml"


def _sam_deploy(session: boto3.Session, template: str, stack: str, parameters: dict[str, str]) -> int:
    command = [_sam(), "deploy", "--config-file", str(checkout() / "samconfig.toml")]
    command += ["--template-file", template, "--stack-name", stack, "--region", str(session.region_name)]
    if session.profile_name != "default":
        command += ["--profile", session.profile_name]
    if not sys.stdin.isatty():
        command.append("--no-confirm-changeset")
    if parameters:
        command += ["--parameter-overrides", *(override(name, value) for name, value in parameters.items())]
    return subprocess.run(command, cwd=checkout(), env=_environment(), check=False).returncode


def _sam() -> str:
    """SAM CLI: the one beside this command, or on the PATH. Raises CannotDeploy."""
    found = shutil.which("sam", path=_environment()["PATH"])
    if not found:
        raise CannotDeploy("SAM CLI is missing. `make deploy` installs it, or: pip install aws-sam-cli")
    return found


def _environment() -> dict[str, str]:
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    return {**os.environ, "PATH": path, "SAM_CLI_TELEMETRY": "0"}
