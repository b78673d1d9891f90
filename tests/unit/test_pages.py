"""Pages of rows: as many as fit, at least one; cursors of this API and no others."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impact import pages
from impact.http import sent_bytes
from impact.pages import BadCursor, PageOfRows, cursor_of, parse_cursor


@given(sizes=st.lists(st.integers(0, 50), min_size=1), room=st.integers(1, 200))
def test_a_page_has_as_many_rows_as_fit_and_at_least_one(sizes: list[int], room: int) -> None:
    rows = [{"id": "\x00" * size} for size in sizes]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "ROWS_BYTES", room)
        page = PageOfRows()
        taken = [page.add(row) for row in rows]
    assert taken[0]
    first_left = taken.index(False) if False in taken else len(rows)
    assert page.rows == rows[:first_left]
    size = sum(sent_bytes(row) + 1 for row in page.rows)
    assert size <= room or len(page.rows) == 1
    if first_left < len(rows):
        assert size + sent_bytes(rows[first_left]) + 1 > room


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_a_cursor_says_what_was_put_into_it(content: Any) -> None:
    assert parse_cursor(cursor_of(content), lambda read: read) == content


@pytest.mark.parametrize("cursor", ["x", "e30", "====", "ÿ", "\ud800", "/+/+", cursor_of(7)[:-1], "W10=\n"])
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(BadCursor, match="is not one that this API returned"):
        parse_cursor(cursor, lambda read: read)


@pytest.mark.parametrize("error", [ValueError, TypeError])
def test_a_content_that_the_route_does_not_know_is_refused(error: type[Exception]) -> None:
    def refuse(content: Any) -> Any:
        raise error

    with pytest.raises(BadCursor):
        parse_cursor(cursor_of(1), refuse)
