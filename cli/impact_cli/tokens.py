"""The tokens of a stack: it holds only their SHA-256, in two lists, which are parameters of the stack."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import boto3
import click
from botocore.exceptions import ClientError, WaiterError

from impact_cli.deployed_stack import POLL, NoStack, find_stack, parameters_of
from impact_cli.output import note

LISTS = {"ingest": "IngestTokenHashes", "read": "ReadTokenHashes", "mcp": "McpTokenHashes"}
"""The stack's parameters, by what their tokens are good for."""
TOKENS_MAX = {"ingest": 24, "read": 24, "mcp": 16}
"""Most tokens of a list: the environment of a function has 4 KB."""
TOKEN_BYTES = 32
SHOWN_DIGITS = 12
"""Digits of a hash that name it: nobody can make a token of them."""
DIGITS_MIN = 6
"""Fewest digits that name a token to revoke."""
CAPABILITIES: Any = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]


class CannotChangeTokens(click.ClickException):
    """The tokens are as they were. The text says why."""


@dataclass(frozen=True)
class StoredToken:
    """A token that the stack accepts."""

    kind: str
    sha256: str

    @property
    def name(self) -> str:
        return self.sha256[:SHOWN_DIGITS]


def new_token() -> str:
    return secrets.token_urlsafe(TOKEN_BYTES)


def sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def stored_tokens(session: boto3.Session, stack: str) -> list[StoredToken]:
    """Read which tokens the stack accepts. Raises NoStack, BotoCoreError, ClientError."""
    parameters = parameters_of(find_stack(session, stack))
    if not parameters:
        raise NoStack(stack, session)
    return [
        StoredToken(kind, digest)
        for kind, name in LISTS.items()
        for digest in parameters.get(name, "").split(",")
        if digest
    ]


def add_token(session: boto3.Session, stack: str, kind: str, token: str) -> None:
    """Let the stack accept a token, beside those that it has. Waits for the update.

    Raises CannotChangeTokens, BotoCoreError, ClientError.
    """
    hashes = [stored.sha256 for stored in stored_tokens(session, stack) if stored.kind == kind]
    most = TOKENS_MAX[kind]
    if len(hashes) >= most:
        raise CannotChangeTokens(f"The stack has {most} {kind} tokens, no more fit. Revoke one first.")
    _store(session, stack, kind, [*hashes, sha256(token)])


def find_token(tokens: Sequence[StoredToken], name: str) -> StoredToken:
    """Find the token whose hash begins with `name`. Raises CannotChangeTokens."""
    if len(name) < DIGITS_MIN:
        raise CannotChangeTokens(f"{name!r} is too short: give {DIGITS_MIN} digits or more of the SHA-256.")
    found = [token for token in tokens if token.sha256.startswith(name)]
    if len(found) != 1:
        problem = "No token" if not found else "More than one token"
        raise CannotChangeTokens(f"{problem} has a hash that begins with {name!r}: see `impact token list`.")
    return found[0]


def revoke_token(session: boto3.Session, stack: str, token: StoredToken) -> None:
    """Let the stack no longer accept a token. Waits for the update.

    Raises CannotChangeTokens, BotoCoreError, ClientError.
    """
    others = [t.sha256 for t in stored_tokens(session, stack) if t.kind == token.kind and t != token]
    _store(session, stack, token.kind, others)


def _store(session: boto3.Session, stack: str, kind: str, hashes: Sequence[str]) -> None:
    cloudformation = session.client("cloudformation")
    name = LISTS[kind]
    kept: Any = [
        {"ParameterKey": other, "UsePreviousValue": True}
        for other in parameters_of(find_stack(session, stack))
        if other != name
    ]
    note(f"Updating the stack {stack} ...")
    try:
        cloudformation.update_stack(
            StackName=stack,
            UsePreviousTemplate=True,
            Parameters=[*kept, {"ParameterKey": name, "ParameterValue": ",".join(hashes)}],
            Capabilities=CAPABILITIES,
        )
        cloudformation.get_waiter("stack_update_complete").wait(StackName=stack, WaiterConfig=POLL)
    except WaiterError as error:
        reason = f"the update of the stack failed; its first FAILED event says why. {error}"
        raise CannotChangeTokens(reason) from None
    except ClientError as error:
        if "IN_PROGRESS" in str(error):
            raise CannotChangeTokens(
                f"The stack {stack} is being updated: wait until that has ended."
            ) from None
        raise
