"""Signed links: what one says comes out of it again, and nothing else opens anything."""

import base64
import json
import random
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impact.keys import has_room
from impact.links import (
    PREFIX,
    TOKEN_MAX,
    InvalidLink,
    Link,
    LinkKey,
    _base64url,
    _mac,
    is_link,
    key_number,
    sign,
    verified,
)
from request_events.limits import is_somebody

KEY = LinkKey(1, b"k" * 32)
LINK = Link("alice", 2_000, 0)
TOKEN = sign(LINK, KEY)
TOKEN68 = string.ascii_letters + string.digits + "-._~+/"
users = st.text(min_size=1, max_size=256).filter(has_room).filter(is_somebody)


def signed(content: Any, key: LinkKey = KEY) -> str:
    """A token that has our signature, whatever is in it."""
    head = f"{PREFIX}.{key.number}.{_base64url(json.dumps(content).encode())}"
    return f"{head}.{_mac(head, key)}"


@given(users, st.integers(1, 10**12), st.integers(0, 10**6), st.integers(1, 10**9 - 1))
def test_a_link_says_what_was_signed(user: str, expires: int, generation: int, number: int) -> None:
    link, key = Link(user, expires, generation), LinkKey(number, b"s" * 32)
    token = sign(link, key)
    assert is_link(token)
    assert key_number(token) == number
    assert verified(token, key, expires - 0.001) == link
    assert set(token) <= set(TOKEN68)  # fits the header Authorization, and what is behind the # of an address


def test_the_longest_id_fits() -> None:
    longest = max(
        ("\U0001f600" * 256, "ä" * 256, "\x01" * 256, '"' * 256), key=lambda id_: len(json.dumps(id_))
    )
    assert len(sign(Link(longest, 10**12, 10**9), LinkKey(10**9 - 1, b"s" * 32))) <= TOKEN_MAX


def test_it_expires_to_the_second() -> None:
    assert verified(TOKEN, KEY, 1_999.999) == LINK
    for now in (2_000, 2_000.001, 10**12):
        with pytest.raises(InvalidLink, match="expired"):
            verified(TOKEN, KEY, now)


@pytest.mark.parametrize("key", [LinkKey(1, b"l" * 32), LinkKey(2, b"k" * 32), LinkKey(1, b"")], ids=str)
def test_another_key_opens_nothing(key: LinkKey) -> None:
    with pytest.raises(InvalidLink, match="signature"):
        verified(TOKEN, key, 0)


@given(st.data())
def test_a_changed_character_opens_nothing(data: st.DataObject) -> None:
    """Also the last one of the signature, some of whose bits base64 does not use."""
    place = data.draw(st.integers(0, len(TOKEN) - 1))
    character = data.draw(st.sampled_from(sorted(set(TOKEN68) - {TOKEN[place]})))
    with pytest.raises(InvalidLink):
        verified(TOKEN[:place] + character + TOKEN[place + 1 :], KEY, 0)


@pytest.mark.parametrize(
    "token",
    [
        *(
            "",
            "impact-link",
            f"{PREFIX}.",
            f"{PREFIX}.1..",
            f"{PREFIX}.0.e30.{'A' * 43}",
            f" {TOKEN}",
            f"{TOKEN}\n",
        ),
        *(f"{TOKEN}=", f"{TOKEN}A", TOKEN[:-1], TOKEN.replace(".1.", ".01."), TOKEN.replace(".1.", ".١.")),
        *(TOKEN.upper(), f"x{TOKEN}", TOKEN.replace(".", ".."), TOKEN + "." + TOKEN, "A" * 1_000_000),
        f"{PREFIX}.1.{'A' * TOKEN_MAX}.{'A' * 43}",
    ],
)
def test_what_is_no_link_opens_nothing(token: str) -> None:
    with pytest.raises(InvalidLink):
        verified(token, KEY, 0)


