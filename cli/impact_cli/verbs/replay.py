"""`impact replay`: repeat the failed calls of the dead-letter queues."""

import click

from impact_cli.target import Target, with_target


@click.command()
@with_target
def command(target: Target) -> int:
    """Repeat the failed calls in the dead-letter queues. Needs AWS credentials.

    A call that succeeds leaves its queue; one that fails again stays. Minutes for a large day. It can be
    repeated, or run twice at once, without harm.

    \b
    Example:
      impact replay
    """
    from impact_cli.dead_letters import replay

    return replay(target.session(), target.stack)
