"""`impact put-back`: a table gets the items that it lacks from a restored one; its own items stay."""

from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from impact.store import Store
from impact_cli.main import main
from tests.tables import make_tables


@pytest.fixture
def stores() -> Iterator[tuple[Store, Store]]:
    """The tables of two stacks."""
    with mock_aws():
        yield make_tables(), make_tables()


def run(*tables: str) -> int:
    return main(["put-back", *tables])


def texts(store: Store, table: str, *key: str) -> dict[tuple[str, ...], Any]:
    items = store.client.scan(TableName=table)["Items"]
    return {tuple(item[name]["S"] for name in key): item["text"]["S"] for item in items}


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("ledger", ("dayShard", "userEvent")),
        ("summaries", ("userId", "day")),
        ("state", ("kind", "key")),
    ],
)
def test_missing_items_are_copied_and_the_others_stay(
    stores: tuple[Store, Store],
    capsys: pytest.CaptureFixture[str],
    table: str,
    key: tuple[str, str],
) -> None:
    stack, restored = stores
    source, target = getattr(restored, table).name, getattr(stack, table).name
    for text, name, numbers in (("old", source, range(1, 40)), ("now", target, (0, 7))):
        for number in numbers:
            item = {key[0]: {"S": "same"}, key[1]: {"S": str(number)}, "text": {"S": text}}
            stack.client.put_item(TableName=name, Item=item)
    assert run(source, target) == 0
    assert "39 items" in (told := capsys.readouterr().out)
    assert "38 were missing" in told
    expected = {("same", str(n)): "now" if n in (0, 7) else "old" for n in range(40)}
    assert texts(stack, target, *key) == expected
    assert run(source, target) == 0
    assert " 0 were missing" in capsys.readouterr().out
    assert texts(stack, target, *key) == expected


def test_a_missing_table_is_reported(stores: tuple[Store, Store], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("restored-somewhere", stores[0].ledger.name) == 1
    told = capsys.readouterr()
    assert (told.out, "ResourceNotFoundException" in told.err) == ("", True)
    assert run("same", "same") == 2
    assert "same table" in capsys.readouterr().err
