"""Update the stack, and roll it back, while a sender delivers: no event is lost or in a summary twice."""

import json
import shutil
import subprocess
import threading
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from local import PROJECT
from local.stack import Stack
from local.stack.reverse_proxy import running_reverse_proxy
from local.stack.sam import SCRATCH, build
from local.stack.stack import LOCAL_SHARDS
from local.waiting import wait_until
from request_events.outbox import Outbox
from request_events.sender import Sender
from tests.e2e.api import Api, a_user, an_event, count, day, late_marks

DEPLOYED = ("functions", "layers/callback", "template.yaml")
DAYS_AGO = (0, 11, 12)
"""Today, and closed days, whose events leave late marks."""

Sums = dict[tuple[str, str], tuple[int, Decimal]]


def git(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(["git", *arguments], cwd=PROJECT, capture_output=True, check=False)


def previous_commit() -> str | None:
    """The last commit whose deployed files differ from the present ones."""
    for commit in git("rev-list", "--max-count=200", "HEAD").stdout.decode().split():
        if git("diff", "--quiet", commit, "--", *DEPLOYED).returncode == 1:
            return commit
    return None


@pytest.fixture(scope="module")
def previous() -> Iterator[Path]:
    """A build of the version before this one."""
    commit = previous_commit() if shutil.which("git") else None
    if commit is None:
        pytest.skip("no earlier version to update from: this is not a git clone, or one without its history")
    project = SCRATCH / f"previous-{commit[:12]}"
    shutil.rmtree(project, ignore_errors=True)
    project.mkdir(parents=True)
    archive = git("archive", commit)
    archive.check_returncode()
    subprocess.run(["tar", "-x"], cwd=project, input=archive.stdout, check=True)
    (project / ".venv").symlink_to(PROJECT / ".venv")  # functions/Makefile uses uv and Python from there
    try:
        yield build(project / "build", project)
    finally:
        shutil.rmtree(project)


class Traffic:
    """Users who chat until the end of the block. Their events go through an outbox, as in the proxy."""

    def __init__(self, outbox: Path, api: Api) -> None:
        self.user_id = a_user()
        self.sums: Sums = defaultdict(lambda: (0, Decimal(0)))
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._send, name="traffic")
        url, token = f"{api.stack.api_url}/api/request-event", api.stack.ingest_token
        self._sender = Sender(Outbox(outbox), url, token, batch_size=20, flush_seconds=0.1)

    def __enter__(self) -> "Traffic":
        self._sender.start()
        self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._sender.close(60)

    def goes_on(self, events: int) -> None:
        """Wait until a new user has sent so many events."""
        self.user_id = user_id = a_user()
        wait_until(
            lambda: sum(n for (user, _), (n, _) in list(self.sums.items()) if user == user_id) >= events,
            f"{events} events of one user",
        )

    def end(self) -> Sums:
        """Stop sending, wait until the service has all events, and return them."""
        self._stopped.set()
        self._thread.join()
        wait_until(self._sender.flush, "an empty outbox")
        return dict(self.sums)

    def _send(self) -> None:
        sent = 0
        while not self._stopped.wait(0.02):
            user_id, days_ago = self.user_id, DAYS_AGO[sent % len(DAYS_AGO)]
            event = an_event(user_id, days_ago, costEUR=0.0001 * (sent + 1))
            self._sender.send(json.dumps(event).encode() + b"\n")
            requests, cost = self.sums[user_id, day(days_ago)]
            self.sums[user_id, day(days_ago)] = (requests + 1, cost + Decimal(repr(event["costEUR"])))
            sent += 1


def summed_up(api: Api, users: set[str]) -> Sums:
    return {
        (user_id, row["day"]): (row["requests"], Decimal(str(row["costEUR"])))
        for user_id in users
        for row in api.impact.usage(user_id)["days"]
    }


@pytest.mark.long
@pytest.mark.timeout(600)
def test_an_update_and_its_roll_back_under_traffic(stack: Stack, previous: Path, tmp_path: Path) -> None:
    old = Stack(stack.endpoint_url, previous, name="update", ingest_token=stack.ingest_token)
    old.deploy(ShardCount=LOCAL_SHARDS)
    api = Api(old)
    with (
        running_reverse_proxy(0, old.endpoint_url, old.api_id) as old.api_url,
        Traffic(tmp_path / "outbox", api) as traffic,
    ):
        traffic.goes_on(30)
        old.rollup()
        traffic.goes_on(30)  # these leave late marks of the old version
        old.build = stack.build
        old.deploy()
        traffic.goes_on(30)
        old.rollup()
        assert api.get("/api/summaries", userId=traffic.user_id).status == 200
        traffic.goes_on(30)  # and these leave late marks of the new version
        old.build = previous
        old.deploy()
        traffic.goes_on(30)
        old.rollup()
        sent = traffic.end()
        assert late_marks(old)
        users = {user_id for user_id, _ in sent}

        def count_all() -> None:
            for days_ago in DAYS_AGO:
                count(old, day(days_ago))

        count_all()
        assert summed_up(api, users) == sent
        # After a recomputation that an update interrupted, a mark stays until another one runs alone.
        wait_until(lambda: late_marks(old) == [], "no late mark", again=count_all)
