"""template.yaml, parsed: for commands and tests that read it."""

from typing import Any

from impact_cli.template import template
from local import PROJECT

__all__ = ["TEMPLATE", "resources", "template"]

TEMPLATE = PROJECT / "template.yaml"


def resources(kind: str) -> dict[str, dict[str, Any]]:
    """Properties of the template's resources of a type, by logical id."""
    found: dict[str, Any] = template()["Resources"]
    return {name: resource["Properties"] for name, resource in found.items() if resource["Type"] == kind}
