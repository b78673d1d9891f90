"""template.yaml of the checkout, parsed."""

from functools import cache
from pathlib import Path
from typing import Any

import click
import yaml

_MARKS = ("template.yaml", "samconfig.toml")
"""A checkout of this service has both."""


class NoCheckout(click.ClickException):
    """The command needs the source of the service."""


@cache
def checkout() -> Path:
    """The checkout that the current folder is in; else the one that this package runs from.

    Raises NoCheckout.
    """
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[2]):
        if all((folder / mark).is_file() for mark in _MARKS):
            return folder
    raise NoCheckout("There is no template.yaml here. Run this in a checkout of the Impact Service.")


@cache
def template() -> Any:
    """Parse template.yaml. Raises NoCheckout."""
    return _Loader((checkout() / "template.yaml").read_text()).get_single_data()


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms, such as `!Ref Name`, as their long ones."""


def _intrinsic(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        return {name: value.split(".", 1) if suffix == "GetAtt" else value}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {name: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _intrinsic)
