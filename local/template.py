"""template.yaml, parsed: for commands and tests that read it."""

from functools import cache
from typing import Any

from samtranslator.yaml_helper import yaml_parse

from local import PROJECT

TEMPLATE = PROJECT / "template.yaml"


@cache
def template() -> Any:
    """Parse template.yaml. Cached, because parsing takes a sixth of a second."""
    return yaml_parse(TEMPLATE.read_text())


def resources(kind: str) -> dict[str, dict[str, Any]]:
    """Properties of the template's resources of a type, by logical id."""
    found: dict[str, Any] = template()["Resources"]
    return {name: resource["Properties"] for name, resource in found.items() if resource["Type"] == kind}
