"""`impact token`: create, list and revoke tokens."""

import sys

import click

from impact_cli.output import note, show, with_format
from impact_cli.table import table
from impact_cli.target import TOKENS, Target, with_target

KINDS = {
    "ingest": "may send events: IMPACT_SERVICE_TOKEN of the LiteLLM proxy",
    "read": "may read summaries: IMPACT_READ_TOKEN, dashboards, scripts",
    "mcp": "may ask the MCP tools for any user: IMPACT_MCP_TOKEN of LibreChat",
}
CAN = {"ingest": "send events", "read": "read", "mcp": "ask the MCP tools by a server"}


@click.group()
def command() -> None:
    """Create, list and revoke the tokens of the API. Needs AWS credentials.

    The stack holds only their SHA-256. Several are valid at once: to rotate one, create the new one, give it
    to whoever needs it, and revoke the old one.
    """


@command.command(short_help="create a token, and print it once")
@click.argument("kind", type=click.Choice(tuple(KINDS)))
@with_target
def new(kind: str, target: Target) -> None:
    """Create a token, and print it once.

    With it one may send events (ingest), read summaries (read), or run a server whose users ask the MCP tools
    (mcp).

    \b
    Example:
      impact token new read
    """
    from impact_cli.tokens import StoredToken, add_token, new_token, sha256

    token = new_token()
    add_token(target.session(), target.stack, kind, token)
    name = StoredToken(kind, sha256(token)).name
    note(f"A new {kind} token, {name} in `impact token list`. It {KINDS[kind]}.")
    note("It is shown only once. Keep it with your secrets:")
    print(token)


@command.command("list", short_help="list the tokens by their SHA-256")
@with_format
@with_target
def list_(form: str, target: Target) -> None:
    """List the tokens that the stack accepts, each by the first digits of its SHA-256.

    Nobody can make a token of these digits. `impact token revoke` takes them.
    """
    from impact_cli.tokens import sha256, stored_tokens

    known = {sha256(value): field for field in TOKENS if (value := getattr(target, field))}
    rows = [
        {"kind": token.kind, "sha256": token.name, "here": token.sha256 in known}
        for token in stored_tokens(target.session(), target.stack)
    ]
    columns = {
        "kind": lambda row: str(row["kind"]),
        "SHA-256": lambda row: str(row["sha256"]),
        "": lambda row: f"the one in {target.source}" if row["here"] else "",
    }
    show(
        form,
        document=lambda: rows,
        records=lambda: rows,
        columns=("kind", "sha256", "here"),
        table=lambda: table(rows, columns, left=3) if rows else "No tokens: nobody can send or read.",
    )


@command.command(short_help="take a token back")
@click.argument("name", metavar="SHA256")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_target
def revoke(name: str, yes: bool, target: Target) -> None:
    """Revoke the token whose SHA-256 begins with these digits (see `impact token list`).

    Whoever still uses it gets 403: after five minutes at most, for API Gateway remembers tokens that long.

    \b
    Example:
      impact token revoke 3f9a2c81d07e
    """
    from impact_cli.questions import agreed
    from impact_cli.tokens import find_token, revoke_token, stored_tokens

    tokens = stored_tokens(target.session(), target.stack)
    token = find_token(tokens, name)
    last = len([other for other in tokens if other.kind == token.kind]) == 1
    warning = f" It is the last one: nobody can {CAN[token.kind]} then."
    if not (yes or agreed(f"Revoke the {token.kind} token {token.name}?{warning if last else ''}")):
        advice = "" if sys.stdin.isatty() else " Without a terminal, confirm with --yes."
        raise click.ClickException(f"Nothing was revoked.{advice}")
    revoke_token(target.session(), target.stack, token)
    print(f"Revoked: the {token.kind} token {token.name}.")
