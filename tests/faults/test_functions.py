"""Every function while AWS fails: it survives short faults; lasting ones are visible and repaired later."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from impact.keys import day_shard
from impact.store import Store
from local.template import template
from request_events.transport import RESPONSE_SECONDS
from tests.faults.aws_fault_proxy import (
    BROKEN,
    CUT_OFF,
    FAULTS,
    RESET,
    THROTTLED,
    Proxy,
    Rule,
    faulty,
    of_sqs,
    slow,
)
from tests.faults.deployed_functions import SHARDS, Deployed, context, sqs_api

OPERATIONS = ("PutItem", "UpdateItem", "DeleteItem", "GetItem", "BatchGetItem", "Query", "DescribeTable")
TOO_MANY: Rule = {"error": {"code": "RequestThrottled", "status": 403}}
"""SQS's response to too many requests."""
CLOSED = 9
"""A closed day, so many days ago: its events leave late marks."""


@pytest.fixture(scope="session")
def sqs_and_queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Proxy, list[str]]]:
    with sqs_api() as (url, queue), faulty(url, tmp_path_factory.mktemp("microburst") / "log") as proxy:
        yield proxy, queue


@pytest.fixture
def sqs(sqs_and_queue: tuple[Proxy, list[str]]) -> Iterator[Proxy]:
    yield sqs_and_queue[0]
    sqs_and_queue[0].heal()


@pytest.fixture
def deployed(
    proxy: Proxy,
    sqs: Proxy,
    tables: Store,
    sqs_and_queue: tuple[Proxy, list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> Deployed:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", proxy.url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", sqs.url)
    monkeypatch.setenv("REQUEST_EVENTS_TABLE", tables.ledger.name)
    monkeypatch.setenv("DAILY_SUMMARIES_TABLE", tables.summaries.name)
    monkeypatch.setenv("STATE_TABLE", tables.state.name)
    monkeypatch.setenv("SHARD_COUNT", str(SHARDS))
    # Without the SDK's pauses of up to 20 s between its tries.
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda seconds: None))
    sqs_and_queue[1].clear()
    return Deployed(tables, sqs_and_queue[1])


def everywhere(proxy: Proxy, fault: Rule, **rule: Any) -> None:
    for operation in OPERATIONS:
        proxy.inject(fault, operation, **rule)


@pytest.mark.parametrize(
    "fault", ["cut off", *(pytest.param(f, marks=pytest.mark.long) for f in FAULTS if f != "cut off")]
)
def test_faults_that_heal_lose_and_double_nothing(
    deployed: Deployed, proxy: Proxy, sqs: Proxy, fault: str
) -> None:
    everywhere(proxy, FAULTS[fault], sequence={"fail": 1, "pass": 1})
    sqs.inject(of_sqs(FAULTS[fault]), "SendMessageBatch", sequence={"fail": 1, "pass": 1})
    deployed.deliver(deployed.events(40) + deployed.events(10, CLOSED))
    deployed.roll_up()
    deployed.deliver(deployed.events(10, CLOSED))
    deployed.roll_up()
    assert proxy.heal() > 50
    assert sqs.heal() >= 2
    assert deployed.summed_up() == deployed.sent
    assert deployed.tables.state.marked() == set()


@pytest.mark.long
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("operation", ["PutItem", "UpdateItem"])
def test_ingest_answers_503_and_names_what_to_send_again(
    deployed: Deployed, proxy: Proxy, operation: str, fault: str
) -> None:
    events = deployed.events(6) + deployed.events(4, CLOSED)
    proxy.inject(FAULTS[fault], operation)
    answer = deployed.post(events)
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    unmarked = list(range(10)) if operation == "PutItem" else list(range(6, 10))
    assert [entry["index"] for entry in answer.json["retry"]] == unmarked
    assert deployed.post(events[-1:]).status == 503
    proxy.heal()
    deployed.deliver(events)
    deployed.roll_up()
    assert deployed.summed_up() == deployed.sent


def test_ingest_answers_in_time_where_storage_is_slow(deployed: Deployed, proxy: Proxy) -> None:
    events = deployed.events(100)
    proxy.inject(slow(60), "PutItem")
    answer = deployed.post(events, seconds=5)
    assert (answer.status, len(answer.json["retry"])) == (503, 100)
    tables = deployed.tables
    assert tables.client.scan(TableName=tables.ledger.name)["Items"] == []  # it has not waited for them
    proxy.heal()
    deployed.deliver(events)
    deployed.roll_up()
    assert deployed.summed_up() == deployed.sent


@pytest.mark.long
@pytest.mark.parametrize("fault", [BROKEN, CUT_OFF], ids=["broken", "cut off"])
@pytest.mark.parametrize("operation", ["GetItem", "Query", "BatchGetItem", "PutItem", "UpdateItem"])
def test_a_worker_that_cannot_continue_fails_and_a_later_one_does_its_work(
    deployed: Deployed, proxy: Proxy, operation: str, fault: Rule
) -> None:
    deployed.deliver(deployed.events(10, CLOSED))
    deployed.roll_up()  # so that there are summaries to read
    deployed.deliver(deployed.events(10, CLOSED))
    marked = deployed.tables.state.marked()
    proxy.inject(fault, operation)
    for day, shard in marked:
        with pytest.raises((ClientError, BotoCoreError)):
            deployed.worker.handler({"day": day, "shard": shard}, context(900))
    assert deployed.tables.state.marked() == marked
    proxy.heal()
    deployed.roll_up()
    assert deployed.summed_up() == deployed.sent
    assert deployed.tables.state.marked() == set()


