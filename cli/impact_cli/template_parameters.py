"""The parameters of template.yaml: which values they allow, and their defaults."""

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import click

from impact_cli.template import template

NUMBER = r"-?([0-9]+(\.[0-9]*)?|\.[0-9]+)"
WHOLE = ("RetentionDays", "RollupConcurrency", "ShardCount")
"""Numbers that must be whole. CloudFormation does not tell whole numbers from others."""


class InvalidParameter(click.ClickException):
    """A parameter that template.yaml does not have, or does not allow. The text is one line."""

    exit_code = 2


def parse(arguments: Sequence[str]) -> dict[str, str]:
    """Read `Name=value` arguments. Raises InvalidParameter."""
    for argument in arguments:
        if "=" not in argument:
            raise InvalidParameter(
                f"{argument!r} is not Name=value. Quote a value with spaces: Name='a value'."
            )
    parameters = dict(argument.split("=", 1) for argument in arguments)
    check(parameters)
    return parameters


def check(parameters: Mapping[str, str]) -> None:
    """Raise InvalidParameter if the template has no such parameter, or does not allow its value."""
    for name, value in parameters.items():
        declared = template()["Parameters"].get(name)
        if declared is None:
            raise InvalidParameter(
                f"template.yaml has no parameter {name!r}. It has {', '.join(defaults())}."
            )
        if problem := _problem(name, declared, value):
            raise InvalidParameter(f"{name} must {problem}.")


def defaults() -> dict[str, str]:
    return {name: str(declared["Default"]) for name, declared in template()["Parameters"].items()}


def override(name: str, value: object) -> str:
    """Write a parameter for `sam deploy --parameter-overrides`; its value may have spaces or be empty."""
    quoted = str(value).replace('"', '\\"')
    return f'{name}="{quoted}"'


def _problem(name: str, declared: dict[str, Any], value: str) -> str | None:
    """Say what an invalid value must be, without the value: it may be a secret. None for a valid one."""
    if declared["Type"] == "Number":
        lowest, highest = declared.get("MinValue", "-Infinity"), declared.get("MaxValue", "Infinity")
        pattern = "[0-9]+" if name in WHOLE else NUMBER
        if not re.fullmatch(pattern, value) or not float(lowest) <= float(value) <= float(highest):
            to = f" to {highest}" if "MaxValue" in declared else " on"
            return f"be a {'whole ' if name in WHOLE else ''}number from {lowest}{to}"
    if value not in declared.get("AllowedValues", [value]):
        return f"be one of {', '.join(declared['AllowedValues'])}"
    if len(value) > declared.get("MaxLength", len(value)):
        return f"have at most {declared['MaxLength']} characters"
    if name == "ReportingTimeZone" and value not in _time_zones():
        return "be the name of a time zone in the IANA's list, such as Europe/Berlin or UTC"
    if "AllowedPattern" in declared and not re.fullmatch(declared["AllowedPattern"], value):
        return f"match {declared['AllowedPattern']}"
    return None


def _time_zones() -> set[str]:
    """The time zones that the functions know. This machine may know others."""
    return set((files("tzdata") / "zones").read_text().split())