@pytest.mark.parametrize(
    "content",
    [
        {"sub": "", "exp": 2_000, "gen": 0},
        {"sub": 1, "exp": 2_000, "gen": 0},
        {"sub": None, "exp": 2_000, "gen": 0},
        {"sub": "a" * 2000, "exp": 2_000, "gen": 0},
        {"sub": "unknown", "exp": 2_000, "gen": 0},
        {"sub": " \t", "exp": 2_000, "gen": 0},
        {"sub": "{{LIBRECHAT_USER_ID}}", "exp": 2_000, "gen": 0},
        {"sub": "alice", "exp": "2000", "gen": 0},
        {"sub": "alice", "exp": True, "gen": 0},
        {"sub": "alice", "exp": 2_000.5, "gen": 0},
        {"sub": "alice", "exp": 2_000, "gen": "0"},
        {"sub": "alice", "exp": 2_000, "gen": False},
    ],
    ids=str,
)
def test_what_another_release_may_have_signed_opens_nothing(content: Any) -> None:
    with pytest.raises(InvalidLink):
        verified(signed(content), KEY, 0)


def test_no_payload_is_read_before_its_signature() -> None:
    """JSON of an attacker never reaches the parser: not even one that it would choke on."""
    for payload in (b"{", b"[" * 2000, b'{"sub": "alice", "exp": 9e999, "gen": 0}', b"\xff\xfe"):
        with pytest.raises(InvalidLink, match="signature"):
            verified(f"{PREFIX}.1.{_base64url(payload)}.{'A' * 43}", KEY, 0)


def test_the_reason_names_no_user() -> None:
    with pytest.raises(InvalidLink) as error:
        verified(TOKEN, KEY, 3_000)
    assert "alice" not in str(error.value)


FORGED = 1_000_000


@pytest.mark.long
def test_none_of_a_million_forged_links_opens_anything() -> None:
    """Forged, expired, cut short, of another user, of another key, of an earlier generation's payload."""
    chance = random.Random(1)
    others = [LinkKey(n, chance.randbytes(32)) for n in range(1, 9)]
    kinds = [_of_another_key, _expired, _cut_short, _of_another_user, _of_other_bits, _without_secret]
    opened = 0
    for number in range(FORGED):
        token = kinds[number % len(kinds)](chance, others)
        try:
            verified(token, KEY, 1_000)
        except InvalidLink:
            continue
        opened += 1
    assert opened == 0


def _link(chance: random.Random, expires: int = 2_000) -> Link:
    return Link(f"user-{chance.randrange(10**6)}", expires, chance.randrange(3))


def _of_another_key(chance: random.Random, others: list[LinkKey]) -> str:
    return sign(_link(chance), chance.choice(others))


def _expired(chance: random.Random, others: list[LinkKey]) -> str:
    return sign(_link(chance, chance.randrange(1_001)), KEY)


def _cut_short(chance: random.Random, others: list[LinkKey]) -> str:
    token = sign(_link(chance), KEY)
    return token[: chance.randrange(len(token))]


def _of_another_user(chance: random.Random, others: list[LinkKey]) -> str:
    """The signature of one's own link under somebody else's payload."""
    mine, theirs = sign(_link(chance), KEY), sign(Link("victim", 2_000, 0), KEY)
    return f"{theirs.rpartition('.')[0]}.{mine.rpartition('.')[2]}"


def _of_other_bits(chance: random.Random, others: list[LinkKey]) -> str:
    token = sign(_link(chance), KEY)
    place = chance.randrange(len(token))
    return token[:place] + chance.choice([c for c in TOKEN68 if c != token[place]]) + token[place + 1 :]


def _without_secret(chance: random.Random, others: list[LinkKey]) -> str:
    """Signed by what an attacker knows: nothing, the number, the payload itself."""
    link = _link(chance)
    payload = base64.urlsafe_b64encode(link.user_id.encode())
    return sign(link, LinkKey(1, chance.choice([b"", b"1", b"\0" * 32, payload])))
