"""`impact send`: one sample event, to see that all works."""

from datetime import UTC, datetime
from uuid import uuid4

import click

from impact_cli.days import UserId
from impact_cli.output import note, write_json
from impact_cli.table import as_argument, visible
from impact_cli.target import Target, with_target
from impact_client.version import version

SAMPLE = {
    "model": "gpt-4o",
    "provider": "openai",
    "tokens_in": 1200,
    "tokens_out": 340,
    "latency": 2.5,
    "costUSD": 0,
    "callType": "impact-send",
    "source": f"impact-cli/{version()}",
}
USER = "impact-sample"


@click.command()
@click.option("--user", type=UserId(), default=USER, help=f"Whose request it is. [{USER}]")
@click.option("--json", "as_json", is_flag=True, help="Print the event and the response as JSON.")
@with_target
def command(user: str, as_json: bool, target: Target) -> None:
    """Send one sample event: a request of now, which costs nothing.

    It stays in the ledger, under the user impact-sample: `impact erase impact-sample` deletes it.

    \b
    Examples:
      impact send
      impact send --user alice
    """
    event = {
        "userId": user,
        "ts": datetime.now(UTC).isoformat(),
        "eventId": f"impact-send-{uuid4()}",
        **SAMPLE,
    }
    response = target.sender().send(event)
    if as_json:
        write_json({"event": event, "response": response})
        return
    print(f"Stored: one request of {visible(user)}, event {response['eventId']}.")
    note(f"The next rollup counts it. Now: impact usage --fresh {as_argument(user)}")
