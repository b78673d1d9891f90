"""`impact revert-drift`: bring back what was changed by hand."""

import click

from impact_cli.target import Target, with_target


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_target
def command(yes: bool, target: Target) -> int:
    """Bring back what somebody deleted or changed by hand in the stack. Needs AWS credentials.

    It shows what would change, and asks. A table that is gone is not made anew: it would be empty.

    \b
    Example:
      impact revert-drift
    """
    from impact_cli.drift import revert

    return revert(target.session(), target.stack, yes=yes)
