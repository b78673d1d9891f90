"""`make deploy` accepts the parameters and values that the template allows."""

import pytest

from impact_cli.template_parameters import InvalidParameter, check, defaults, parse
from local.template import template


def test_the_templates_defaults_are_valid() -> None:
    check(defaults())
    assert defaults().keys() == template()["Parameters"].keys()


@pytest.mark.parametrize(
    "argument",
    [
        "RetentionDays=3",
        "RetentionDays=3650",
        "ShardCount=1",
        "ShardCount=1000",
        "MarkupPercent=0",
        "MarkupPercent=12.5",
        "MarkupPercent=.5",
        "Architecture=x86_64",
        "ReportingTimeZone=America/Argentina/Buenos_Aires",
        "ReportingTimeZone=Etc/GMT+5",
        "RestorationSource=",
        "RestorationSource=A study = this one,\n2026",
        f"IngestTokenHashes={'a' * 64},{'0' * 64}",
        "ElectricityZones=azure=SWE,bedrock=DEU",
    ],
)
def test_what_the_template_allows_is_accepted_unchanged(argument: str) -> None:
    name, value = argument.split("=", 1)
    assert parse([argument]) == {name: value}


@pytest.mark.parametrize(
    ("argument", "advice"),
    [
        ("RetentionDays=2", "RetentionDays must be a whole number from 3 to 3650."),
        ("RetentionDays=3651", "RetentionDays must be a whole number from 3 to 3650."),
        ("RetentionDays=400.5", "RetentionDays must be a whole number from 3 to 3650."),
        ("RetentionDays=", "RetentionDays must be a whole number from 3 to 3650."),
        ("ShardCount=0", "ShardCount must be a whole number from 1 to 1000."),
        ("ShardCount=1001", "ShardCount must be a whole number from 1 to 1000."),
        ("ShardCount=8 ", "ShardCount must be a whole number from 1 to 1000."),
        ("ShardCount=1_0", "ShardCount must be a whole number from 1 to 1000."),
        ("ShardCount=٨", "ShardCount must be a whole number from 1 to 1000."),
        ("MarkupPercent=-1", "MarkupPercent must be a number from 0 on."),
        ("MarkupPercent=NaN", "MarkupPercent must be a number from 0 on."),
        ("MarkupPercent=ten", "MarkupPercent must be a number from 0 on."),
        ("Architecture=arm", "Architecture must be one of arm64, x86_64."),
        ("RollupSchedule=hourly", r"RollupSchedule must match (rate|cron)\(.+\)."),
        ("OperatorCountry=FR\n", "OperatorCountry must match ([A-Z]{3})?."),
        (f"RestorationSource={'x' * 201}", "RestorationSource must have at most 200 characters."),
    ],
)
def test_what_the_template_does_not_allow_is_rejected(argument: str, advice: str) -> None:
    with pytest.raises(InvalidParameter) as error:
        parse([argument])
    assert str(error.value) == advice


@pytest.mark.parametrize(
    "zone", ["Europe/Atlantis", "europe/berlin", "CEST", "UTC+2", "", "/etc/localtime", "../UTC", "localtime"]
)
def test_an_unknown_time_zone_is_rejected(zone: str) -> None:
    with pytest.raises(InvalidParameter, match="ReportingTimeZone must be the name of a time zone"):
        parse([f"ReportingTimeZone={zone}"])


def test_a_value_that_may_be_a_secret_is_not_repeated() -> None:
    with pytest.raises(InvalidParameter, match="IngestTokenHashes must match") as error:
        parse(["IngestTokenHashes=a-t0ken-in-place-of-its-hash"])
    assert "t0ken" not in str(error.value)


def test_a_parameter_that_the_template_does_not_have_is_rejected() -> None:
    with pytest.raises(
        InvalidParameter, match=r"no parameter 'Shardcount'. It has IngestTokenHashes, .*ShardCount"
    ):
        parse(["RetentionDays=400", "Shardcount=8"])


@pytest.mark.parametrize("argument", ["ShardCount", "study,", ""])
def test_an_argument_without_a_value_is_rejected(argument: str) -> None:
    with pytest.raises(InvalidParameter, match=r"is not Name=value. Quote a value with spaces"):
        parse(["RestorationSource=A", argument])