def test_a_partly_recomputed_day_is_not_final(deployed: Deployed, proxy: Proxy) -> None:
    deployed.deliver(deployed.events(10, CLOSED))
    [(day, shard), *_] = sorted(deployed.tables.state.marked())
    proxy.inject(
        BROKEN, "PutItem", resource=deployed.tables.state.name
    )  # the summaries are written, the total is not
    with pytest.raises(ClientError):
        deployed.worker.handler({"day": day, "shard": shard}, context(900))
    assert deployed.tables.state.shard_total(day_shard(day, shard)) is None
    query = {"routeKey": "GET /api/summaries", "queryStringParameters": {"day": day}}
    assert '"final":true' not in deployed.summaries.handler(query, context(25))["body"]


@pytest.mark.long
@pytest.mark.parametrize("operation", ["GetItem", "Query", "PutItem"])
def test_a_planner_that_cannot_plan_fails(deployed: Deployed, proxy: Proxy, operation: str) -> None:
    deployed.deliver(deployed.events(5))
    proxy.inject(BROKEN, operation)
    with pytest.raises(ClientError):
        deployed.planner.handler({}, context(60))
    proxy.heal()
    deployed.roll_up()
    assert deployed.summed_up() == deployed.sent


@pytest.mark.long
@pytest.mark.parametrize("fault", [BROKEN, RESET, TOO_MANY], ids=["broken", "reset", "too many"])
def test_a_planner_that_cannot_send_messages_fails(deployed: Deployed, sqs: Proxy, fault: Rule) -> None:
    deployed.deliver(deployed.events(5))
    sqs.inject(fault, "SendMessageBatch")
    with pytest.raises((ClientError, BotoCoreError)):
        deployed.planner.handler({}, context(60))
    sqs.heal()
    deployed.roll_up()
    assert deployed.summed_up() == deployed.sent


@pytest.mark.long
@pytest.mark.parametrize("fault", [THROTTLED, BROKEN], ids=["throttled", "broken"])
def test_reading_survives_short_faults_and_fails_on_lasting_ones(
    deployed: Deployed, proxy: Proxy, fault: Rule
) -> None:
    deployed.deliver(deployed.events(10))
    deployed.roll_up()
    query = {
        "routeKey": "GET /api/summaries",
        "queryStringParameters": {"userId": "user-1", "fresh": "true"},
    }
    whole = deployed.summaries.handler(query, context(25))
    everywhere(proxy, fault, sequence={"fail": 1, "pass": 1})
    assert (
        deployed.summaries.handler(query, context(25))["body"].partition("asOf")[0]
        == whole["body"].partition("asOf")[0]
    )
    assert proxy.heal() >= 3
    everywhere(proxy, fault)
    with pytest.raises(ClientError):
        deployed.summaries.handler(query, context(25))


@pytest.mark.long
@pytest.mark.parametrize("fault", FAULTS)
def test_a_manual_rate_is_stored_once_despite_faults(deployed: Deployed, proxy: Proxy, fault: str) -> None:
    entered = {"date": "2026-10-30", "usd": "1.1172", "confirm": True}
    everywhere(proxy, FAULTS[fault], sequence={"fail": 1, "pass": 1})
    assert deployed.rates.handler(entered, context(60))["stored"] == 1
    proxy.heal()
    everywhere(proxy, FAULTS[fault])
    with pytest.raises((ClientError, BotoCoreError)):
        deployed.rates.handler(entered | {"date": "2026-10-29"}, context(60))


def test_a_call_that_hangs_for_good_ends_before_lambda_ends_the_function(deployed: Deployed) -> None:
    """So the log has the function's own error, and not only that it ran out of time."""
    resources = template()["Resources"]
    clients = {
        "IngestFunction": [deployed.ingest.store.client],
        "RollupFunction": [deployed.planner.store.client, deployed.planner.sqs],
        "RollupWorkerFunction": [deployed.worker.store.client, deployed.planner.sqs],
        "SummariesFunction": [deployed.summaries.store.client],
        "RatesFunction": [deployed.rates.store.client],
    }
    for function, of_it in clients.items():
        for client in of_it:
            tries = client.meta.config.retries["total_max_attempts"]
            pauses = sum(min(2**n, 20) for n in range(tries - 1))
            longest = tries * client.meta.config.read_timeout + pauses
            assert longest < resources[function]["Properties"]["Timeout"], function


def test_a_sender_waits_for_longer_than_ingest_needs_to_name_what_it_did_not_store() -> None:
    """Otherwise, with slow storage, it would send a large batch again and again as a whole, without end."""
    ingest = template()["Resources"]["IngestFunction"]["Properties"]
    assert ingest["Timeout"] < RESPONSE_SECONDS < 30  # API Gateway's own limit
