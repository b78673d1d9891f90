"""`impact export person` on tables: all that is held, as the API would show it, and harmless on its page."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import boto3
import pytest

from impact.calendar import timestamp
from impact.naming import USER, Name
from impact.price_book import Revision
from impact.price_store import Correction
from impact.store import Store
from impact_cli import person
from impact_cli.exporting import CannotExport
from impact_cli.person import write_person
from tests.events import NOON, event, freeze
from tests.integration.steps import BUILDER, TODAY, put, recompute_again
from tests.unit.cli.test_book_cost import price

HOSTILE = '<script>alert("1")</script>'
CLOSED = NOON + timedelta(days=2)

Write = Callable[[str], tuple[int, int]]


@pytest.fixture
def write(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Write:
    freeze(monkeypatch, person, CLOSED)
    monkeypatch.setattr(person, "store_of", lambda *_, **__: store)
    monkeypatch.setattr(person, "calendar_of", lambda *_: BUILDER.calendar)
    return lambda user_id: write_person(boto3.Session(), "impact", user_id, tmp_path / "out")


def test_everything_of_one_person_and_nothing_of_others(store: Store, write: Write, tmp_path: Path) -> None:
    put(store, event(eventId="1"), event(eventId="2"), event(userId="alice2"), event(userId="al"))
    recompute_again(store, CLOSED)
    assert write("alice") == (2, 1)
    held = json.loads((tmp_path / "out" / "data.json").read_text())
    assert [one["eventId"] for one in held["events"]] == ["1", "2"]
    [summary] = held["summaries"]
    assert (summary["day"], summary["requests"], summary["final"]) == (TODAY, 2, True)
    assert not {"dayShard", "userEvent", "revision"} & {*summary, *held["events"][0]}


def test_what_the_price_book_made_of_a_day_is_held_too(store: Store, write: Write, tmp_path: Path) -> None:
    """The fields of the API's summary, with what the day was final with at first."""
    put(store, event(costUSD=None, tokens_cache_write=7))
    for number, rate in ((1, 2), (2, 1)):
        prices = Revision.of(number, [price("openai/*", perRequest=rate, currency="EUR")], "", "").prices
        assert store.prices.append(number, prices, by="ops", now=NOON)
        if number == 1:
            recompute_again(store, CLOSED)
    correction = Correction(1, 2, (TODAY,), "a slip", timestamp(CLOSED), "ops", {})
    assert store.prices.correct_revision(TODAY, 1, correction)
    recompute_again(store, CLOSED)
    assert write("alice") == (1, 1)
    held = json.loads((tmp_path / "out" / "data.json").read_text())
    [summary], [one] = held["summaries"], held["events"]
    assert (summary["repriced"], summary["prices"], summary["billedEUR"]) == (1, ["2.1"], 1)
    assert (summary["before"]["prices"], summary["before"]["billedEUR"]) == (["1.1"], 2)
    assert one["tokens_cache_write"] == 7
    page = (tmp_path / "out" / "index.html").read_text()
    assert (
        "<td>1</td><td>2</td><td>1</td><td>true</td></tr>" in page
    )  # billed, at first, by own prices, final


def test_a_day_that_waits_to_be_recomputed_is_not_final(store: Store, write: Write, tmp_path: Path) -> None:
    put(store, event())
    recompute_again(store, CLOSED)
    store.state.mark_late(TODAY, [BUILDER.calendar.shard_of("alice", TODAY)], CLOSED)
    assert write("alice") == (1, 1)
    [summary] = json.loads((tmp_path / "out" / "data.json").read_text())["summaries"]
    assert summary["final"] is False


def test_what_users_chose_is_text_on_the_page(store: Store, write: Write, tmp_path: Path) -> None:
    put(store, event(userId=HOSTILE, model=HOSTILE, conversationId='"><img src=x onerror=alert(1)>'))
    assert write(HOSTILE) == (1, 0)
    page = (tmp_path / "out" / "index.html").read_text()
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;" in page
    assert "default-src 'none'" in page


def test_the_name_of_a_person_is_held_too(store: Store, write: Write, tmp_path: Path) -> None:
    store.names.put(USER, "alice", Name(HOSTILE, "<b>4711"), NOON)
    store.names.put(USER, "alice2", Name("Somebody else"), NOON)
    assert write("alice") == (0, 0)
    held = json.loads((tmp_path / "out" / "data.json").read_text())
    assert (held["name"], held["costCentre"]) == (HOSTILE, "<b>4711")
    assert held["nameRecordedAt"] == timestamp(NOON)
    page = (tmp_path / "out" / "index.html").read_text()
    assert "<p>Name: &lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;</p>" in page
    assert "<p>Cost centre: &lt;b&gt;4711</p>" in page
    assert "<script" not in page
    assert "Somebody else" not in page + json.dumps(held)


def test_nothing_in_a_folder_is_overwritten(write: Write, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "index.html").write_text("mine")
    with pytest.raises(CannotExport, match="is not empty"):
        write("alice")
    assert (tmp_path / "out" / "index.html").read_text() == "mine"


def test_of_somebody_unknown_nothing_is_held(write: Write, tmp_path: Path) -> None:
    assert write("nobody") == (0, 0)
    assert json.loads((tmp_path / "out" / "data.json").read_text())["events"] == []
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()} == {0o600}
