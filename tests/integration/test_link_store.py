"""Keys of links and generations of users, in State."""

import pytest

from impact.links import SECRET_BYTES
from impact.store import Store
from impact_cli.restored_table import put_back
from tests.events import NOON


def test_the_first_key_of_a_number_stays(store: Store) -> None:
    assert store.links.newest_key() is None
    key = store.links.add_key(1, NOON)
    assert (key.number, len(key.secret)) == (1, SECRET_BYTES)
    assert store.links.add_key(1, NOON) == key == store.links.key(1)  # whoever comes second gets the same


def test_a_key_is_random(store: Store) -> None:
    assert len({store.links.add_key(number, NOON).secret for number in range(1, 9)}) == 8


def test_the_newest_key_is_the_one_with_the_highest_number(store: Store) -> None:
    keys = [store.links.add_key(number, NOON) for number in (9, 10, 1, 100)]
    assert store.links.newest_key() == keys[3]
    assert [key.number for key in store.links.all_keys()] == [1, 9, 10, 100]


def test_a_deleted_key_is_gone_and_its_number_is_not_used_again(store: Store) -> None:
    store.links.add_key(1, NOON)
    for number in (1, 7):
        store.links.delete_key(number, NOON)
        assert store.links.key(number) is None
        with pytest.raises(LookupError):
            store.links.add_key(number, NOON)
    assert store.links.all_keys() == []
    assert store.links.newest_key() is None
    assert store.links.last_number() == 7


def test_a_backup_does_not_bring_a_deleted_key_back(store: Store) -> None:
    """As `impact put-back` does it: items that are missing, and no other ones."""
    store.links.add_key(1, NOON)
    backup = store.client.scan(TableName=store.state.name, ConsistentRead=True)["Items"]
    store.links.delete_key(1, NOON)
    schema = store.client.describe_table(TableName=store.state.name)["Table"]
    copy = f"{store.state.name}-restored"
    store.client.create_table(
        TableName=copy,
        KeySchema=schema["KeySchema"],
        AttributeDefinitions=schema["AttributeDefinitions"],
        BillingMode="PAY_PER_REQUEST",
    )
    try:
        for item in backup:
            store.client.put_item(TableName=copy, Item=item)
        put_back(store.client, copy, store.state.name)
    finally:
        store.client.delete_table(TableName=copy)
    assert store.links.key(1) is None


def test_taking_back_begins_a_new_generation_of_one_user(store: Store) -> None:
    hostile = "\x1b[2J=1+1\n💥"
    assert store.links.generation("alice") == 0
    for expected in (1, 2, 3):
        store.links.take_back("alice")
        assert store.links.generation("alice") == expected
    store.links.take_back(hostile)
    assert store.links.generations(["alice", "bob", hostile]) == {"alice": 3, "bob": 0, hostile: 1}


def test_after_a_lost_response_the_links_are_taken_back_all_the_same(lossy_store: Store) -> None:
    lossy_store.links.take_back("alice")
    assert lossy_store.links.generation("alice") > 0
    key = lossy_store.links.add_key(1, NOON)
    assert lossy_store.links.key(1) == key


def test_the_generations_of_many_users_are_read_in_batches(store: Store) -> None:
    users = [f"user-{n}" for n in range(250)]
    for user in users[::50]:
        store.links.take_back(user)
    generations = store.links.generations(users)
    assert [user for user in users if generations[user]] == users[::50]


def test_no_user_id_is_stored(store: Store) -> None:
    """So that nothing personal is left of somebody who was erased."""
    store.links.take_back("alice")
    items = store.client.scan(TableName=store.links.name)["Items"]
    assert "alice" not in str(items)
