"""Tokens of a stack: added beside the others, revoked one by one, never shown again."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from impact_cli import tokens
from impact_cli.main import main
from impact_cli.template_parameters import defaults
from impact_cli.tokens import TOKENS_MAX, sha256


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.Session]:
    monkeypatch.setattr(tokens, "POLL", {"Delay": 0, "MaxAttempts": 3})
    with mock_aws():
        given = defaults() | {"IngestTokenHashes": sha256("first"), "MarkupPercent": "5"}
        parameters: Any = [{"ParameterKey": name, "ParameterValue": value} for name, value in given.items()]
        template = {
            "Parameters": {name: {"Type": "String"} for name in given},
            "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        }
        boto3.client("cloudformation").create_stack(
            StackName="impact", TemplateBody=json.dumps(template), Parameters=parameters
        )
        yield boto3.Session()


def parameters(session: boto3.Session) -> dict[str, str]:
    [stack] = session.client("cloudformation").describe_stacks(StackName="impact")["Stacks"]
    return {item["ParameterKey"]: item["ParameterValue"] for item in stack["Parameters"]}


def test_a_new_token_is_valid_beside_the_others(
    session: boto3.Session, capsys: pytest.CaptureFixture[str]
) -> None:
    before = parameters(session)
    assert main(["token", "new", "ingest"]) == 0
    told = capsys.readouterr()
    token = told.out.removesuffix("\n")
    assert len(token) > 40
    assert token not in told.err
    after = parameters(session)
    assert after == before | {"IngestTokenHashes": f"{sha256('first')},{sha256(token)}"}
    assert main(["token", "new", "read"]) == 0
    assert parameters(session)["ReadTokenHashes"] == sha256(capsys.readouterr().out.removesuffix("\n"))


def test_a_token_is_revoked_and_the_others_stay(
    session: boto3.Session, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["token", "new", "ingest"]) == 0
    token = capsys.readouterr().out.removesuffix("\n")
    assert main(["token", "revoke", sha256("first")[:12], "--yes"]) == 0
    assert capsys.readouterr().out == f"Revoked: the ingest token {sha256('first')[:12]}.\n"
    assert parameters(session)["IngestTokenHashes"] == sha256(token)
    assert main(["token", "revoke", sha256(token), "--yes"]) == 0
    assert parameters(session)["IngestTokenHashes"] == ""


def test_the_list_shows_no_hash_whole(session: boto3.Session, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "list"]) == 0
    told = capsys.readouterr().out
    assert sha256("first")[:12] in told
    assert sha256("first") not in told


@pytest.mark.parametrize("name", ["ffffff", "", "zz", sha256("other"), sha256("first")[:5], "first"])
def test_a_name_that_is_not_of_one_token_revokes_none(
    session: boto3.Session, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    tokens.add_token(session, "impact", "read", "another")
    before = parameters(session)
    assert main(["token", "revoke", "--yes", "--", name]) == 1
    reason = "is too short" if len(name) < 6 else "has a hash that begins with"
    assert reason in capsys.readouterr().err
    assert parameters(session) == before


def test_nothing_is_revoked_without_a_yes(session: boto3.Session, capsys: pytest.CaptureFixture[str]) -> None:
    before = parameters(session)
    assert main(["token", "revoke", sha256("first")[:12]]) == 1
    assert "Nothing was revoked." in capsys.readouterr().err
    assert parameters(session) == before


def test_no_more_fit_than_the_environment_of_a_function_holds(
    session: boto3.Session, capsys: pytest.CaptureFixture[str]
) -> None:
    full = ",".join(sha256(str(number)) for number in range(TOKENS_MAX["ingest"]))
    tokens._store(session, "impact", "read", full.split(","))
    assert main(["token", "new", "read"]) == 1
    told = capsys.readouterr()
    assert (told.out, "no more fit. Revoke one first" in told.err) == ("", True)


def test_a_stack_that_is_not_there_is_named(
    session: boto3.Session, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["token", "list", "--stack", "nowhere"]) == 1
    assert "There is no stack nowhere in eu-central-1." in capsys.readouterr().err
