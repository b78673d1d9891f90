"""The deployed functions while AWS fails, from a sender's outbox to the summaries that the API reads."""

import json
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from local.stack import Stack
from local.waiting import wait_until
from request_events.outbox import Outbox
from request_events.sender import Sender
from tests.e2e.api import Api, a_user, an_event, day, late_marks
from tests.faults.aws_fault_proxy import FAULTS, Proxy, faulty, of_sqs, slow

FUNCTIONS = ("IngestFunction", "RollupFunction", "RollupWorkerFunction", "SummariesFunction")
OPERATIONS = ("PutItem", "UpdateItem", "DeleteItem", "GetItem", "BatchGetItem", "Query")
DAYS_AGO = (0, 14)
"""Today, and a closed day, whose events leave late marks."""
KINDS = FAULTS | {"slow": slow(2.5)}


@pytest.fixture(scope="module")
def aws(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Proxies that the functions use as DynamoDB and SQS, until the end of these tests."""
    lambda_ = stack.client("lambda")
    names = [stack.physical_id(function) for function in FUNCTIONS]
    before = {name: lambda_.get_function_configuration(FunctionName=name)["Environment"] for name in names}
    with faulty(stack.endpoint_url, tmp_path_factory.mktemp("microburst") / "log", "--resign") as proxy:
        behind = {"AWS_ENDPOINT_URL_DYNAMODB": proxy.url, "AWS_ENDPOINT_URL_SQS": proxy.url}
        for name, environment in before.items():
            variables = environment["Variables"] | behind
            lambda_.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
        yield proxy
        for name, environment in before.items():
            lambda_.update_function_configuration(FunctionName=name, Environment=environment)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_lost_or_doubled(
    stack: Stack, api: Api, aws: Proxy, kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    users = [a_user() for _ in range(4)]
    url, token = f"{stack.api_url}/api/request-event", stack.ingest_token
    sender = Sender(Outbox(tmp_path), url, token, batch_size=25, flush_seconds=0.05)
    request.addfinalizer(lambda: sender.close(30))
    sent: dict[tuple[str, str], tuple[int, Decimal]] = defaultdict(lambda: (0, Decimal(0)))
    for number in range(100):
        user_id, days_ago = users[number % len(users)], DAYS_AGO[number // len(users) % 2]
        event = an_event(user_id, days_ago, costEUR=number / 1000)
        sender.send(json.dumps(event).encode() + b"\n")
        requests, cost = sent[user_id, day(days_ago)]
        sent[user_id, day(days_ago)] = requests + 1, cost + Decimal(repr(event["costEUR"]))
    often = {"sequence": {"fail": 1, "pass": 2 if kind != "slow" else 20}}
    for operation in OPERATIONS:
        aws.inject(KINDS[kind], operation, **often)
    aws.inject(of_sqs(KINDS[kind]), "SendMessageBatch", **often)
    sender.start()
    wait_until(sender.flush, "an empty outbox")
    stack.rollup()
    assert aws.heal() > 10
    assert {
        (user_id, row["day"]): (row["requests"], row["costEUR"])
        for user_id in users
        for row in api.impact.usage(user_id)["days"]
    } == sent
    # After an interrupted recomputation, a mark stays until another one runs alone.
    wait_until(lambda: late_marks(stack, day(14)) == [], "no late mark", again=stack.rollup)


@pytest.mark.long
def test_a_fault_that_stays_is_reported_by_503_and_by_nothing_else(
    stack: Stack, api: Api, aws: Proxy
) -> None:
    user_id = a_user()
    events = [an_event(user_id) for _ in range(5)]
    aws.inject(FAULTS["broken"], "PutItem")
    answer = api.post(events)
    assert (answer.status, answer.body["error"]["code"]) == (503, "storage")
    assert [entry["index"] for entry in answer.body["retry"]] == list(range(5))
    assert api.post(events[0]).status == 503
    aws.heal()
    assert api.post(events).body["created"] == 5
