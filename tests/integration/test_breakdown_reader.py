"""Reading usage by dimension: beside a worker and the planner, of earlier releases, page by page."""

from decimal import Decimal, localcontext
from math import inf
from typing import Any

import pytest

from impact import breakdown, breakdown_reader, pages, rollup_planner
from impact.billing import Terms
from impact.breakdown import WHOLE
from impact.breakdown_reader import BreakdownReader
from impact.breakdown_store import BreakdownStore
from impact.decimals import EXACT
from impact.dynamodb import to_wire
from impact.pages import BadCursor, cursor_of
from impact.recompute import recompute
from impact.rollup_planner import store_daily_totals
from impact.state_store import StateStore
from impact.store import Store
from impact.usage_reader import UsageReader
from tests.events import NOON, event
from tests.integration.steps import put, roll_up
from tests.integration.test_rollup_planner_daily_totals import (  # noqa: F401
    BUILDER,
    CALENDAR,
    DAYS,
    LATE_DAY,
    TODAY,
    at_request,
    late,
    recompute_late_day,
    store_totals,
    used,
)

Shown = dict[str, Any]


def values(
    store: Store,
    by: str = "user",
    first: str = LATE_DAY,
    last: str = LATE_DAY,
    cursor: str | None = None,
    **more: int,
) -> Shown:
    return BreakdownReader(store, CALENDAR).values(by, first, last, cursor, **more)


def requests(shown: Shown) -> dict[str | None, int]:
    return {item["value"]: item["requests"] for item in shown["items"]}


def days_of(store: Store, team: str, first: str = DAYS[0], last: str = TODAY) -> Shown:
    return BreakdownReader(store, CALENDAR).days_of("team", team, first, last)


def send(store: Store, *events: dict[str, Any]) -> None:
    """Store events of today, and do what the rollup does."""
    numbered = enumerate(events)
    put(store, *(event(eventId=f"more-{n}", **fields) for n, fields in numbered), builder=BUILDER)
    roll_up(store, NOON, BUILDER)


# Beside a worker and the planner


OLD, NEW = {"alice": 1, "bob": 1}, {"alice": 2, "bob": 1}


@pytest.mark.parametrize("is_stored", [False, True])
@pytest.mark.parametrize("number", range(8))
def test_a_figure_that_a_late_event_made_old_never_shows_as_final(
    store: Store, number: int, is_stored: bool
) -> None:
    """The day is recomputed, and its mark cleared, between any two reads."""
    if is_stored:
        store_totals(store)
    late(store)
    shown = values(store)
    assert (requests(shown), shown["final"]) == (OLD, False)
    with at_request(store, number, lambda: recompute_late_day(store)) as made:
        shown = values(store)
    assert (requests(shown), shown["final"]) in [(OLD, False), (NEW, False), (NEW, True)]
    if made[0] <= number:
        recompute_late_day(store)
    shown = values(store)
    assert (requests(shown), shown["final"]) == (NEW, True)


@pytest.mark.parametrize("number", range(8))
def test_a_day_that_the_planner_stores_outdated_is_not_believed(store: Store, number: int) -> None:
    """The worker is done before any of the planner's requests, or after the last."""
    late(store)
    with at_request(store, number, lambda: recompute_late_day(store)) as made:
        rollup_planner._store_daily_total(store, CALENDAR, LATE_DAY)
    if made[0] <= number:
        recompute_late_day(store)
    shown = values(store)
    assert (requests(shown), shown["final"]) == (NEW, True)
    store_totals(store)
    shown = values(store)
    assert (requests(shown), shown["final"]) == (NEW, True)


@pytest.mark.parametrize("dies", ["put_shard_total", "outdate_daily_total", "clear_mark"])
def test_a_worker_that_dies_leaves_the_day_open_and_the_next_one_makes_it_right(
    store: Store, monkeypatch: pytest.MonkeyPatch, dies: str
) -> None:
    store_totals(store)
    late(store)
    with monkeypatch.context() as patch:
        patch.setattr(StateStore, dies, _die)
        with pytest.raises(InterruptedError):
            recompute_late_day(store)
    assert values(store)["final"] is False
    store_totals(store)
    assert values(store)["final"] is False
    recompute_late_day(store)
    for _ in range(2):
        shown = values(store)
        assert (requests(shown), shown["final"]) == (NEW, True)
        store_totals(store)


def _die(*_: Any) -> None:
    raise InterruptedError


