"""docs/openapi.json: valid, and what the code says today."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from local import PROJECT
from local.template import template

WRITTEN = PROJECT / "docs/openapi.json"
DOCUMENT: dict[str, Any] = json.loads(WRITTEN.read_text())
OPERATIONS = [
    (f"{method.upper()} {path}", operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]


def test_it_is_what_the_code_says(tmp_path: Path) -> None:
    made = tmp_path / "openapi.json"
    paths = os.pathsep.join(["functions", "layers/callback", "."])
    command = [sys.executable, "-m", "local.openapi", "--to", str(made)]
    subprocess.run(command, cwd=PROJECT, env=os.environ | {"PYTHONPATH": paths}, check=True)
    assert made.read_text() == WRITTEN.read_text(), "run: make openapi"


def test_it_is_valid() -> None:
    validate(DOCUMENT)


def test_it_describes_every_route_and_no_other() -> None:
    resources = template()["Resources"]
    events = [event for r in resources.values() for event in r["Properties"].get("Events", {}).values()]
    routes = {
        f"{event['Properties']['Method']} {event['Properties']['Path']}"
        for event in events
        if event["Type"] == "HttpApi"
    }
    assert {route for route, _ in OPERATIONS} == {route for route in routes if "/api/" in route}


@pytest.mark.parametrize(("route", "operation"), OPERATIONS, ids=[route for route, _ in OPERATIONS])
def test_every_example_is_of_its_schema(route: str, operation: dict[str, Any]) -> None:
    bodies = [operation["requestBody"], *operation["responses"].values()] if route.startswith("POST") else []
    bodies = bodies or list(operation["responses"].values())
    for body in bodies:
        content = body["content"]["application/json"]
        schema = content["schema"] | {"components": DOCUMENT["components"]}
        assert content["examples"]
        for example in content["examples"].values():
            OAS31Validator(schema).validate(example["value"])
