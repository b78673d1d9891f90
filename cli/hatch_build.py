"""Puts the packages that the command shares with the functions into its wheel."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SHARED = {
    "impact": "functions/impact",
    "request_events": "layers/callback/request_events",
}


class SharedPackages(BuildHookInterface):  # type: ignore[misc]
    """Includes them from the repository. An editable installation has their folders in its path instead."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "editable":
            repository = Path(self.root).parent
            build_data["force_include"] |= {str(repository / path): name for name, path in SHARED.items()}