@pytest.mark.parametrize("days_a_request", [1, 3, breakdown_reader.DAYS_A_REQUEST])
def test_final_days_are_read_as_the_planner_stored_them(
    store: Store, monkeypatch: pytest.MonkeyPatch, days_a_request: int
) -> None:
    monkeypatch.setattr(breakdown_reader, "DAYS_A_REQUEST", days_a_request)

    def first_days(by: str) -> Shown:
        return values(store, by, DAYS[0], DAYS[3])

    before = {by: first_days(by) for by in breakdown.DIMENSIONS}
    store_totals(store)
    monkeypatch.setattr(BreakdownStore, "of_shards", _die)
    assert {by: first_days(by) for by in breakdown.DIMENSIONS} == before
    with pytest.raises(InterruptedError):
        values(store, "user", TODAY, TODAY)


def test_stored_days_are_decoded_once_and_stay_as_they_were(store: Store) -> None:
    store_totals(store)
    breakdown_reader._columns.cache_clear()
    first = values(store, "user", DAYS[0], DAYS[3], daily=3)
    decoded = breakdown_reader._columns.cache_info().misses
    assert decoded > 0
    assert values(store, "user", DAYS[0], DAYS[3], daily=3) == first
    assert breakdown_reader._columns.cache_info().misses == decoded


# Earlier releases


def forget_breakdowns(store: Store, day: str) -> None:
    """Leave a day as an earlier release has made it: totals that name no rows."""
    for total in list(store.state.shard_totals(day, day)):
        del total["breakdown"]
        store.client.put_item(TableName=store.state.name, Item=to_wire(total))


def test_a_day_of_an_earlier_release_is_rest(store: Store) -> None:
    forget_breakdowns(store, LATE_DAY)
    for _ in range(2):
        [item] = values(store)["items"]
        assert (item["value"], item["rest"], item["requests"]) == (None, True, 2)
        assert days_of(store, "a", LATE_DAY, LATE_DAY)["inRest"] == [LATE_DAY]
        store_totals(store)
    late(store)
    recompute_late_day(store)
    assert requests(values(store)) == {"alice": 2, None: 1}  # bob's shard as it was


# Values and their days


def test_the_dearest_come_first_and_those_without_a_value_are_null(store: Store) -> None:
    teams = {"cheap": "0.1", "dear": "3", "Dear": "2"}
    send(store, *({"teamId": team, "costUSD": Decimal(usd)} for team, usd in teams.items()))
    items = values(store, "team", TODAY, TODAY)["items"]
    assert [item["value"] for item in items] == ["dear", "Dear", None, "cheap"]
    assert not any("rest" in item or "models" in item for item in items)


def test_the_days_of_one_value(store: Store) -> None:
    send(store, {"teamId": "a", "costUSD": 2}, {"teamId": "A"}, {"teamId": "a", "costUSD": 3})
    shown = days_of(store, "a")
    [day] = shown["days"]
    assert (day["day"], day["requests"], day["costEUR"], day["final"]) == (TODAY, 2, 5, False)
    assert shown["total"]["requests"] == 2
    assert shown["total"]["billedEUR"] == 5
    assert "inRest" not in shown
    assert days_of(store, "nobody")["days"] == []
    assert days_of(store, "nobody")["total"]["requests"] == 0


