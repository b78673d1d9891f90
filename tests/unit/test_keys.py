"""The keys of the tables."""

from hypothesis import given
from hypothesis import strategies as st

from impact.keys import SORT_KEY_BYTES, has_room, shard_of, user_event, user_prefix


def test_the_shard_is_stable() -> None:
    """Another hash, and each event sent again after an update would be counted twice."""
    assert [shard_of(user, 16) for user in ("alice", "bob", "😀")] == [15, 10, 7]


@given(st.text(min_size=1), st.text(min_size=1), st.text(min_size=1))
def test_keys_of_two_users_never_meet(one: str, other: str, event_id: str) -> None:
    if one != other:
        assert not user_event(one, event_id).startswith(user_prefix(other))


def test_an_id_that_fills_a_key_has_room_and_a_longer_one_has_none() -> None:
    assert has_room("a" * (SORT_KEY_BYTES - 1))
    assert not has_room("a" * SORT_KEY_BYTES)
    assert not has_room("\ud800")
