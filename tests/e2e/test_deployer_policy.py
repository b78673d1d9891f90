"""`make deploy` by a user who has deploy/deployer-policy.json and nothing else.

MiniStack checks what the commands call (CloudFormation, S3, DynamoDB), not what CloudFormation itself calls:
that is in tests/unit/test_deployer_policy.py.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from local import PROJECT
from local.stack import Stack
from tests.e2e.deploying import delete, deploy

pytestmark = pytest.mark.long


@pytest.fixture
def deployer(stack: Stack, name: str) -> Iterator[dict[str, str]]:
    """The credentials of a user who may deploy this stack."""
    iam = stack.client("iam")
    policy = (PROJECT / "deploy/deployer-policy.json").read_text().replace("impact", name)
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="deployer", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    with plain_http_to_the_bucket(stack):
        yield {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    iam.delete_user_policy(UserName=name, PolicyName="deployer")
    iam.delete_user(UserName=name)


@contextmanager
def plain_http_to_the_bucket(stack: Stack) -> Iterator[None]:
    """SAM CLI's bucket allows HTTPS only, which MiniStack does not have."""
    s3 = stack.client("s3")
    [bucket] = [
        b["Name"] for b in s3.list_buckets()["Buckets"] if b["Name"].startswith("aws-sam-cli-managed")
    ]
    policy = s3.get_bucket_policy(Bucket=bucket)["Policy"]
    s3.delete_bucket_policy(Bucket=bucket)
    yield
    s3.put_bucket_policy(Bucket=bucket, Policy=policy)


def test_the_policy_is_enough_to_deploy_to_update_and_to_take_tables_over(
    stack: Stack,
    name: str,
    deployer: dict[str, str],
) -> None:
    for arguments in ([], ["ShardCount=8"]):
        ran = deploy(stack, name, *arguments, credentials=deployer)
        assert ran.code == 0, ran.out
    delete(stack, name)
    ran = deploy(stack, name, "--yes", credentials=deployer)
    assert ran.code == 0, ran.out


def test_another_stack_is_out_of_its_reach(stack: Stack, deployer: dict[str, str]) -> None:
    ran = deploy(stack, "impact", "MarkupPercent=99", credentials=deployer)
    assert ran.code == 1
    assert "AccessDenied" in ran.out or "not authorized" in ran.out
