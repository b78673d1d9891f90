"""Entries of the book as rows: in force, fitting a model, and all with what took their place."""

from decimal import Decimal

from impact.price_book import Price, PriceBook, Rates, Revision
from impact_cli.price_listing import fits, fitting, history, in_force

RATES = Rates(Decimal(1), output=Decimal(2))
DAY = "2026-12-01"


def price(pattern: str, first_day: str = DAY) -> Price:
    return Price("", pattern, first_day, RATES, source="s")


def ends(pattern: str, first_day: str) -> Price:
    return Price("", pattern, first_day, None, source="over")


def book(*revisions: list[Price]) -> PriceBook:
    return PriceBook(
        tuple(
            Revision.of(number, [each.as_fields() for each in prices], f"2026-11-0{number}", f"op-{number}")
            for number, prices in enumerate(revisions, start=1)
        )
    )


BOOK = book(
    [price("a/*"), price("a/b"), price("c/d")],
    [price("a/b"), price("a/b", "2027-02-01"), price("c/d", "2027-03-01"), ends("c/d", "2027-01-01")],
    [ends("a/*", "2027-01-01")],
)


def test_prices_in_force_have_who_and_when() -> None:
    rows = in_force(BOOK, DAY)
    assert [(row["id"], row["recordedBy"]) for row in rows] == [
        ("1.1", "op-1"),
        ("2.1", "op-2"),
        ("1.3", "op-1"),
    ]
    assert rows[0] == {
        "id": "1.1",
        "pattern": "a/*",
        "from": DAY,
        "source": "s",
        "currency": "USD",
        "only": "unpriced",
        "rates": {"input": 1, "output": 2},
        "recordedAt": "2026-11-01",
        "recordedBy": "op-1",
    }
    assert [row["id"] for row in in_force(BOOK, "2027-02-01")] == ["2.2"]
    assert in_force(BOOK, "2026-11-30") == []


def test_of_those_that_fit_a_model_the_first_is_the_one_that_it_has() -> None:
    for day in (DAY, "2027-01-01"):
        for model in ("a/b", "a/bc", "c/d", "x/y"):
            rows = fitting(BOOK, day, model)
            has = BOOK.on(day, BOOK.revision).of(model)
            assert [row["id"] for row in rows if row["used"]] == ([has.id] if has else [])
            assert [row["used"] for row in rows] == [True, False][: len(rows)]
    assert [row["id"] for row in fitting(BOOK, DAY, "a/b")] == ["2.1", "1.1"]


def test_a_pattern_fits_as_the_book_has_it() -> None:
    assert fits("a/b*", "a/b")
    assert fits("a/*b", "a/*b")
    assert fits("*", "x")
    assert not fits("a/b", "a/bc")
    assert not fits("a/*b", "a/xb")


def test_each_entry_says_what_took_its_place_and_from_when() -> None:
    rows = {
        row["id"]: {n: row[n] for n in ("replacedBy", "endedBy", "until") if n in row}
        for row in history(BOOK)
    }
    assert rows == {
        "1.1": {"endedBy": "3.1", "until": "2027-01-01"},
        "1.2": {"replacedBy": "2.1", "until": DAY},
        "1.3": {"endedBy": "2.4", "until": "2027-01-01"},
        "2.1": {"replacedBy": "2.2", "until": "2027-02-01"},
        "2.2": {},
        "2.3": {},
        "2.4": {"replacedBy": "2.3", "until": "2027-03-01"},
        "3.1": {},
    }
    assert [row["id"] for row in history(BOOK, "a/b")] == ["1.1", "1.2", "2.1", "2.2", "3.1"]
    assert [row["id"] for row in history(BOOK) if row.get("ends")] == ["2.4", "3.1"]
