"""`sam local start-api`: post over HTTP, roll up, read."""

import json
import urllib.request
from typing import Any

from local.stack import free_port
from tests.e2e.api import a_user, an_event, day
from tests.samlocal.conftest import SamLocal


def test_post_roll_up_and_read(lambda_: Any, sam_local: SamLocal) -> None:
    user_id = a_user()
    events = [an_event(user_id, days_ago=1), an_event(user_id, days_ago=1)]
    with sam_local.serving("start-api", port=free_port()) as url:
        posted = call(f"{url}/api/request-event", "sample-ingest-token", json.dumps(events).encode())
        assert posted["created"] == 2
        for shard in range(16):
            payload = json.dumps({"day": day(1), "shard": shard}).encode()
            lambda_.invoke(FunctionName="RollupWorkerFunction", Payload=payload)
        read = call(f"{url}/api/summaries?userId={user_id}", "sample-read-token")
        assert (read["total"]["requests"], read["total"]["costEUR"]) == (2, 0.0246)
        totals = call(f"{url}/api/totals?from={day(1)}&to={day(1)}", "sample-read-token")
        assert totals["total"]["requests"] == 2


def call(url: str, token: str, body: bytes | None = None) -> Any:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60) as response:
        return json.loads(response.read())
