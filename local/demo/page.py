"""`make demo KEEP=1`: months of use beside the demo's own, and where to look at them."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from impact_cli.deployed_stack import store_of
from impact_cli.person_links import links_for
from impact_cli.progress import Progress
from local.months.fill import fill, plausible, target_of
from local.stack.stack import Stack

LOOK = """
The figures on a page: {url}/
  read token   {token}
Only alice's, as she sees them:
  {link}

Ctrl-C stops the stack and deletes its data.
"""


class Stopped(Exception):
    """Somebody has looked, and pressed Ctrl-C."""


def with_months(stack: Stack, ingest_token: str) -> None:
    """Fill a stack. Raises NotFilled, ImpactError."""
    target = target_of(stack, ingest_token)
    progress = Progress()
    fill(target, plausible(target.calendar), progress)
    progress.clear()


def where_to_look(stack: Stack) -> str:
    """Say the page's address, and what opens it."""
    store = store_of(stack.session, stack.name).links
    [link] = links_for(store, stack.api_url, ["alice"], 30, datetime.now(UTC))
    return LOOK.format(url=stack.api_url, token=stack.read_token, link=link["link"])


def wait_for_interrupt() -> None:
    """Wait until Ctrl-C. Raises Stopped then."""
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        raise Stopped from None
