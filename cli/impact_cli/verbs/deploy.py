"""`impact deploy`: deploy the stack, from a checkout."""

import shlex

import click

from impact_cli.target import Target, with_target


@click.command()
@click.argument("parameters", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--parameters", "words", default="", help="The same in one text, quoted as for a shell.")
@click.option("--template", type=click.Path(exists=True), help="Template as built. Without it, builds first.")
@click.option("--yes", is_flag=True, help="Take over tables that are there, without a question.")
@with_target
def command(parameters: tuple[str, ...], words: str, template: str | None, yes: bool, target: Target) -> int:
    """Deploy the stack to AWS from a checkout of its source. Needs SAM CLI and AWS credentials.

    The first deployment asks for some parameters, and prints the tokens once. It takes over the tables that
    an earlier stack of this name has left, if you agree. Later ones keep each parameter that is not given,
    and say from which day on a changed one takes effect.

    \b
    Examples:
      impact deploy
      impact deploy --stack impact-test MarkupPercent=10 ReportingTimeZone=Europe/Berlin
    """
    from impact.day_settings import InvalidSettings
    from impact_cli.deployment import deploy
    from impact_cli.template_parameters import parse

    try:
        given = parse([*shlex.split(words), *parameters])
    except ValueError as error:
        raise click.UsageError(f"--parameters: {error}") from None
    try:
        return deploy(target.session(), target.stack, template, given, yes=yes)
    except InvalidSettings as error:
        raise click.ClickException(f"Nothing was deployed. {error}") from None
