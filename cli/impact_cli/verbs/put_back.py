"""`impact put-back`: copy missing items from a restored table."""

import click

from impact_cli.target import Target, with_target


@click.command()
@click.argument("source")
@click.argument("target_table", metavar="TABLE")
@with_target
def command(source: str, target_table: str, target: Target) -> None:
    """Copy the items of the restored table SOURCE that TABLE lacks. Needs AWS credentials.

    It overwrites nothing, so it can be stopped and run again.

    \b
    Example:
      impact put-back impact-RequestEvents-restored impact-RequestEvents
    """
    if source == target_table:
        raise click.UsageError("SOURCE and TABLE are the same table.")
    from botocore.exceptions import BotoCoreError, ClientError

    from impact_cli.deployed_stack import cannot_call
    from impact_cli.restored_table import CALLS, put_back

    try:
        put_back(target.session().client("dynamodb", config=CALLS), source, target_table)
    except (BotoCoreError, ClientError) as error:
        raise click.ClickException(
            f"Not all items were put back. Run it again. {cannot_call(error)}"
        ) from None
