"""Least privilege: without any single action of its role, something that a function does is denied.

Not tested, because MiniStack does these without checking the role: writing logs, what Lambda itself puts into
the dead-letter queues and takes out of RollupQueue, and Scheduler's calls of the rollup and of the rates.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4

import pytest

from impact.calendar import FIRST_DAY
from impact.corrections import append_correction
from impact.fx_rates import fx_date_of, is_target_day
from impact.keys import DAILY_TOTAL, DAY_PRICES, OLD_MARK, PERIOD, day_shard
from impact.store import Store
from impact_cli.person_links import links_for
from local.fake_ecb import published
from local.stack import Stack
from local.stack.stack import SCHEDULED, FunctionFailed
from local.waiting import wait_until
from tests.e2e.api import Api, a_user, an_event, day, store_of
from tests.e2e.api import count as count_day

DAY = day(3)


class Grant(NamedTuple):
    """One action of one statement of a function's policy."""

    function: str
    statement: str
    action: str


@pytest.fixture(scope="module")
def user_id(stack: Stack, api: Api) -> str:
    """A user with a request on a closed day that has a summary."""
    user_id = a_user()
    assert api.post(an_event(user_id, days_ago=3)).status == 201
    stack.rollup()
    return user_id


def ingest_today(stack: Stack, api: Api, user_id: str) -> None:
    assert api.post(an_event(user_id)).status != 503, "PutItem is not allowed"


def ingest_late(stack: Stack, api: Api, user_id: str) -> None:
    assert api.post(an_event(user_id, days_ago=3)).status != 503, "UpdateItem is not allowed"


def read(path: str, **query: str) -> Callable[[Stack, Api, str], None]:
    def probe(stack: Stack, api: Api, user_id: str) -> None:
        queried = {name: value.format(user_id=user_id) for name, value in query.items()}
        route = f"GET /api/{path}"
        stack.invoke("SummariesFunction", {"routeKey": route, "queryStringParameters": queried})

    return probe


def present_a_link(stack: Stack, api: Api, user_id: str) -> None:
    [link] = links_for(store_of(stack).links, stack.api_url, [user_id], 1, datetime.now(UTC))
    token = str(link["link"]).partition("#")[2]
    headers = {"authorization": f"Bearer {token}"}
    said = stack.invoke("PersonAuthorizerFunction", {"routeKey": "GET /api/me/summaries", "headers": headers})
    assert said["isAuthorized"]


def ask_a_tool(stack: Stack, api: Api, user_id: str) -> None:
    """Ask a new process, which reads the settings. Setting the time limit makes MiniStack start one.

    The answer does not say what failed: the log does.
    """
    function = stack.physical_id("McpFunction")
    stack.client("lambda").update_function_configuration(FunctionName=function, Timeout=25)
    call = {"name": "my_usage", "arguments": {}}
    request = {
        "routeKey": "POST /mcp",
        "headers": {"content-type": "application/json"},
        "body": json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}),
        "requestContext": {"authorizer": {"lambda": {"kind": "link", "userId": user_id}}},
    }
    known = Counter(stack.log_lines())
    failures: list[str] = []

    def is_logged() -> bool:
        stack.invoke(
            "McpFunction", request
        )  # MiniStack may log what a call printed together with the next one
        new = Counter(stack.log_lines()) - known
        failures.extend(line for line in new if "A tool failed" in line)
        return bool(failures)

    if stack.invoke("McpFunction", request)["statusCode"] != 200:
        wait_until(is_logged, "what failed in the log")
        raise AssertionError(failures)


def plan(stack: Stack, api: Api, user_id: str) -> None:
    stack.invoke("RollupFunction", SCHEDULED)


def plan_for_the_first_time(stack: Stack, api: Api, user_id: str) -> None:
    state = stack.session.resource("dynamodb").Table(stack.state_table)
    state.delete_item(Key={"kind": "rollup", "key": "progress"})
    plan(stack, api, user_id)


