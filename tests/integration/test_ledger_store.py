"""The ledger: the first event of an id stays."""

from decimal import Decimal

from impact.store import Store
from tests.events import NOON, entry_builder, event


def test_the_first_event_of_an_id_stays(store: Store) -> None:
    item = entry_builder().build(event(), NOON).item
    assert store.ledger.append(item)
    assert not store.ledger.append(item | {"costUSD": Decimal(99)})
    [page] = store.ledger.event_pages(item["dayShard"], consistent=True)
    assert [each["costUSD"] for each in page] == [{"N": "0.00475"}]
