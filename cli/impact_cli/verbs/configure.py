"""`impact configure`: write down where a stack is, and its tokens."""

import os
import sys

import click

from impact_cli.config import DEFAULT, Config, config_path, write_profile
from impact_cli.output import note
from impact_cli.target import DEFAULT_STACK, ENVIRONMENT, TOKENS

QUESTIONS = {
    "stack": "Name of the stack",
    "aws_profile": "AWS profile (empty: as for other AWS tools)",
    "aws_region": "AWS region (empty: as for other AWS tools)",
    "url": "URL of the API (empty: look it up in the stack's outputs)",
    "read_token": "Read token (not shown; empty: none)",  # nosec B105
    "ingest_token": "Ingest token, for `impact send` (not shown; empty: none)",
}


@click.command()
@click.option("--profile", default=DEFAULT, metavar="NAME", help=f"Profile to write. [{DEFAULT}]")
@click.option("--stack", help="Name of the stack.")
@click.option("--url", help="URL of the API: ApiUrl in the stack's outputs.")
@click.option("--aws-profile", help="Profile of the AWS configuration.")
@click.option("--aws-region", help="AWS region of the stack.")
def command(profile: str, **given: str | None) -> None:
    """Write a profile: the stack's name, URL, AWS profile and tokens.

    On a terminal it asks for what no option gives; tokens are typed unseen. Elsewhere tokens are those of
    IMPACT_READ_TOKEN and IMPACT_SERVICE_TOKEN: a token in an argument could be read by other users of the
    machine. Only you can read the file.

    \b
    Examples:
      impact configure
      impact configure --profile prod --stack impact-prod --aws-region eu-central-1
    """
    path = config_path()
    _check(profile, given["url"])
    former = Config.read(path).profiles.get(profile, {})
    values = {name: value for name, value in given.items() if value is not None}
    if sys.stdin.isatty():
        values |= {name: _ask(name, former) for name in QUESTIONS if name not in values}
    else:
        from_environment = {name: os.environ.get(ENVIRONMENT[name], "") for name in TOKENS}
        values = former | {name: value for name, value in from_environment.items() if value} | values
    _check(profile, values.get("url"))
    write_profile(path, profile, {name: values[name] for name in QUESTIONS if values.get(name)})
    note(f"Written: the profile {profile} in {path}. `impact doctor` looks whether all is right.")


def _check(profile: str, url: str | None) -> None:
    """Raise BadParameter for what cannot be a profile or a URL."""
    if not profile.strip():
        raise click.BadParameter("A profile has a name.", param_hint="--profile")
    if url and not url.startswith(("http://", "https://")):
        raise click.BadParameter(f"{url!r} is no URL, such as https://abc.example.com.", param_hint="--url")


def _ask(name: str, former: dict[str, str]) -> str:
    """Ask for a value; the former one stays if nothing is typed. A token is not shown."""
    if name not in TOKENS:
        default = former.get(name, DEFAULT_STACK if name == "stack" else "")
        return str(click.prompt(QUESTIONS[name], default=default, show_default=bool(default), err=True))
    kept = " [keep]" if former.get(name) else ""
    typed = click.prompt(QUESTIONS[name] + kept, default="", hide_input=True, show_default=False, err=True)
    return str(typed) or former.get(name, "")