def count(stack: Stack, api: Api, user_id: str) -> None:
    """Recompute a day with a new, late event: it writes the summary and the total, and clears the mark."""
    assert api.post(an_event(user_id, days_ago=3)).status == 201
    count_day(stack, DAY)


def count_without_the_events(stack: Stack, api: Api, user_id: str) -> None:
    """Recompute a day whose events were deleted: it deletes the summary."""
    count(stack, api, user_id)
    ledger = stack.session.resource("dynamodb").Table(stack.request_events_table)
    for item in ledger.scan(ConsistentRead=True)["Items"]:
        if item["day"] == DAY and item["userId"] == user_id:
            ledger.delete_item(Key={"dayShard": item["dayShard"], "userEvent": item["userEvent"]})
    count_day(stack, DAY)


def without_settings(act: Callable[[Stack, Api, str], None]) -> Callable[[Stack, Api, str], None]:
    """Act on a stack that has no settings in State yet."""

    def probe(stack: Stack, api: Api, user_id: str) -> None:
        state = stack.session.resource("dynamodb").Table(stack.state_table)
        state.delete_item(Key={"kind": PERIOD, "key": FIRST_DAY})
        act(stack, api, user_id)

    return probe


def ingest_by_a_new_process(stack: Stack, api: Api, user_id: str) -> None:
    """A new process reads the settings. Setting the time limit makes MiniStack start one."""
    function = stack.physical_id("IngestFunction")
    stack.client("lambda").update_function_configuration(FunctionName=function, Timeout=20)
    assert api.post(an_event(user_id)).status != 503, "Query, PutItem or GetItem is not allowed"


def plan_with_an_old_mark(stack: Stack, api: Api, user_id: str) -> None:
    state = stack.session.resource("dynamodb").Table(stack.state_table)
    old = {"kind": OLD_MARK, "key": day_shard(DAY, 0), "token": "left", "markedAt": f"{DAY}T00:00:00.000000Z"}
    state.put_item(Item=old)
    plan(stack, api, user_id)


def plan_with_a_correction(stack: Stack, api: Api, user_id: str) -> None:
    """A correction that was begun: the planner finishes it."""
    count_day(stack, DAY)
    store = Store.of(stack.client("dynamodb"), "", "", stack.state_table)
    append_correction(store, 0, [{"day": DAY}], reason="a test", by="a test", now=datetime.now(UTC))
    plan(stack, api, user_id)


def count_without_fixed_prices(stack: Stack, api: Api, user_id: str) -> None:
    """Recompute a closed day for the first time: it fixes the prices that the day is final with."""
    state = stack.session.resource("dynamodb").Table(stack.state_table)
    state.delete_item(Key={"kind": DAY_PRICES, "key": DAY})
    count(stack, api, user_id)


def count_an_unpriced_model(stack: Stack, api: Api, user_id: str) -> None:
    event = an_event(user_id, days_ago=3, model=f"model-{uuid4().hex}")
    del event["costEUR"]
    assert api.post(event).status == 201
    count_day(stack, DAY)


def fail_for_good(stack: Stack, api: Api, user_id: str) -> None:
    body = json.dumps({"day": DAY, "shard": -1})
    record = {"body": body, "attributes": {"ApproximateReceiveCount": "3"}}
    stack.invoke("RollupWorkerFunction", {"Records": [record]})


def plan_with_a_day_to_sum_up(stack: Stack, api: Api, user_id: str) -> None:
    count_day(stack, DAY)
    state = stack.session.resource("dynamodb").Table(stack.state_table)
    state.delete_item(Key={"kind": DAILY_TOTAL, "key": DAY})
    plan(stack, api, user_id)


