"""The ledger: the first event of an id stays, and every event of a day or a user is read."""

from decimal import Decimal

import pytest

from impact.keys import day_shard, shard_of
from impact.store import Store
from tests.events import NOON, entry_builder, event
from tests.integration.steps import TODAY, put, roll_up, summary

pytestmark = pytest.mark.usefixtures("ledger_since_noon")


def test_the_first_event_of_an_id_stays(store: Store) -> None:
    item = entry_builder().build(event(), NOON).item
    assert store.ledger.append(item)
    assert not store.ledger.append(item | {"costUSD": Decimal(99)})
    [page] = store.ledger.event_pages(item["dayShard"], consistent=True)
    assert [each.costUSD.N for each in page if each.costUSD] == [Decimal("0.00475")]


def test_pages_go_on_after_one_megabyte(store: Store) -> None:
    put(store, *(event(eventId=str(n), conversationId="c" * 256, keyAlias="k" * 256) for n in range(1500)))
    pages = list(store.ledger.event_pages(day_shard(TODAY, shard_of("alice", 4)), consistent=False))
    assert len(pages) > 1
    roll_up(store)
    assert summary(store)["requests"] == 1500


def test_a_user_whose_id_begins_like_another_is_another(store: Store) -> None:
    users = ["a", "a#", "a%23", "a#b", "a!", "ab", "a\0"]
    one_shard = entry_builder(shard_count=1)
    put(store, *(event(userId=u, eventId=f"{n}") for u in users for n in range(3)), builder=one_shard)
    roll_up(store, builder=one_shard)
    for user in users:
        assert summary(store, user)["requests"] == 3
        pages = store.ledger.event_pages(day_shard(TODAY, 0), user_id=user, consistent=True)
        assert {e.userId.S for page in pages for e in page} == {user}
