"""The deployed stack, from the HTTP API to the tables and back."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from impact.calendar import Calendar, day_before, days_between
from impact.keys import day_shard, shard_of
from impact.state_store import StateStore
from impact.summary import MODELS_MAX
from impact_cli.deployed_stack import calendar_of
from impact_cli.tokens import sha256
from local.stack import Stack
from local.stack.api_routes import make_routes
from local.stack.stack import LOCAL_SHARDS, SCHEDULED
from local.tables import schemas
from local.template import template
from local.waiting import wait_until
from request_events.limits import MODEL_MAX
from tests.e2e.api import Api, a_user, an_event, count, day, late_marks, store_of
from tests.e2e.command import Ran, impact
from tests.leaks import leaks


def items_of(stack: Stack, table: str, user_id: str) -> list[dict[str, Any]]:
    scanned = stack.session.resource("dynamodb").Table(table).scan(ConsistentRead=True)["Items"]
    return [item for item in scanned if item["userId"] == user_id]


def test_one_event_is_stored_once_and_summed_up(stack: Stack, api: Api) -> None:
    user_id = a_user()
    event = an_event(user_id, eventId="one")
    assert (api.post(event).status, api.post(event).body) == (201, {"eventId": "one", "status": "duplicate"})
    [stored] = items_of(stack, stack.request_events_table, user_id)
    assert stored["userEvent"] == f"{user_id}#one"
    stack.rollup()
    answer = api.get("/api/summaries", userId=user_id)
    [summary] = answer.body["days"]
    assert (summary["requests"], summary["costEUR"], summary["final"]) == (1, 0.0123, False)
    assert answer.body["total"]["tokens_in"] == 1200


def test_days_larger_than_an_answer_come_in_pages_through_the_api(stack: Stack, api: Api) -> None:
    user_id = a_user()
    days = list(days_between(day_before(day(), 29), day()))
    models = {f"{n:03d}" + "\\😀😀" * (MODEL_MAX // 3): {"requests": 1} for n in range(MODELS_MAX)}
    for of in days:
        whose = {"userId": user_id, "day": of, "dayShard": day_shard(of, 0)}
        store_of(stack).summaries.put(
            whose | {"requests": 1, "models": models, "asOf": of, "final": True}, None
        )
    first = api.get("/api/summaries", userId=user_id)
    second = api.get("/api/summaries", userId=user_id, cursor=first.body["next"])
    assert [row["day"] for answer in (first, second) for row in answer.body["days"]] == days
    assert len(first.text) > 3_000_000
    assert first.body["days"][0]["models"].keys() == models.keys()
    assert "next" not in second.body


def test_a_batch_stores_valid_events_and_names_rejected_ones(stack: Stack, api: Api) -> None:
    user_id = a_user()
    bad = an_event(user_id, eventId="bad", tokens_in=-1)
    first, second = an_event(user_id), an_event(user_id)
    assert api.post(first).status == 201
    answer = api.post([first, bad, second])
    assert answer.status == 200
    assert (answer.body["created"], answer.body["duplicates"]) == (1, 1)
    [rejected] = answer.body["rejected"]
    assert (rejected["index"], rejected["eventId"]) == (1, "bad")
    assert len(items_of(stack, stack.request_events_table, user_id)) == 2


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"\x1f\x8b\x08\x00", {"Content-Encoding": "gzip"}, 415),
        ({"userId": "alice"}, {}, 422),
        ([], {}, 422),
        (b"[" + b" " * 1024 * 1024 + b"]", {}, 413),
        ([{}] * 501, {}, 413),
    ],
    ids=["not JSON", "compressed", "incomplete", "empty array", "over 1 MB", "over 500"],
)
def test_invalid_input_is_rejected(api: Api, body: object, headers: dict[str, str], status: int) -> None:
    answer = api.post(body, **headers)
    assert answer.status == status
    assert answer.body["error"]["code"]


def test_a_json_body_of_any_content_type_is_taken(api: Api) -> None:
    # API Gateway passes it on as base64 then.
    body = json.dumps(an_event(a_user())).encode()
    assert api.post(body, **{"Content-Type": "application/octet-stream"}).status == 201


def test_tokens_open_the_routes_of_their_scope_only(stack: Stack, api: Api) -> None:
    event = an_event(a_user())
    assert api.post(event, token="").status == 401
    assert api.get("/api/totals", token="").status == 401
    assert api.post(event, token="wrong").status == 403
    # Each after the authorizer's response for the same token on its own route was cached.
    assert api.get("/api/summaries", userId="alice").status == 200
    assert api.post(event, token=stack.read_token).status == 403
    assert api.post(event).status == 201
    assert api.get("/api/summaries", token=stack.ingest_token, userId="alice").status == 403
    assert api.get("/api/totals", token=stack.ingest_token).status == 403


def test_there_is_no_other_route(stack: Stack, api: Api) -> None:
    token = {"Authorization": f"Bearer {stack.read_token}"}
    assert api.send("GET", "/api/request-event", None, token).status == 404
    assert api.send("DELETE", "/api/summaries", None, token).status == 404
    assert api.send("GET", "/nothing", None, token).status == 404


def test_every_user_of_a_day_and_the_platform(stack: Stack, api: Api) -> None:
    users = sorted([a_user(), a_user(), a_user()])
    assert api.post([an_event(user, days_ago=20) for user in users]).body["created"] == 3
    stack.rollup()
    listed = api.get("/api/summaries", day=day(20)).body
    assert sorted(item["userId"] for item in listed["items"]) == users
    totals = api.get("/api/totals", **{"from": day(20), "to": day(20)}).body
    [row] = totals["days"]
    assert (row["requests"], row["costEUR"]) == (3, 0.0369)


def test_the_next_rollup_adds_a_late_event_to_its_summary(stack: Stack, api: Api) -> None:
    user_id = a_user()
    api.post(an_event(user_id, days_ago=10))
    stack.rollup()
    api.post(an_event(user_id, days_ago=10))
    [before] = api.impact.usage(user_id)["days"]
    assert (before["requests"], before["final"]) == (1, False)
    planned = stack.rollup()
    assert day(10) in planned["days"]
    [after] = api.impact.usage(user_id)["days"]
    assert (after["requests"], after["final"]) == (2, True)


def test_a_day_can_be_recomputed_by_hand(stack: Stack, api: Api) -> None:
    user_id = a_user()
    api.post(an_event(user_id, days_ago=5))
    ran = impact(stack, "rollup", day(5))
    assert "1 events of 1 users, 1 summaries written, 2 of 2 shards recomputed" in ran.out
    [summary] = api.impact.usage(user_id)["days"]
    assert summary["requests"] == 1
    expired = impact(stack, "rollup", "2001-01-01")
    assert (expired.code, "retention" in expired.error) == (1, True)


def test_a_user_can_be_erased(stack: Stack, api: Api) -> None:
    user_id, other = a_user(), a_user()
    api.post([an_event(user, days_ago=ago) for user in (user_id, other) for ago in (6, 0)])
    for ago in (6, 0):
        count(stack, day(ago))

    def erase(*options: str) -> Ran:
        return impact(stack, "erase", *options, "--", user_id)

    def counted() -> int:
        return api.impact.totals(day(6), day(6))["total"]["requests"]

    before = counted()
    found = f"'{user_id}': 2 events of 2 days and 2 daily summaries.\n"
    assert erase() == (1, found, "Nothing was deleted: without a terminal, confirm with --yes.\n")
    erased = erase("--yes").out
    assert erased == found + f"Deleted. The next rollup recomputes 2 days ({day(6)} to {day()}).\n"
    assert late_marks(stack, day(6)) == [day_shard(day(6), shard_of(user_id, LOCAL_SHARDS))]
    stack.rollup()
    wait_until(lambda: late_marks(stack, day(6)) == [], "the day to be counted again")
    assert counted() == before - 1
    assert api.impact.usage(user_id, fresh=True)["days"] == []
    assert items_of(stack, stack.request_events_table, user_id) == []
    assert [row["requests"] for row in api.impact.usage(other)["days"]] == [1, 1]


def test_a_stack_that_has_no_calendar_yet_is_read_by_its_parameters(stack: Stack) -> None:
    store = store_of(stack)
    empty = replace(store, state=StateStore(store.client, f"{stack.name}-Empty"))
    store.client.create_table(TableName=empty.state.name, **schemas()["State"])
    assert empty.state.periods() == ()
    assert calendar_of(stack.session, stack.name, empty) == calendar_of(stack.session, stack.name, store)


def test_no_log_names_a_user_or_a_token(stack: Stack, api: Api) -> None:
    # The end of the `stack` fixture checks all that the functions logged in the other tests.
    user_id = a_user()
    api.post(an_event(user_id))
    api.post(an_event(user_id, tokens_in=-1))
    api.post(an_event(user_id) | {user_id: user_id})
    api.get("/api/summaries", userId=user_id, fresh="true")
    api.get("/api/summaries", userId=user_id, cursor=user_id)

    def worker_has_logged() -> bool:
        count(stack, day())  # MiniStack may log what a call printed together with the next one
        return bool(leaks(stack.log_lines(), ["recomputed"]))

    wait_until(worker_has_logged, "a line of the worker in the logs")
    assert not leaks(stack.log_lines(), [user_id, stack.ingest_token, stack.read_token])


def test_the_access_log_names_no_user_no_address_and_no_token() -> None:
    api = template()["Resources"]["Api"]["Properties"]
    variables = re.findall(r"\$context\.([\w.]+)", api["AccessLogSettings"]["Format"])
    told = {"requestId", "requestTime", "routeKey", "status", "responseLatency", "integrationLatency"}
    told |= {"responseLength", "authorizer.error", "error.message", "integrationErrorMessage"}
    assert set(variables) == told  # no path: it has no ids, but with a query it would; no header, no identity


def test_tables_keep_what_they_hold(stack: Stack) -> None:
    dynamodb = stack.client("dynamodb")
    for name in (stack.request_events_table, stack.daily_summaries_table, stack.state_table):
        table = dynamodb.describe_table(TableName=name)["Table"]
        assert table["DeletionProtectionEnabled"]
        assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    ledger = dynamodb.describe_table(TableName=stack.request_events_table)["Table"]
    assert "GlobalSecondaryIndexes" not in ledger


def test_each_function_has_its_alarms_and_the_schedule_its_own_queue(stack: Stack) -> None:
    alarms = stack.client("cloudwatch").describe_alarms()["MetricAlarms"]
    watched = {(alarm["MetricName"], alarm["Dimensions"][0]["Value"]) for alarm in alarms}
    names = ("Authorizer", "Ingest", "Summaries", "Rollup", "RollupWorker", "Rates")
    functions = [stack.physical_id(f"{name}Function") for name in names]
    expected = {(metric, function) for metric in ("Errors", "Throttles") for function in functions}
    expected |= {("Invocations", stack.physical_id(f"{name}Function")) for name in ("Rollup", "Rates")}
    for queue in ("FailedRollups", "FailedSchedules"):
        name = stack.physical_id(queue).rsplit("/", 1)[-1]
        expected.add(("ApproximateNumberOfMessagesVisible", name))
    name = stack.physical_id("RollupQueue").rsplit("/", 1)[-1]
    expected.add(("ApproximateAgeOfOldestMessage", name))
    assert watched >= expected
    queue = stack.physical_id("FailedSchedules").rsplit("/", 1)[-1]
    for name in ("Rollup", "Rates"):
        schedule = stack.client("scheduler").get_schedule(Name=f"{stack.name}-{name}")
        assert schedule["Target"]["DeadLetterConfig"]["Arn"].endswith(queue)


def test_the_rollup_takes_what_the_schedule_sends(stack: Stack) -> None:
    assert stack.invoke("RollupFunction", SCHEDULED)["planned"] >= 2


def test_an_update_in_place_keeps_events_tokens_and_address(stack: Stack, api: Api) -> None:
    user_id, old = a_user(), an_event(a_user(), days_ago=450)
    api.post(an_event(user_id, eventId="before"))
    assert api.post(old).status == 422
    api_id = stack.api_id
    stack.deploy(RetentionDays=500)
    assert stack.api_id == api_id
    assert api.post(an_event(user_id, eventId="before")).body["status"] == "duplicate"
    assert api.post(old).status == 422  # its day has expired by the retention that it began with
    stack.rollup()
    assert store_of(stack).state.periods()[-1].settings.retention.days == 500


def make_deploy(stack: Stack, *parameters: str, name: str) -> str:
    """Run what `make deploy` runs after the build, and return its output."""
    template = str(stack.build / "template.yaml")
    quick = {"SAM_CLI_POLL_DELAY": "0.2"}
    ran = impact(stack, "deploy", "--stack", name, "--template", template, *parameters, environment=quick)
    assert ran.code == 0, ran
    return ran.out


def test_another_shard_count_holds_from_the_day_that_make_deploy_names(stack: Stack, api: Api) -> None:
    def deploy(shard_count: int) -> list[str]:
        told = make_deploy(stack, f"ShardCount={shard_count}", name=stack.name).splitlines()
        make_routes(stack.session, stack.name)
        return [line for line in told if line.startswith("ShardCount")]

    stack.rollup()
    [told] = deploy(8)
    found = re.fullmatch(r"ShardCount 2 -> 8: for days from (20..-..-..) on\. Earlier days keep 2\.", told)
    assert found
    users = [a_user() for _ in range(12)]
    assert api.post([an_event(user) for user in users]).body["created"] == len(users)
    stack.rollup()
    calendar = Calendar(store_of(stack).state.periods())
    assert calendar.periods[-1].first_day == found[1]
    assert [calendar.shard_count(of) for of in (day(), day_before(found[1]), found[1])] == [2, 2, 8]
    for user in users:
        [stored] = items_of(stack, stack.request_events_table, user)
        assert stored["dayShard"] == day_shard(stored["day"], shard_of(user, 2))
        assert api.impact.usage(user)["total"]["requests"] == 1
    assert deploy(2) == [f"ShardCount stays 2: the change to 8 on {found[1]} is taken back."]
    stack.rollup()
    assert {period.settings.shard_count for period in store_of(stack).state.periods()} == {2}


def test_make_deploy_shows_tokens_once_and_keeps_their_hashes(stack: Stack) -> None:
    def deploy(*parameters: str) -> str:
        return make_deploy(stack, *parameters, name="second")

    def parameters() -> dict[str, str]:
        [described] = stack.client("cloudformation").describe_stacks(StackName="second")["Stacks"]
        return {item["ParameterKey"]: item["ParameterValue"] for item in described["Parameters"]}

    shown = [
        line.split()[-1]
        for line in deploy().splitlines()
        if line.lstrip().startswith(("ingest token", "read token"))
    ]
    hashes = [parameters()["IngestTokenHashes"], parameters()["ReadTokenHashes"]]
    assert [sha256(token) for token in shown] == hashes
    topic = "arn:aws:sns:us-east-1:000000000000:alarms"
    assert "token " not in deploy("RetentionDays=500", f"AlarmTopic={topic}")
    assert [parameters()["IngestTokenHashes"], parameters()["ReadTokenHashes"]] == hashes
    assert parameters()["RetentionDays"] == "500"
    alarms = stack.client("cloudwatch").describe_alarms(AlarmNamePrefix="second-")["MetricAlarms"]
    assert {tuple(alarm[on]) for alarm in alarms for on in ("AlarmActions", "OKActions")} == {(topic,)}