def ingest_in_euros(stack: Stack, api: Api, user_id: str) -> None:
    """Post an event in dollars to a new process, which reads the fx rates: without them, it has no euros."""
    with suppress(FunctionFailed):  # the settings are known already
        enter_rate(stack, fx_date_of(day()))
    # Setting the time limit, even to the same value, makes MiniStack start a new process.
    function = stack.physical_id("IngestFunction")
    stack.client("lambda").update_function_configuration(FunctionName=function, Timeout=20)
    for _ in range(15):
        stored = post_in_dollars(stack, api, user_id)
        if "costEUR" in stored:
            return
        time.sleep(1)
    raise AssertionError("Query is not allowed")


def post_in_dollars(stack: Stack, api: Api, user_id: str) -> dict[str, Any]:
    """Post an event without costEUR, and return the stored item."""
    event = an_event(user_id, costUSD=0.0134)
    del event["costEUR"]
    assert api.post(event).status == 201
    ledger = stack.session.resource("dynamodb").Table(stack.request_events_table)
    items = ledger.scan(ConsistentRead=True)["Items"]
    [stored] = [item for item in items if item["userEvent"] == f"{user_id}#{event['eventId']}"]
    return stored


def enter_rate(stack: Stack, ecb_date: str) -> None:
    usd = str(published(ecb_date, ecb_date)[ecb_date])
    stack.invoke("RatesFunction", {"date": ecb_date, "usd": usd, "confirm": True})


def enter_a_rate(stack: Stack, api: Api, user_id: str) -> None:
    enter_rate(stack, next(OLD_DATES))


def correct_a_rate(stack: Stack, api: Api, user_id: str) -> None:
    known = next(OLD_DATES)
    enter_rate(stack, known)
    stack.invoke("RatesFunction", {"date": known, "usd": "1.2", "reason": "a test"})


_NEW_YEAR = date(2012, 1, 1)
OLD_DATES = (d.isoformat() for n in range(366) if is_target_day(d := _NEW_YEAR + timedelta(days=n)))
"""Dates of the ECB at which no test converts a day. Each is used once."""

ingest_without_settings = without_settings(ingest_by_a_new_process)
plan_without_settings = without_settings(plan)
count_without_settings = without_settings(count)

FUNCTIONS = [
    f"{name}Function"
    for name in (
        *("Authorizer", "PersonAuthorizer", "Ingest", "Summaries", "Mcp", "Page"),
        *("Rollup", "RollupWorker", "Rates"),
    )
]
NOT_SHOWN = {
    *(
        Grant("RollupWorkerFunction", "TakeMessages", f"sqs:{action}Message")
        for action in ("Receive", "Delete")
    ),
    Grant("RollupWorkerFunction", "TakeMessages", "sqs:GetQueueAttributes"),
    Grant("RollupFunction", "KeepFailedCalls", "sqs:SendMessage"),
    *(Grant(function, "WriteLogs", "logs:CreateLogStream") for function in FUNCTIONS),
    *(Grant(function, "WriteLogs", "logs:PutLogEvents") for function in FUNCTIONS),
}
"""Lambda itself does these with the function's role. MiniStack does them without."""

FRESH = read("summaries", userId="{user_id}", fresh="true")

