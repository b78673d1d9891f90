"""`make deploy`: deploy the built stack to AWS.

The first deployment asks for some parameters and creates the tokens. Later ones ask nothing: CloudFormation
keeps each parameter that is not given. Before it deploys, the command says from which day on a changed
ShardCount, ReportingTimeZone or RetentionDays takes effect. If a parameter is invalid, nothing is deployed.
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
from impact.store import Store
from local import PROJECT
from local.deploy_preview import DAY_PARAMETERS, CannotDeploy, preview
from local.stack.sam import override
from local.stack.stack import sha256
from local.template_parameters import InvalidParameter, check, declare_parameters, defaults, parse

QUESTIONS = {
    "ReportingTimeZone": ("Time zone in which a day begins, such as Europe/Berlin", "UTC"),
    "RetentionDays": ("Days for which each request is kept (summaries are kept for good)", "400"),
}

TOKENS = """
These tokens are shown only once; the stack stores only their SHA-256. Keep them with your secrets.

  ingest token (IMPACT_SERVICE_TOKEN of the LiteLLM proxy)  {ingest}
  read token   (dashboards, scripts)                        {read}
"""


def main() -> int:
    arguments = _arguments()
    try:
        return _deploy(arguments.stack, arguments.template, parse(arguments.words + arguments.parameters))
    except (InvalidParameter, CannotDeploy, InvalidSettings) as error:
        print(f"Nothing was deployed. {error}", file=sys.stderr)
    except (BotoCoreError, ClientError) as error:
        print(
            f"AWS cannot be called: {error}\nSet AWS_PROFILE and AWS_REGION, or run `aws configure`.",
            file=sys.stderr,
        )
    return 1


def _deploy(stack: str, template: str, given: dict[str, str]) -> int:
    """Say what is about to change, and deploy.

    Raises InvalidParameter, CannotDeploy, InvalidSettings, BotoCoreError and ClientError.
    """
    session = boto3.Session(region_name=os.environ.get("AWS_REGION"))
    account = session.client("sts").get_caller_identity()["Account"]
    current = _current_parameters(session, stack)
    is_new = current is None
    # Flushed: in a pipe it would otherwise appear only after the output of `sam`.
    print(
        f"{'New stack' if is_new else 'Stack'} {stack} in {session.region_name}, account {account}",
        flush=True,
    )
    tokens = {"ingest": secrets.token_urlsafe(32), "read": secrets.token_urlsafe(32)}
    if current is None:
        hashes = {"IngestTokenHashes": sha256(tokens["ingest"]), "ReadTokenHashes": sha256(tokens["read"])}
        given = _answers(given) | hashes | given
        check(given)
    else:
        _print_preview(session, stack, defaults() | current, defaults() | current | given)
    if _sam_deploy(template, stack, str(session.region_name), given):
        return 1
    if is_new:
        print(TOKENS.format(**tokens))
    return 0


def _print_preview(
    session: boto3.Session, stack: str, current: dict[str, str], requested: dict[str, str]
) -> None:
    """Print when each change takes effect. Also check those that a plain `sam deploy` has set."""
    check({name: requested[name] for name in DAY_PARAMETERS})
    store = Store.of(session.client("dynamodb"), events="", summaries="", state=f"{stack}-State")
    for line in preview(store, current, requested, datetime.now(UTC)):
        print(line, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        usage='make deploy [STACK=impact] [PARAMETERS="Name=value ..."]', description=__doc__
    )
    parser.add_argument("--stack", default="impact")
    parser.add_argument("--template", default=".aws-sam/build/template.yaml", help="as built")
    declare_parameters(parser)
    return parser.parse_args()


def _current_parameters(session: boto3.Session, stack: str) -> dict[str, str] | None:
    """Read the stack's parameters; None if there is no such stack."""
    try:
        [found] = session.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    if found["StackStatus"] == "REVIEW_IN_PROGRESS":  # a change set that nobody confirmed
        return None
    return {item["ParameterKey"]: item["ParameterValue"] for item in found.get("Parameters", [])}


def _answers(given: dict[str, str]) -> dict[str, str]:
    """Ask for the parameters that were not given. Without a terminal, the defaults are used."""
    if not sys.stdin.isatty():
        return {}
    questions: Any = {name: question for name, question in QUESTIONS.items() if name not in given}
    return {name: input(f"{text} [{default}]: ") or default for name, (text, default) in questions.items()}


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
