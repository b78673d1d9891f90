"""template.yaml as CloudFormation gets it: SAM's resources translated, as SAM's transform does it."""

import copy
from functools import cache
from typing import Any

from samtranslator.translator.transform import transform

from local.template import template


class _NoManagedPolicies:
    """SAM looks managed policies up by name; the template names none."""

    def load(self) -> dict[str, str]:
        return {}


@cache
def translated() -> dict[str, Any]:
    """The resources of the translated template, by logical id."""
    packaged = copy.deepcopy(template())
    packaged["Globals"]["Function"]["CodeUri"] = "s3://bucket/functions.zip"
    for resource in packaged["Resources"].values():
        if "ContentUri" in resource["Properties"]:
            resource["Properties"]["ContentUri"] = "s3://bucket/layer.zip"
    found: dict[str, Any] = transform(packaged, {}, _NoManagedPolicies())["Resources"]
    return found
