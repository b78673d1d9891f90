"""Which stack a command is for: one source as a whole, so that no token reaches another stack."""

from pathlib import Path
from typing import Any

import pytest

from impact_cli.config import Config
from impact_cli.target import NotFound, Target, find

PATH = Path("config.toml")
PROFILES = Config(
    {
        "default": {"stack": "impact", "url": "https://default", "read_token": "of default"},
        "test": {"stack": "impact-test", "url": "https://test", "read_token": "of test"},
    }
)
ENVIRONMENT = {
    "IMPACT_STACK": "local",
    "IMPACT_SERVICE_URL": "http://localhost:3090/api/request-event",
    "IMPACT_READ_TOKEN": "of the environment",
}


def found(
    profile: str | None = None,
    stack: str | None = None,
    environment: dict[str, str] | None = None,
    config: Config = PROFILES,
) -> tuple[Any, ...]:
    target = find(profile, stack, environment or {}, config, PATH)
    return target.stack, target.url, target.read_token


DEFAULT = ("impact", "https://default", "of default")
TEST = ("impact-test", "https://test", "of test")
LOCAL = ("local", "http://localhost:3090/api/request-event", "of the environment")


def test_the_profile_that_is_named_counts_first() -> None:
    assert found("test", environment=ENVIRONMENT) == TEST
    assert found(environment={**ENVIRONMENT, "IMPACT_PROFILE": "test"}) == TEST
    assert found("default", environment={**ENVIRONMENT, "IMPACT_PROFILE": "test"}) == DEFAULT


def test_then_the_environment_then_the_profile_default() -> None:
    assert found(environment=ENVIRONMENT) == LOCAL
    assert found() == DEFAULT
    assert found(config=Config()) == ("impact", None, None)


def test_no_token_is_taken_to_another_stack() -> None:
    assert found(stack="impact-test", environment=ENVIRONMENT) == TEST
    assert found(stack="local", environment=ENVIRONMENT) == LOCAL
    assert found(stack="other", environment=ENVIRONMENT) == ("other", None, None)
    assert found(stack="other") == ("other", None, None)
    assert found("test", stack="other") == ("other", None, None)
    assert found(environment={"IMPACT_STACK": "other"}) == ("other", None, None)
    assert found(environment={"IMPACT_STACK": "impact-test"}) == TEST


def test_one_source_is_taken_whole() -> None:
    """A URL of the environment does not get the token of a profile."""
    only_url = {"IMPACT_SERVICE_URL": "https://elsewhere"}
    assert found(environment=only_url) == ("impact", "https://elsewhere", None)
    only_token = {"IMPACT_READ_TOKEN": "of the environment"}
    assert found(environment=only_token) == ("impact", None, "of the environment")


def test_a_profile_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(NotFound, match=r"no profile 'prod' in config.toml. It has default, test"):
        found("prod")


def test_what_is_missing_is_said() -> None:
    with pytest.raises(NotFound, match=r"No read token of the stack impact in here. Set IMPACT_READ_TOKEN"):
        Target("here").reader()
    with pytest.raises(NotFound, match=r"No ingest token .* Set IMPACT_SERVICE_TOKEN"):
        Target("here").sender()
