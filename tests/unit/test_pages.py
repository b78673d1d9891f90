"""Pages of rows in a response, and cursors."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impact import pages
from impact.http import sent_bytes
from impact.pages import BadCursor, PageOfRows, cursor_of, parse_cursor

TEXTS = st.text(max_size=20)
CONTENTS = st.recursive(
    st.none() | st.integers() | TEXTS, lambda part: st.lists(part, max_size=3), max_leaves=5
)


@given(st.lists(st.fixed_dictionaries({"value": TEXTS}), max_size=10), st.integers(0, 200))
def test_a_page_has_what_fits_and_at_least_one_row(rows: list[dict[str, Any]], room: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "ROWS_BYTES", room)
        page = PageOfRows()
    taken = [page.add(row) for row in rows]
    assert page.rows == rows[: sum(taken)]
    assert taken == sorted(taken, reverse=True) or len(page.rows) == 1
    assert len(page.rows) <= 1 or sum(sent_bytes(row) + 1 for row in page.rows) <= room
    assert bool(rows) == bool(page.rows)


@given(CONTENTS)
def test_a_cursor_is_read_as_it_was_made(content: Any) -> None:
    assert parse_cursor(cursor_of(content), lambda read: read) == content


@pytest.mark.parametrize("cursor", ["", "x", "e30=\n", "\ud800", "W" * 5_000, cursor_of("a")[:-1]])
def test_another_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(BadCursor):
        parse_cursor(cursor, lambda read: read)


def test_what_the_reader_cannot_use_is_refused() -> None:
    with pytest.raises(BadCursor):
        parse_cursor(cursor_of("a"), int)
