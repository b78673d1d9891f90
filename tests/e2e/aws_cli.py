"""A substitute for the AWS CLI, with the options that docs/runbook.md uses, by the same service models.

With DRY_RUN in the environment, it only checks the options and calls nothing.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import botocore.session
import jmespath
from botocore import xform_name
from botocore.validate import validate_parameters


def main(service: str, operation: str, *arguments: str) -> None:
    client: Any = botocore.session.get_session().create_client(service)
    given, waiter = list(arguments), None
    if operation == "wait":
        waiter = client.get_waiter(given.pop(0).replace("-", "_"))
        name = waiter.config.operation
    else:
        names = client.meta.service_model.operation_names
        [name] = [name for name in names if xform_name(name, "-") == operation]
    shape: Any = client.meta.service_model.operation_model(name).input_shape
    members = {xform_name(member, "-"): member for member in shape.members}
    options, files = _split(given)
    query, as_text = options.pop("query", None), options.pop("output", ["json"]) == ["text"]
    parameters = {
        members[option]: _value(shape.members[members[option]], values or ["true"])
        for option, values in options.items()
    }
    if "DRY_RUN" in os.environ:
        validate_parameters(parameters, shape)
        print("x" * 40)
    elif waiter:
        waiter.wait(**parameters)
    else:
        answer = _call(client, xform_name(name), parameters)
        for file in files:  # where `lambda invoke` writes the function's response
            Path(file).write_bytes(answer.pop("Payload").read())
        _show(jmespath.search(query[0], answer) if query else answer, as_text)


def _split(arguments: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Tell option values from files, which begin with a slash. So do names of log groups."""
    options: dict[str, list[str]] = {}
    files = []
    name = ""
    for argument in arguments:
        if argument.startswith("--"):
            name = argument[2:]
            options[name] = []
        elif argument.startswith("/") and "log-group" not in name:
            files.append(argument)
        else:
            options[name].append(argument)
    return options, files


def _value(shape: Any, values: list[str]) -> Any:
    [first, *_] = values
    if shape.type_name in {"structure", "map"}:
        return json.loads(first) if first.startswith("{") else _shorthand(shape, first)
    if shape.type_name == "list":
        return [_value(shape.member, [value]) for value in values]
    if shape.type_name == "boolean":
        return first == "true"
    return int(first) if shape.type_name in {"integer", "long", "double"} else first


def _shorthand(shape: Any, text: str) -> dict[str, Any]:
    pairs = (pair.split("=", 1) for pair in text.split(","))
    return {name: _value(shape.members[name], [value]) for name, value in pairs}


def _call(client: Any, method: str, parameters: dict[str, Any]) -> Any:
    if client.can_paginate(method):
        return client.get_paginator(method).paginate(**parameters).build_full_result()
    answer = getattr(client, method)(**parameters)
    del answer["ResponseMetadata"]
    return answer


def _show(found: Any, as_text: bool) -> None:
    if not as_text:
        print(json.dumps(found, indent=4, default=str))
        return
    rows = found if isinstance(found, list) else [found]
    if not any(isinstance(row, list) for row in rows):
        rows = [rows]
    for row in rows:
        print(*row, sep="\t")


if __name__ == "__main__":
    main(*sys.argv[1:])