def test_a_value_that_stands_in_one_shard_may_be_in_the_rest_of_another(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then its day is shown, and named in `inRest`: the figure may not be all."""
    monkeypatch.setattr(breakdown, "VALUES_MAX", 1)
    others = {"userId": "bob", "teamId": "b", "costUSD": 9}
    send(store, {"teamId": "a", "costUSD": 2}, {"userId": "bob", "teamId": "a", "costUSD": 1}, others)
    shown = days_of(store, "a", TODAY, TODAY)
    assert [(day["day"], day["requests"]) for day in shown["days"]] == [(TODAY, 1)]
    assert shown["inRest"] == [TODAY]
    *_, rest = values(store, "team", TODAY, TODAY)["items"]
    assert (rest["value"], rest["rest"], rest["requests"], rest["costUSD"]) == (None, True, 1, 1)


def test_more_values_than_can_be_held_are_in_the_rest(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shards' values are merged for each day, then the days'."""
    send(store, *({"teamId": f"team-{n}", "costUSD": n} for n in range(12)))
    whole = UsageReader(store, CALENDAR, Terms()).platform(DAYS[0], TODAY)["total"]
    monkeypatch.setattr(breakdown_reader, "HELD_MAX", 2)
    items = values(store, "team", DAYS[0], TODAY)["items"]
    assert [(item["value"], item.get("rest")) for item in items] == [
        *(("team-11", None), ("team-10", None), (None, None)),
        (None, True),
    ]
    assert sum(item["requests"] for item in items) == whole["requests"]


# Days of the dearest


def test_the_dearest_have_what_they_cost_on_each_day(store: Store) -> None:
    """On final days that are stored, on one that a late event reopened, and on today."""
    store_totals(store)
    late(store)
    send(store, {"teamId": "a", "costUSD": 2}, {"teamId": "b", "costUSD": 1}, {"costUSD": 9})
    for by, name in (("user", "userId"), ("team", "teamId"), ("model", "model")):
        plain = values(store, by, DAYS[0], TODAY)["items"]
        items = values(store, by, DAYS[0], TODAY, daily=2)["items"]
        standing = [item for item in items if item["value"] is not None]
        assert standing, name
        assert [item["value"] for item in items if "days" in item] == [item["value"] for item in standing[:2]]
        assert [{k: v for k, v in item.items() if k != "days"} for item in items] == plain
        for item in standing[:2]:
            whole = BreakdownReader(store, CALENDAR).days_of(by, item["value"], DAYS[0], TODAY)["days"]
            costs = [{name: day[name] for name in ("day", "costEUR", "costUSD")} for day in whole]
            assert item["days"] == costs != []


def test_a_later_page_has_no_days(store: Store) -> None:
    send(store, *({"teamId": f"team-{n}", "costUSD": n} for n in range(4)))
    cursor = values(store, "team", DAYS[0], TODAY, limit=2, daily=10)["next"]
    items = values(store, "team", DAYS[0], TODAY, cursor, limit=2, daily=10)["items"]
    assert len(items) == 2
    assert not any("days" in item for item in items)


# Pages


@pytest.mark.parametrize("size", [1, 3, 7])
def test_pages_are_the_whole(store: Store, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(breakdown, "VALUES_MAX", 5)
    send(store, *({"teamId": f"team-{n % 9}", "costUSD": n} for n in range(12)))
    whole = values(store, "team", DAYS[0], TODAY)
    assert whole["next"] is None
    assert whole["items"][-1]["rest"] is True
    assert all_pages(store, limit=size) == whole["items"]
    monkeypatch.setattr(pages, "ROWS_BYTES", size * 500)
    assert all_pages(store) == whole["items"]


def all_pages(store: Store, **more: int) -> list[Any]:
    items, cursor = [], None
    while True:
        page = values(store, "team", DAYS[0], TODAY, cursor=cursor, **more)
        items += page["items"]
        cursor = page["next"]
        if cursor is None:
            return items


@pytest.mark.parametrize("content", [-1, 1.5, True, None, "1", [1], {"1": 1}])
def test_a_cursor_that_was_never_returned_is_refused(store: Store, content: Any) -> None:
    with pytest.raises(BadCursor):
        values(store, cursor=cursor_of(content))


def test_a_page_after_the_last_is_empty(store: Store) -> None:
    shown = values(store, cursor=cursor_of(1_000_000))
    assert (shown["items"], shown["next"]) == ([], None)


def test_it_reads_with_strong_consistency(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store_totals(store)
    query, weak = store.client.query, []

    def spy(**request: Any) -> Any:
        if not request.get("ConsistentRead"):
            weak.append(request)
        return query(**request)

    monkeypatch.setattr(store.client, "query", spy)
    assert values(store, "user", DAYS[0], TODAY)["items"]
    assert days_of(store, "a")["total"]
    assert weak == []


def test_the_total_is_the_platform_s_though_the_days_are_at_several_terms(store: Store) -> None:
    put(store, event(eventId="1", userId="bob", teamId="a"), event(eventId="2", teamId="a"), builder=BUILDER)
    for shard in range(2):
        terms = Terms(Decimal("3.3333333333333333333333333333") * (1 + shard))
        recompute(store, CALENDAR, terms, TODAY, shard, as_of=NOON)
    for _ in range(2):  # added up by the reader; then as the planner stores them
        whole = UsageReader(store, CALENDAR, Terms()).platform(DAYS[0], TODAY)["total"]
        for by in WHOLE:
            items = values(store, by, DAYS[0], TODAY)["items"]
            with localcontext(EXACT):
                for name in ("markupEUR", "billedEUR", "costEUR"):
                    assert sum(item[name] for item in items) == whole[name]
        store_daily_totals(store, CALENDAR, TODAY, NOON, lambda: inf)