PROBES = {
    Grant("IngestFunction", "AppendEvents", "dynamodb:PutItem"): ingest_today,
    Grant("IngestFunction", "MarkLateDays", "dynamodb:UpdateItem"): ingest_late,
    Grant("IngestFunction", "ReadRates", "dynamodb:Query"): ingest_in_euros,
    Grant("IngestFunction", "EstablishSettings", "dynamodb:Query"): ingest_by_a_new_process,
    Grant("IngestFunction", "EstablishSettings", "dynamodb:PutItem"): ingest_without_settings,
    Grant("IngestFunction", "ReadProgress", "dynamodb:GetItem"): ingest_without_settings,
    Grant("SummariesFunction", "ReadSummaries", "dynamodb:Query"): read("summaries", userId="{user_id}"),
    Grant("SummariesFunction", "ReadSummaries", "dynamodb:BatchGetItem"): read("summaries", day=DAY),
    Grant("SummariesFunction", "ReadUsersOfADay", "dynamodb:Query"): read("summaries", day=DAY),
    Grant("SummariesFunction", "CountOpenDays", "dynamodb:Query"): FRESH,
    Grant("SummariesFunction", "ReadTotalsAndProgress", "dynamodb:GetItem"): FRESH,
    Grant("SummariesFunction", "ReadTotalsAndProgress", "dynamodb:Query"): read("totals"),
    Grant("SummariesFunction", "ReadNames", "dynamodb:BatchGetItem"): read("summaries", userId="{user_id}"),
    Grant("SummariesFunction", "ReadBreakdowns", "dynamodb:Query"): read("breakdown", by="team"),
    Grant("PersonAuthorizerFunction", "ReadLinkKeys", "dynamodb:GetItem"): present_a_link,
    Grant("McpFunction", "ReadSummaries", "dynamodb:Query"): ask_a_tool,
    Grant("McpFunction", "ReadSettingsAndMarks", "dynamodb:Query"): ask_a_tool,
    Grant("McpFunction", "ReadSettingsAndMarks", "dynamodb:GetItem"): ask_a_tool,
    Grant("McpFunction", "ReadNames", "dynamodb:BatchGetItem"): ask_a_tool,
    Grant("RollupFunction", "FinishCorrections", "dynamodb:Query"): plan,
    Grant("RollupFunction", "FinishCorrections", "dynamodb:PutItem"): plan_with_a_correction,
    Grant("RollupFunction", "SumDaysByDimension", "dynamodb:Query"): plan_with_a_day_to_sum_up,
    Grant("RollupFunction", "SumDaysByDimension", "dynamodb:PutItem"): plan_with_a_day_to_sum_up,
    Grant("RollupFunction", "ReadWhatIsToBeCounted", "dynamodb:Query"): plan,
    Grant("RollupFunction", "TakeOverMarks", "dynamodb:UpdateItem"): plan_with_an_old_mark,
    Grant("RollupFunction", "TidyMarks", "dynamodb:DeleteItem"): plan_with_an_old_mark,
    Grant("RollupFunction", "EstablishSettings", "dynamodb:Query"): plan,
    Grant("RollupFunction", "EstablishSettings", "dynamodb:PutItem"): plan_without_settings,
    Grant("RollupFunction", "SumDays", "dynamodb:Query"): plan_with_a_day_to_sum_up,
    Grant("RollupFunction", "SumDays", "dynamodb:UpdateItem"): plan_with_a_day_to_sum_up,
    Grant("RollupFunction", "KeepProgress", "dynamodb:GetItem"): plan,
    Grant("RollupFunction", "KeepProgress", "dynamodb:PutItem"): plan,
    Grant("RollupFunction", "SizeTheLedger", "dynamodb:DescribeTable"): plan_for_the_first_time,
    Grant("RollupFunction", "AskWorkers", "sqs:SendMessage"): plan,
    Grant("RollupWorkerFunction", "KeepWhatFailed", "sqs:SendMessage"): fail_for_good,
    Grant("RollupWorkerFunction", "ReadTheLedger", "dynamodb:Query"): count,
    Grant("RollupWorkerFunction", "ReplaceSummaries", "dynamodb:BatchGetItem"): count,
    Grant("RollupWorkerFunction", "ReplaceSummaries", "dynamodb:PutItem"): count,
    Grant("RollupWorkerFunction", "KeepTotals", "dynamodb:GetItem"): count,
    Grant("RollupWorkerFunction", "KeepTotals", "dynamodb:PutItem"): count,
    Grant("RollupWorkerFunction", "ReplaceSummaries", "dynamodb:DeleteItem"): count_without_the_events,
    Grant("RollupWorkerFunction", "FindSummariesWithoutEvents", "dynamodb:Query"): count,
    Grant("RollupWorkerFunction", "KeepBreakdowns", "dynamodb:PutItem"): count,
    Grant("RollupWorkerFunction", "ReadPrices", "dynamodb:Query"): count,
    Grant("RollupWorkerFunction", "FixPricesOfFinalDays", "dynamodb:PutItem"): count_without_fixed_prices,
    Grant("RollupWorkerFunction", "NoteUnpricedModels", "dynamodb:Query"): count_an_unpriced_model,
    Grant("RollupWorkerFunction", "NoteUnpricedModels", "dynamodb:PutItem"): count_an_unpriced_model,
    Grant("RollupWorkerFunction", "NoteChangesOfClosedDays", "dynamodb:UpdateItem"): count,
    Grant("RollupWorkerFunction", "ClearLateMarks", "dynamodb:GetItem"): count,
    Grant("RollupWorkerFunction", "ClearLateMarks", "dynamodb:UpdateItem"): count,
    Grant("RollupWorkerFunction", "ReadSettings", "dynamodb:Query"): count,
    Grant("RollupWorkerFunction", "ReadProgress", "dynamodb:GetItem"): count_without_settings,
    Grant("RollupWorkerFunction", "ReadRates", "dynamodb:Query"): count,
    Grant("RatesFunction", "KeepRates", "dynamodb:PutItem"): enter_a_rate,
    Grant("RatesFunction", "KeepRates", "dynamodb:Query"): enter_a_rate,
    Grant("RatesFunction", "TellWhatACorrectionChanges", "dynamodb:Query"): correct_a_rate,
}


