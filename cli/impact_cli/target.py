"""Which stack a command is for: its name, its API, its tokens, its AWS account.

One source is taken whole, so that no token of one stack reaches another one: the profile that the command
names; else the environment (IMPACT_...); else the profile `default` of the configuration file.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from impact_cli.config import DEFAULT, Config, config_path
from impact_cli.follow_up import remember

if TYPE_CHECKING:
    from collections.abc import Callable

    import boto3

    from impact_client import Impact

R = TypeVar("R")

DEFAULT_STACK = "impact"
TOKENS = {"read_token": "IMPACT_READ_TOKEN", "ingest_token": "IMPACT_SERVICE_TOKEN"}  # nosec B105
"""Fields of a profile that hold tokens, and their environment variables."""
ENVIRONMENT = {"url": "IMPACT_SERVICE_URL", "stack": "IMPACT_STACK", **TOKENS}


class NotFound(click.ClickException):
    """What a command needs is not configured. The text says what is missing, and how to give it."""


@dataclass(frozen=True)
class Target:
    """A stack, as far as it is configured."""

    source: str
    """Where this was found, for messages."""
    stack: str = DEFAULT_STACK
    url: str | None = None
    read_token: str | None = None
    ingest_token: str | None = None
    is_profile: bool = False
    """Whether it is of the configuration file."""
    aws_profile: str | None = None
    aws_region: str | None = None

    def reader(self) -> "Impact":
        """A client that reads. Raises NotFound."""
        return self._impact("read_token")

    def sender(self) -> "Impact":
        """A client that sends events. Raises NotFound."""
        return self._impact("ingest_token")

    def api(self) -> "Impact":
        """A client with the tokens that are configured. Raises NotFound without a URL."""
        from impact_client import Impact

        url = self.url or self._url_of_stack()
        return Impact(url, read_token=self.read_token, ingest_token=self.ingest_token)

    def session(self) -> "boto3.Session":
        """A session of boto3, with the profile and the region that are configured. Raises BotoCoreError."""
        import boto3

        if self.is_profile and os.environ.get("AWS_ENDPOINT_URL") and os.environ.get("IMPACT_SERVICE_URL"):
            raise NotFound(
                f"AWS_ENDPOINT_URL is set, as .local.env does: AWS calls would not reach the stack of"
                f" {self.source}. Use a shell without it."
            )
        from botocore.exceptions import NoRegionError

        region = self.aws_region or os.environ.get("AWS_REGION") or None
        session = boto3.Session(profile_name=self.aws_profile, region_name=region)
        if session.region_name == "":  # botocore itself says so only where the variable is not set at all
            raise NoRegionError
        return session

    def _impact(self, token: str) -> "Impact":
        from impact_client import Impact

        if not getattr(self, token):
            raise NotFound(
                f"No {token.replace('_', ' ')} of the stack {self.stack} in {self.source}."
                f" Set {TOKENS[token]}, or run `impact configure`."
            )
        tokens: dict[str, Any] = {token: getattr(self, token)}
        return Impact(self.url or self._url_of_stack(), **tokens)

    def _url_of_stack(self) -> str:
        """Look the URL up in the stack's outputs. Raises NotFound."""
        from botocore.exceptions import BotoCoreError, ClientError

        from impact_cli.deployed_stack import find_stack

        try:
            found = find_stack(self.session(), self.stack)
        except (BotoCoreError, ClientError) as error:
            raise NotFound(
                f"No URL of the stack {self.stack} in {self.source}, and AWS cannot be asked for it: {error}"
                " Set IMPACT_SERVICE_URL, or run `impact configure`."
            ) from None
        for output in (found or {}).get("Outputs", []):
            if output["OutputKey"] == "ApiUrl":
                return str(output["OutputValue"])
        raise NotFound(f"There is no stack {self.stack} in this AWS account and region.")


def find(
    profile: str | None, stack: str | None, environment: Mapping[str, str], config: Config, path: Path
) -> Target:
    """Find the target that options, environment and configuration file name. Raises NotFound."""
    profile = profile or environment.get("IMPACT_PROFILE")
    if profile:
        if profile not in config.profiles:
            known = ", ".join(sorted(config.profiles)) or "none"
            raise NotFound(f"There is no profile {profile!r} in {path}. It has {known}. `impact configure`")
        target = _of_profile(config, profile, path)
    elif any(environment.get(name) for name in ("IMPACT_SERVICE_URL", *TOKENS.values())):
        given: dict[str, Any] = {
            field: environment[name] for field, name in ENVIRONMENT.items() if environment.get(name)
        }
        target = Target("the environment", **given)
    elif DEFAULT in config.profiles:
        target = _of_profile(config, DEFAULT, path)
    else:
        target = Target(f"the environment and {path}")
    return _with_stack(
        target, stack or (not profile and environment.get("IMPACT_STACK")) or None, config, path
    )


def _of_profile(config: Config, name: str, path: Path) -> Target:
    values: dict[str, Any] = {**config.profiles[name]}
    return Target(f"the profile {name} of {path}", is_profile=True, **values)


def _with_stack(target: Target, stack: str | None, config: Config, path: Path) -> Target:
    """The target of a stack: tokens of another one are left out."""
    if stack is None or stack == target.stack:
        return target
    of_stack = [name for name, values in config.profiles.items() if values.get("stack") == stack]
    if len(of_stack) == 1:
        return _of_profile(config, of_stack[0], path)
    source = f"the environment and {path}"
    return replace(target, source=source, stack=stack, url=None, read_token=None, ingest_token=None)


def with_target(function: "Callable[..., R]") -> "Callable[..., R]":
    """Let a command take --stack and --profile, and pass it the target as `target`."""

    @click.option("--profile", metavar="NAME", help="Profile of ~/.config/impact/config.toml.")
    @click.option("--stack", metavar="NAME", help="Name of the stack, such as impact.")
    @wraps(function)
    def command(*arguments: Any, profile: str | None, stack: str | None, **options: Any) -> R:
        chosen = click.get_current_context().find_root().obj
        path = config_path()
        target = find(
            profile or chosen["profile"], stack or chosen["stack"], os.environ, Config.read(path), path
        )
        remember(profile or chosen["profile"], stack or chosen["stack"])
        return function(*arguments, target=target, **options)

    return command
