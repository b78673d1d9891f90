"""Usage by dimension, without AWS: what is folded, how rows are stored; the sum is always the whole."""

import json
import zlib
from decimal import Decimal, localcontext
from functools import partial
from random import Random
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impact import breakdown
from impact.billing import Terms, statement
from impact.breakdown import (
    DIMENSIONS,
    WHOLE,
    Breakdown,
    DayRows,
    Encoded,
    Rows,
    ShardRows,
    day_rows,
    encode,
    shards_of_day,
    sums_of_row,
)
from impact.breakdown_columns import COLUMNS, DAY_COLUMNS, Row, Value
from impact.daily_totals import daily_total
from impact.decimals import EXACT, STORED, ZERO, stored
from impact.fx_rates import FxRate
from impact.summary import RANGES, Group, Sums, Tally, sums_of, tallies_by_user
from tests.events import as_read, event

DAY = "2026-11-23"
HOSTILE = ["Marketing", "marketing", "MARKETING", "=1+1", "a#b", "\u202egnp", "null", "(none)", "\0", "😀"]
LABELS = st.none() | st.sampled_from(HOSTILE)
MONEY = st.builds(
    lambda digits, places: Decimal(digits).scaleb(-places), st.integers(0, 10**38 - 1), st.integers(32, 60)
)
"""Amounts of up to 38 digits."""


def _with_footprint(fields: dict[str, Any]) -> dict[str, Any]:
    return dict(fields | fields.pop("footprint", {}))


RANGE = st.tuples(MONEY, MONEY).map(lambda pair: {"low": min(pair), "high": max(pair)})
EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "userId": st.sampled_from(["alice", "Alice", "bob", "a#"]),
            "model": st.sampled_from(["gpt-4o", "GPT-4o", "m/x"]),
            "provider": st.sampled_from(["openai", "unknown"]),
            "teamId": LABELS,
            "keyAlias": LABELS,
            "tags": st.none() | st.lists(st.sampled_from(HOSTILE), max_size=3),
            "costUSD": st.none() | MONEY,
            "costEUR": st.none() | MONEY,
            "latency": st.decimals(0, 1000, places=20),
        },
        optional={"footprint": st.fixed_dictionaries(dict.fromkeys(RANGES, RANGE))},
    ).map(_with_footprint),
    max_size=20,
)
RATES = st.none() | st.sampled_from([FxRate("2026-11-20", Decimal(usd)) for usd in ("1.1172", "3")])
TERMS = st.sampled_from([Terms(), Terms(Decimal("12.5"), Decimal("0.7"), Decimal("25.3"), "a study")])


def a_row(euros: Decimal | int, requests: int = 1) -> Row:
    return _row_of(Sums(requests=requests, costEUR=Decimal(euros)))


def _row_of(sums: Sums) -> Row:
    return [getattr(sums, name) for name in COLUMNS]


def a_day_row(**sums: Any) -> Row:
    of_day = Sums(markupEUR=ZERO, restorationFeeEUR=ZERO, billedEUR=ZERO, **sums)
    return [getattr(of_day, name) for name in DAY_COLUMNS]


def euros(row: Row | None) -> Decimal:
    return ZERO if row is None else row[COLUMNS.index("costEUR")]


def filled(costs: dict[Value, Decimal | int]) -> Rows:
    rows = Rows()
    with localcontext(EXACT):
        for value, cost in costs.items():
            rows.add(value, a_row(cost))
    return rows


# What is folded