@pytest.mark.long
@pytest.mark.parametrize("grant", PROBES, ids="-".join)
def test_every_action_granted_is_needed(stack: Stack, api: Api, user_id: str, grant: Grant) -> None:
    probe = PROBES[grant]
    with without(stack, grant), pytest.raises((FunctionFailed, AssertionError)) as refused:
        probe(stack, api, user_id)
    assert grant.action.partition(":")[2] in str(refused.value)
    assert "AccessDenied" in str(refused.value) or "is not allowed" in str(refused.value)
    probe(stack, api, user_id)


def test_nothing_else_is_granted(stack: Stack) -> None:
    granted = set()
    for function in FUNCTIONS:
        for _, document in policies(stack, function):
            for statement in document["Statement"]:
                # A log group's ARN ends in :*, which stands for its streams.
                assert "*" not in json.dumps([statement["Action"], statement["Resource"].removesuffix(":*")])
                granted |= {Grant(function, statement["Sid"], action) for action in actions(statement)}
    assert granted == set(PROBES) | NOT_SHOWN


def policies(stack: Stack, function: str) -> Iterator[tuple[dict[str, str], Any]]:
    """Yield each inline policy of a function's role: its role and name, and its document."""
    iam, role = stack.client("iam"), stack.physical_id(f"{function}Role")
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        names = {"RoleName": role, "PolicyName": name}
        yield names, iam.get_role_policy(**names)["PolicyDocument"]


def actions(statement: dict[str, Any]) -> list[str]:
    action = statement["Action"]
    return [action] if isinstance(action, str) else action


@contextmanager
def without(stack: Stack, grant: Grant) -> Iterator[None]:
    """Remove one action from a function's role, and restore it at the end."""
    iam = stack.client("iam")
    [(names, document)] = [
        (names, document)
        for names, document in policies(stack, grant.function)
        if any(statement.get("Sid") == grant.statement for statement in document["Statement"])
    ]
    reduced = json.loads(json.dumps(document))
    for statement in reduced["Statement"]:
        if statement["Sid"] == grant.statement:
            statement["Action"] = [action for action in actions(statement) if action != grant.action]
    reduced["Statement"] = [statement for statement in reduced["Statement"] if statement["Action"]]
    if reduced["Statement"]:
        iam.put_role_policy(**names, PolicyDocument=json.dumps(reduced))
    else:
        iam.delete_role_policy(**names)
    try:
        yield
    finally:
        iam.put_role_policy(**names, PolicyDocument=json.dumps(document))
