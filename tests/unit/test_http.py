"""Responses as Lambda returns them."""

import json
from decimal import Decimal

import simplejson
from hypothesis import given
from hypothesis import strategies as st

from impact.http import respond, sent_bytes

TEXT = st.text(st.one_of(st.characters(), st.sampled_from('"\\\n\0😀ä\ud800\u2028')))
JSON = st.recursive(
    st.one_of(TEXT, st.integers(), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=20,
)


def sent(body: str) -> bytes:
    """Write a body as the runtime of Python 3.13 does."""
    return simplejson.dumps({"body": body}, ensure_ascii=False).encode()


@given(JSON)
def test_a_response_has_the_size_that_was_computed_and_the_same_content(value: object) -> None:
    body = respond(200, {"a": value})["body"]
    assert len(sent(body)) == sent_bytes({"a": value}) + len('{"body": ""}')
    assert json.loads(json.loads(sent(body))["body"]) == json.loads(json.dumps({"a": value}))


def test_text_is_written_as_it_is() -> None:
    assert respond(200, {"a": "ä😀"})["body"] == '{"a":"ä😀"}'
    assert respond(200, {"a": "\ud83d"})["body"] == '{"a":"\\ud83d"}'
    assert respond(200, {"a": Decimal("0.10")})["body"] == '{"a":0.10}'