@given(
    added=st.lists(st.tuples(st.none() | st.integers(0, 30).map(str), st.integers(0, 9)), max_size=200),
    held_max=st.integers(1, 8),
)
def test_a_value_stands_with_all_its_requests_or_not_at_all(
    added: list[tuple[Value, int]], held_max: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(breakdown, "HELD_MAX", held_max)
        rows, folded, sums = Rows(), set[Value](), dict[Value, int]()
        for value, cost in added:
            with localcontext(EXACT):
                rows.add(value, a_row(cost))
            sums[value] = sums.get(value, 0) + cost
            folded |= sums.keys() - rows.values.keys()
            assert not folded & rows.values.keys()  # it never stands by itself again
            assert len(rows.values) <= held_max + 1  # None has a row of its own
    assert {value: euros(row) for value, row in rows.values.items()} == {v: sums[v] for v in rows.values}
    assert euros(rows.rest) == sum(cost for value, cost in sums.items() if value in folded)
    assert (rows.rest is None) == (not folded)
    assert None not in folded


def test_the_dearest_stand_by_themselves() -> None:
    rows = filled({None: 0, "cheap": 1, "dear": 9, "free": 0, "dearer": 10})
    with localcontext(EXACT):
        rows.fold(2)
    assert rows.values.keys() == {None, "dear", "dearer"}
    assert rows.rest == a_row(1, requests=2)


def test_dollars_without_a_rate_count_as_dear() -> None:
    rows = Rows()
    with localcontext(EXACT):
        rows.add("euros", a_row(2))
        rows.add("dollars", _row_of(Sums(requests=1, costUSD=Decimal(3), unconverted=Decimal(3))))
        rows.fold(1)
    assert list(rows.values) == ["dollars"]


def test_the_longest_latency_is_not_added() -> None:
    rows = Rows()
    with localcontext(EXACT):
        for seconds in (2, 5, 3):
            rows.add("a", _row_of(Sums(latencyTotal=Decimal(seconds), latencyMax=Decimal(seconds))))
    assert rows.values["a"][-2:] == [10, 5]


@pytest.mark.parametrize("number", [200_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_ever_more_tags_take_no_more_memory_and_lose_nothing(number: int) -> None:
    found, usual = Breakdown(), [f"usual-{n}" for n in range(20)]
    one = sums_of(as_read(event(status="success", costUSD=Decimal("0.001"))))
    with localcontext(EXACT):
        for n in range(number):
            tags = (f"request-{n}", usual[n % 20])
            found.add("alice", Group("openai", "gpt-4o", None, None, tags), one)
            assert len(found.rows["tag"].values) <= breakdown.HELD_MAX
    rows = found.rows["tag"]
    assert {tag: row[0] for tag, row in rows.values.items() if tag in usual} == dict.fromkeys(
        usual, number / 20
    )
    kept = Encoded(found.encoded()).rows("tag")
    assert len(kept.values) <= breakdown.VALUES_MAX
    assert set(usual) <= kept.values.keys()
    assert sum(row[0] for row in (*kept.values.values(), kept.rest or [0])) == number * 2


def test_a_request_counts_once_for_each_of_its_tags() -> None:
    found = Breakdown()
    [_] = tallies_by_user([as_read(event(status="success", tags=["a", "b", "a"]))], on_group=found.add)
    assert {tag: row[0] for tag, row in found.rows["tag"].values.items()} == {"a": 1, "b": 1}


# How rows are stored


NUMBERS = {int: st.integers(0, 10**18), Decimal: MONEY, Decimal | None: st.none() | MONEY}
KINDS = get_type_hints(Sums)


def rows_of(columns: tuple[str, ...]) -> st.SearchStrategy[Row]:
    return st.tuples(*(NUMBERS[KINDS[name]] for name in columns)).map(list)


@pytest.mark.parametrize("columns", [COLUMNS, DAY_COLUMNS])
@given(data=st.data())
def test_rows_are_read_as_they_were_written(columns: tuple[str, ...], data: st.DataObject) -> None:
    row = rows_of(columns)
    texts = st.none() | st.text(min_size=1) | st.sampled_from(HOSTILE)
    rows = Rows(data.draw(st.dictionaries(texts, row, max_size=5)), data.draw(st.none() | row))
    read = Encoded(encode(columns, {"team": rows}))
    assert read.rows("team") == rows
    assert read.rows("key") == Rows()
    for numbers in read.rows("team").values.values():
        assert all(isinstance(n, KINDS[name]) for name, n in zip(columns, numbers, strict=True))


def test_rows_of_before_there_were_columns_are_read() -> None:
    content = {
        "columns": ("requests", "failures", "costEUR", "latencyMax"),
        "rows": {"team": [[None, 2, 0, "0.5", 3], ["a", 1, 1, 0, "2.25"]], "key": []},
        "rest": {"team": [4, 0, "1.25", 1]},
    }
    read = Encoded(zlib.compress(json.dumps(content).encode()))
    rows = read.rows("team")
    of = partial(Sums, costReportedUSD=ZERO, restoredM2=None)
    assert rows.values == {
        None: _row_of(of(requests=2, costEUR=Decimal("0.5"), latencyMax=Decimal(3))),
        "a": _row_of(of(requests=1, failures=1, latencyMax=Decimal("2.25"))),
    }
    assert rows.rest == _row_of(of(requests=4, costEUR=Decimal("1.25"), latencyMax=Decimal(1)))
    assert read.rows("key") == Rows()
    again = read.without("team", "a")
    assert again is not None
    assert Encoded(again).rows("team").values.keys() == {None}


def test_a_sum_of_more_than_38_digits_is_rounded_once() -> None:
    rows = filled({"a": Decimal("1000000") + Decimal("1E-36")})
    assert euros(Encoded(encode(COLUMNS, {"team": rows})).rows("team").values["a"]) == 1_000_000


def test_another_release_may_have_stored_more_columns_or_fewer() -> None:
    rows = Rows({"a": [7, Decimal("0.5"), 3]})
    read = Encoded(encode(("requests", "ofLater", "failures"), {"team": rows})).rows("team")
    assert read.values["a"] == _row_of(Sums(requests=7, failures=3, restoredM2=None))


@pytest.mark.parametrize("rest", [0, 5])
def test_an_item_never_outgrows_its_room_and_has_the_whole(
    rest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breakdown, "STORED_BYTES_MAX", 2_000)
    random, of_shard = Random(0), Breakdown()
    with localcontext(EXACT):
        for n in range(300):
            team = random.randbytes(100).hex()
            of_shard.add("alice", Group("openai", "gpt-4o", team, None, ()), Sums(requests=n))
        if rest:
            of_shard.rows["team"].add_rest(a_row(0, requests=rest))
    of_day = DayRows({v: a_day_row(requests=row[0]) for v, row in of_shard.rows["team"].values.items()})
    of_day.rest = a_day_row(requests=rest) if rest else None
    for data, columns in ((of_day.encoded("team"), DAY_COLUMNS), (of_shard.encoded(), COLUMNS)):
        assert len(data) <= 2_000
        rows = Encoded(data).rows("team")
        assert rows.values
        assert rows.rest is not None
        requests = columns.index("requests")
        assert sum(row[requests] for row in (*rows.values.values(), rows.rest)) == sum(range(300)) + rest


# Days


def a_shard(
    shard: int, events: list[dict[str, Any]], rate: FxRate | None, terms: Terms, *, with_rows: bool = True
) -> ShardRows:
    """What a recompute makes of the events of a (day, shard)."""
    found, whole = Breakdown(), Tally()
    by_user = sorted(events, key=lambda fields: str(fields["userId"]))
    page = as_read(*(event(status="success", **fields) for fields in by_user))
    for _, tally in tallies_by_user([page], on_group=found.add):
        whole.merge(tally)
    fields = whole.as_fields()
    del fields["models"]
    total = {"day": DAY, "shard": shard, "users": 1, "asOf": "2026-11-26T00:00:00.000000Z", "final": True}
    total |= {"terms": terms.as_fields(), **(rate.as_fields() if rate else {}), **fields}
    return ShardRows(total, Encoded(found.encoded()) if with_rows else None)


def added(rows: DayRows, name: str) -> Any:
    parts = [*rows.values.values(), *([rows.rest] if rows.rest is not None else [])]
    with localcontext(EXACT):
        return sum((part[DAY_COLUMNS.index(name)] or 0 for part in parts), ZERO)


SUMMED = [name for name in DAY_COLUMNS if name != "latencyMax"]


@settings(deadline=None)
@given(
    of_shards=st.lists(st.tuples(EVENTS, RATES, TERMS, st.booleans()), min_size=1, max_size=4),
    values_max=st.sampled_from([1000, 2, 0]),
)
def test_each_dimension_adds_up_to_the_day(
    of_shards: list[tuple[list[dict[str, Any]], FxRate | None, Terms, bool]], values_max: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(breakdown, "VALUES_MAX", values_max)
        patch.setattr(breakdown, "HELD_MAX", values_max * 2 or 1)
        shards = [
            a_shard(number, events, rate, terms, with_rows=with_rows)
            for number, (events, rate, terms, with_rows) in enumerate(of_shards)
        ]
        whole = Tally.from_fields(daily_total(DAY, [shard.total for shard in shards], len(shards)))
        for by in WHOLE:
            rows = day_rows(by, shards)
            for shown in (rows, DayRows(*Encoded(rows.encoded(by)).columns(by).rows())):
                shown.fit(whole)
                for name in SUMMED:
                    assert added(shown, name) == (getattr(whole, name) or 0), (by, name)


def test_a_day_of_an_earlier_release_is_rest() -> None:
    some = [{"userId": "alice", "teamId": "a"}]
    stored_earlier = a_shard(0, some, None, Terms(), with_rows=False)
    empty = a_shard(1, [], None, Terms(), with_rows=False)
    rows = day_rows("team", [stored_earlier, empty])
    assert rows.values == {}
    assert rows.rest is not None
    assert sums_of_row(rows.rest).requests == 1
    assert day_rows("team", [empty]).rest is None


def test_rows_that_the_total_does_not_name_are_not_believed() -> None:
    some = [{"userId": "alice", "teamId": "a"}]
    shard = a_shard(0, some, None, Terms())
    item = {"total": shard.total | {"asOf": "of the breakdown"}, "rows": encode(COLUMNS, {})}
    named = shard.total | {"breakdown": {"revision": "1", "digest": "2"}}
    [of_earlier] = shards_of_day([shard.total], [item])
    [of_now] = shards_of_day([named], [item])
    [without] = shards_of_day([named], [])
    assert of_earlier == ShardRows(shard.total)
    assert of_now.rows is not None
    assert of_now.total["asOf"] == "of the breakdown"
    assert without == ShardRows(named)
    assert shards_of_day([], [item]) == []


def test_values_in_another_case_stay_apart() -> None:
    teams = ["Marketing", "marketing", "MARKETING", "Märketing", None]
    some = [{"userId": user, "teamId": team} for user in ("a", "A") for team in teams]
    shard = a_shard(0, some, None, Terms())
    assert {
        value: sums_of_row(row).requests for value, row in day_rows("team", [shard]).values.items()
    } == dict.fromkeys(teams, 2)
    assert day_rows("user", [shard]).values.keys() == {"a", "A"}


@given(events=EVENTS, rate=RATES, terms=TERMS)
def test_rows_of_a_day_are_stated_as_summaries_are(
    events: list[dict[str, Any]], rate: FxRate | None, terms: Terms
) -> None:
    by_user: dict[str, list[dict[str, Any]]] = {}
    for fields in events:
        by_user.setdefault(str(fields["userId"]), []).append(fields)
    for user, of_user in by_user.items():
        whole = a_shard(0, of_user, rate, terms)
        stated = Tally.from_fields(statement(Tally.from_fields(whole.total), rate, terms))
        sums = sums_of_row(day_rows("user", [whole]).values[user])
        assert {name: getattr(sums, name) for name in DAY_COLUMNS} == {
            name: getattr(stated, name) for name in DAY_COLUMNS
        }


# Sums that fit the whole


def summed(*costs: Decimal) -> DayRows:
    return DayRows({str(n): a_day_row(costEUR=cost) for n, cost in enumerate(costs)})


def amounts(rows: DayRows) -> list[Decimal]:
    return [sums_of_row(row).costEUR for row in rows.values.values()]


@given(parts=st.lists(MONEY, min_size=1, max_size=20), off=st.integers(-5, 5))
def test_parts_with_errors_of_rounding_add_up_to_the_whole(parts: list[Decimal], off: int) -> None:
    with localcontext(EXACT):
        exact = stored(sum(parts, ZERO))
        digit = Decimal(1).scaleb(exact.adjusted() - STORED.prec + 1)
        whole = stored(max(ZERO, exact + digit * off)) if exact else ZERO
    rows = summed(*parts)
    rows.fit(Sums(costEUR=whole))
    with localcontext(EXACT):
        after = amounts(rows)
        assert sum(after, ZERO) == whole
        for number, before in zip(after, parts, strict=True):
            assert abs(number - before) <= digit * (len(parts) + abs(off) + 1)
            assert stored(number) == number >= 0


def test_what_fits_already_is_not_touched() -> None:
    costs = Decimal(10**6), Decimal("1E-30")
    rows = summed(*costs)
    with localcontext(EXACT):
        rows.fit(Sums(costEUR=sum(costs, ZERO)))
    assert amounts(rows) == list(costs)


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        ((Decimal(1), Decimal(2)), Decimal("3.0000000000000000000000000000001")),
        ((Decimal(1),), ZERO),
        ((ZERO,), Decimal(1)),
        ((), Decimal("1E-30")),
    ],
)
def test_a_real_difference_raises(parts: tuple[Decimal, ...], whole: Decimal) -> None:
    with pytest.raises(ValueError, match="costEUR differs from the whole's by"):
        summed(*parts).fit(Sums(costEUR=whole))


@given(costs=st.lists(MONEY, max_size=20), most=st.integers(0, 5))
def test_folded_sums_are_the_whole(costs: list[Decimal], most: int) -> None:
    rows = DayRows(
        {
            None: a_day_row(requests=1),
            **{str(n): a_day_row(requests=1, costEUR=cost) for n, cost in enumerate(costs)},
        }
    )
    folded = rows.folded(most)
    assert None in folded.values
    assert added(folded, "requests") == len(costs) + 1
    assert added(folded, "costEUR") == added(rows, "costEUR")
    kept = [sums_of_row(row).costEUR for value, row in folded.values.items() if value is not None]
    assert sorted(kept, reverse=True) == sorted(costs, reverse=True)[:most]
    assert set(DIMENSIONS) == {*WHOLE, "tag"}


def test_parts_with_more_digits_than_are_stored_add_up_once_they_are_stored() -> None:
    some = ["0.0112814840328735831165808547863034241441", "0.0195606444622478427571192610257066991599"]
    whole = Decimal("0.030842128495121425873700115812010123304")
    rows = summed(*map(Decimal, some))
    rows.fit(Sums(costEUR=whole))
    with localcontext(EXACT):
        assert sum(map(stored, amounts(rows)), ZERO) == whole
