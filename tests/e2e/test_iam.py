"""IAM is enforced in every end-to-end test, and each role may do what is listed here and nothing else.

Requests use a role's own credentials. Writes have a condition that never holds: a write that IAM allows
fails at the condition, and changes nothing. MiniStack also checks invocations of functions
(test_permissions).
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from local.stack import Stack
from local.stack.ministack import REGION

Request = tuple[str, str]

NAMES = ("name#user", "name#team", "name#key")
KINDS = ("mark", "late", "total", "day", "rollup", "rate", "settings", *NAMES, "another")
READ = ("mark", "total", "day", "rollup", "rate", "settings")
ESTABLISH: set[Request] = {
    *(("query", "state settings"), ("put_item", "state settings"), ("get_item", "state rollup")),
}
KEYS = {
    "events": {"dayShard": "2026-11-23#00", "userEvent": "alice#1"},
    "summaries": {"userId": "alice", "day": "2026-11-23"},
} | {f"state {kind}": {"kind": kind, "key": "2026-11-23#00"} for kind in KINDS}
TAKE = ("receive_message", "delete_message", "get_queue_attributes")
QUEUES = ("RollupQueue", "FailedRollups", "FailedSchedules")
NEVER = {"ConditionExpression": "attribute_exists(nothing_has_this)"}

ALLOWED: dict[str, set[Request]] = {
    "Authorizer": set(),
    "Ingest": {("put_item", "events"), ("update_item", "state mark"), ("query", "state rate"), *ESTABLISH},
    "Summaries": {
        *(("query", "events"), ("query", "summaries"), ("query", "summaries byDay")),
        ("batch_get_item", "summaries"),
        *((action, f"state {kind}") for action in ("query", "get_item") for kind in READ),
        *(("batch_get_item", f"state {kind}") for kind in NAMES),
    },
    "Rollup": {
        *(("send_message", queue) for queue in ("RollupQueue", "FailedRollups")),
        *(("describe_table", "events"), ("get_item", "state rollup"), ("put_item", "state rollup")),
        *(("query", f"state {kind}") for kind in ("total", "rate", "mark", "late")),
        *(("update_item", "state mark"), ("delete_item", "state mark"), ("delete_item", "state late")),
        *(("query", "state day"), ("update_item", "state day")),
        *ESTABLISH,
    },
    "RollupWorker": {
        *(
            (action, "RollupQueue")
            for action in ("receive_message", "delete_message", "get_queue_attributes")
        ),
        ("send_message", "FailedRollups"),
        *(("query", "events"), ("batch_get_item", "summaries"), ("put_item", "summaries")),
        *(("get_item", "state total"), ("put_item", "state total"), ("query", "state rate")),
        *(("query", "summaries byDay"), ("delete_item", "summaries"), ("update_item", "state day")),
        *(("get_item", "state mark"), ("update_item", "state mark")),
        *(("query", "state settings"), ("get_item", "state rollup")),
    },
    "Rates": {("put_item", "state rate"), ("query", "state rate"), ("query", "state total")},
}


@pytest.mark.parametrize("function", ALLOWED)
def test_a_role_may_do_just_what_its_function_does(stack: Stack, function: str) -> None:
    role = stack.client("iam").get_role(RoleName=stack.physical_id(f"{function}FunctionRole"))["Role"]["Arn"]
    made = stack.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    session = boto3.Session(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])
    assert allowed(stack, session) == ALLOWED[function]


def test_unknown_credentials_may_do_nothing(stack: Stack) -> None:
    assert allowed(stack, boto3.Session("AKIANOBODYATALL00000", "x")) == set()


def test_an_unsigned_request_may_do_nothing(stack: Stack) -> None:
    assert allowed(stack, boto3.Session(), Config(signature_version=UNSIGNED)) == set()


def allowed(stack: Stack, session: boto3.Session, config: Config | None = None) -> set[Request]:
    dynamodb: Any = session.client("dynamodb", REGION, endpoint_url=stack.endpoint_url, config=config)
    sqs: Any = session.client("sqs", REGION, endpoint_url=stack.endpoint_url, config=config)
    asked = [*requests(stack, dynamodb), *requests_of_queues(stack, sqs)]
    return {request for request, send in asked if is_let_through(send)}


def requests(stack: Stack, dynamodb: Any) -> Iterator[tuple[Request, Callable[[], Any]]]:
    """Every kind of request for every table, and for every kind of item in State."""
    for table, values in KEYS.items():
        names = {"events": stack.request_events_table, "summaries": stack.daily_summaries_table}
        key = {name: {"S": value} for name, value in values.items()}
        hash_key, value = next(iter(key.items()))
        query = {"KeyConditionExpression": "#k = :v", "ExpressionAttributeNames": {"#k": hash_key}}
        query |= {"ExpressionAttributeValues": {":v": value}}
        one = {"TableName": names.get(table, stack.state_table)}
        sent: dict[str, dict[str, Any]] = {
            "query": one | query,
            "get_item": one | {"Key": key},
            "put_item": one | {"Item": key} | NEVER,
            "delete_item": one | {"Key": key} | NEVER,
            "update_item": one | {"Key": key} | NEVER,
            "batch_get_item": {"RequestItems": {one["TableName"]: {"Keys": [key]}}},
            "batch_write_item": {"RequestItems": {one["TableName"]: [{"DeleteRequest": {"Key": key}}]}},
            "scan": one,
            "describe_table": one,
            "update_time_to_live": one
            | {"TimeToLiveSpecification": {"AttributeName": "expiresAt", "Enabled": True}},
            "delete_table": one,  # deletion protection would refuse it in any case
        }
        for action, arguments in sent.items():
            yield (action, table), partial(getattr(dynamodb, action), **arguments)
        if table == "summaries":
            by_day = query | {"ExpressionAttributeNames": {"#k": "dayShard"}, "IndexName": "byDay"}
            yield ("query", "summaries byDay"), partial(dynamodb.query, **one | by_day)


def requests_of_queues(stack: Stack, sqs: Any) -> Iterator[tuple[Request, Callable[[], Any]]]:
    """Every kind of request for every queue. None changes anything, even if IAM allows it."""
    for queue in QUEUES:
        url = stack.physical_id(queue)
        sent: dict[str, dict[str, Any]] = {
            "send_message": {"MessageBody": ""},  # which SQS refuses
            "receive_message": {"VisibilityTimeout": 0},
            "delete_message": {"ReceiptHandle": "none"},
            "get_queue_attributes": {"AttributeNames": ["QueueArn"]},
            "change_message_visibility": {"ReceiptHandle": "none", "VisibilityTimeout": 0},
            "set_queue_attributes": {"Attributes": {"DelaySeconds": "0"}},
            "purge_queue": {},
        }
        for action, arguments in sent.items():
            yield (action, queue), partial(getattr(sqs, action), QueueUrl=url, **arguments)


def is_let_through(send: Callable[[], Any]) -> bool:
    """Tell whether IAM allows a request, even if it then fails."""
    try:
        send()
    except ClientError as error:
        refusals = (
            "AccessDenied",
            "AccessDeniedException",
            "InvalidClientTokenId",
            "UnrecognizedClientException",
            "MissingAuthenticationTokenException",
        )
        return error.response["Error"]["Code"] not in refusals
    return True
