"""Prices in State: what is appended stays, and everybody reads the same book."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from impact.price_book import Price, Rates
from impact.price_store import Correction
from impact.store import Store
from tests.events import NOON
from tests.intercepted import through
from tests.tables import with_client

RATES = Rates(input=Decimal("1.25"), cached=Decimal("0.125"), output=Decimal(10), perRequest=Decimal("1E-38"))
PRICE = Price("", "openai/gpt-6*", "2026-12-01", RATES, "EUR", "all", "contract 17 \x1b[2J")
ENDED = Price("", "openai/gpt-6*", "2027-01-01", None, source="cancelled")
DAY = "2026-11-23"
OPERATOR = "arn:aws:iam::123456789012:user/o"


def append(store: Store, number: int, *prices: Price, by: str = OPERATOR) -> bool:
    return store.prices.append(number, prices or (PRICE,), by=by, now=NOON)


def test_what_is_appended_is_read_with_who_and_when(store: Store) -> None:
    assert store.prices.book().revisions == ()
    assert append(store, 1, PRICE, ENDED)
    [revision] = store.prices.book().revisions
    assert revision.prices == (replace(PRICE, id="1.1"), replace(ENDED, id="1.2"))
    assert (revision.number, revision.recorded_by) == (1, OPERATOR)
    assert revision.recorded_at == "2026-11-23T12:00:00.000000Z"


def test_of_two_that_append_the_same_number_the_first_stays(store: Store) -> None:
    other = with_client(store, store.client)
    assert append(store, 1)
    assert not append(other, 1, ENDED, by="somebody else")
    for reader in (store, other):
        [revision] = reader.prices.book().revisions
        assert (revision.prices[0].rates, revision.recorded_by) == (RATES, OPERATOR)


def test_a_retry_whose_response_was_lost_counts_as_appended(lossy_store: Store) -> None:
    assert append(lossy_store, 1)
    assert not append(lossy_store, 1, ENDED)
    assert lossy_store.prices.book().revision == 1


def test_a_book_that_was_read_sees_what_another_appends_and_reads_no_revision_twice(store: Store) -> None:
    read: Counter[int] = Counter()

    def counting(name: str, carry_out: Callable[..., Any], options: dict[str, Any]) -> Any:
        response = carry_out(**options)
        if name == "query":
            read.update(int(item["number"]["N"]) for item in response["Items"])
        return response

    reader = through(store, counting)
    assert append(store, 1)
    before = reader.prices.book()
    assert append(store, 2, ENDED)
    after = reader.prices.book()
    assert ([r.number for r in before.revisions], [r.number for r in after.revisions]) == ([1], [1, 2])
    assert reader.prices.book() == after
    assert read == {1: 1, 2: 1}


def test_revisions_are_in_order_of_their_numbers_also_above_nine(store: Store) -> None:
    for number in range(1, 13):
        assert append(store, number, replace(PRICE, pattern=f"a/{number}"))
        assert store.prices.book().revision == number
    book = with_client(store, store.client).prices.book()
    assert [revision.number for revision in book.revisions] == list(range(1, 13))
    found = book.price("12.1")
    assert found is not None
    assert found.pattern == "a/12"


def test_a_final_day_keeps_its_revision_and_corrections_lie_beside_it(store: Store) -> None:
    assert store.prices.revisions_of(DAY) == []
    store.prices.fix_revision(DAY, 3, NOON)
    store.prices.fix_revision(DAY, 4, NOON)
    store.prices.fix_revision("2026-11-24", 9, NOON)
    assert store.prices.revisions_of(DAY) == [3]
    for number in range(1, 13):
        correction = a_correction(number, revision=10 + number)
        assert store.prices.correct_revision(DAY, number, correction)
        assert not store.prices.correct_revision(DAY, number, replace(correction, revision=99))
    assert store.prices.revisions_of(DAY) == [3, *range(11, 23)]
    assert store.prices.revisions_of("2026-11-24") == [9]


def a_correction(number: int, revision: int = 2) -> Correction:
    before: dict[str, dict[str, Any]] = {
        DAY: {"costUSD": Decimal("1.10"), "unpriced": 3},
        "2026-11-24": {"costUSD": Decimal(0)},
    }
    at = (NOON + timedelta(hours=number)).isoformat()
    return Correction(number, revision, (DAY, "2026-11-24"), "a wrong price", at, OPERATOR, before)


def test_corrections_are_read_as_they_were_appended_and_in_order(store: Store) -> None:
    made = [a_correction(number) for number in range(1, 12)]
    assert [store.prices.put_correction(correction) for correction in made] == [True] * 11
    assert not store.prices.put_correction(replace(made[0], reason="another"))
    assert store.prices.corrections() == made
    assert [Correction.from_fields(correction.as_fields()) for correction in made] == made


@pytest.mark.parametrize("revision", [0, 7])
def test_revision_0_is_one_too(store: Store, revision: int) -> None:
    """A day that was final before there was a price is counted with none."""
    store.prices.fix_revision(DAY, revision, NOON)
    assert store.prices.revisions_of(DAY) == [revision]
