"""`make deploy`: the built stack to AWS. The first time it asks, and makes the tokens.

CloudFormation keeps each parameter that is not given: the next time there is nothing to ask.
"""

import argparse
import os
import secrets
import subprocess
import sys
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from local.stack.stack import PROJECT, override, sha256

QUESTIONS = {
    "ReportingTimeZone": (
        "Time zone in which a day begins (it cannot be changed once events are stored)",
        "UTC",
    ),
    "RetentionDays": ("Days for which each request is kept (summaries stay)", "400"),
}

TOKENS = """
These tokens are shown once; the stack knows only their SHA-256. Keep them where your secrets are.

  ingest token (IMPACT_SERVICE_TOKEN of the LiteLLM proxy)  {ingest}
  read token   (dashboards, scripts)                        {read}
"""


def main() -> int:
    arguments = _arguments()
    parameters = dict(parameter.split("=", 1) for parameter in arguments.parameters)
    session = boto3.Session(region_name=os.environ.get("AWS_REGION"))
    try:
        account = session.client("sts").get_caller_identity()["Account"]
        is_new = not _exists(session, arguments.stack)
    except (BotoCoreError, ClientError) as error:
        print(
            f"No way into AWS: {error}\nSet AWS_PROFILE and AWS_REGION, or run `aws configure`.",
            file=sys.stderr,
        )
        return 1
    print(
        f"{'New stack' if is_new else 'Stack'} {arguments.stack} in {session.region_name}, account {account}"
    )
    tokens = {"ingest": secrets.token_urlsafe(32), "read": secrets.token_urlsafe(32)}
    if is_new:
        hashes = {"IngestTokenHashes": sha256(tokens["ingest"]), "ReadTokenHashes": sha256(tokens["read"])}
        parameters = _answers(parameters) | hashes | parameters
    if _sam_deploy(arguments.template, arguments.stack, str(session.region_name), parameters):
        return 1
    if is_new:
        print(TOKENS.format(**tokens))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        usage='make deploy [STACK=impact] [PARAMETERS="Name=value ..."]', description=__doc__
    )
    parser.add_argument("--stack", default="impact")
    parser.add_argument("--template", default=".aws-sam/build/template.yaml", help="as built")
    parser.add_argument("parameters", nargs="*", metavar="Name=value", help="parameters of template.yaml")
    return parser.parse_args()


def _exists(session: boto3.Session, stack: str) -> bool:
    try:
        [found] = session.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return False
        raise
    return found["StackStatus"] != "REVIEW_IN_PROGRESS"  # a change set that nobody confirmed


def _answers(given: dict[str, str]) -> dict[str, str]:
    """Ask for what was not given; where nobody can answer, the defaults do."""
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
