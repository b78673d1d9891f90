"""RequestEvent: how its fields are validated."""

from decimal import Decimal

import pytest

from impact.ledger_entry import EventRejected
from tests.unit.test_ledger_entry import item


def test_a_whole_number_may_be_written_with_a_point() -> None:
    assert item(eventId=None, tokens_in=Decimal("1200.0")) == item(eventId=None, tokens_in=1200)
    assert item(tokens_in=Decimal("-0.0"))["tokens_in"] == item(tokens_in=Decimal("0e400"))["tokens_in"] == 0


@pytest.mark.parametrize("number", ["1e1000000", "-1e1000000", "1e-1000030", "0.5", "1e13"])
def test_what_is_no_count_of_tokens_is_rejected_whatever_its_exponent(number: str) -> None:
    with pytest.raises(EventRejected, match="tokens_in"):
        item(tokens_in=Decimal(number))


@pytest.mark.parametrize("ts", ["2026-11-23T11:00:00+10:75", "2026-11-23T24:00:00Z", "2026-11-23T11:00:60Z"])
def test_a_time_that_no_clock_shows_is_rejected(ts: str) -> None:
    with pytest.raises(EventRejected, match="ts"):
        item(ts=ts)


def test_a_missing_field_and_a_wrong_one_have_different_messages() -> None:
    with pytest.raises(EventRejected, match=r"^model is required$"):
        item(model=None)
    with pytest.raises(EventRejected, match=r"^model (?!is required)"):
        item(model=7)
