"""`impact price` on tables: what is shown, asked, appended and listed."""

import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import simplejson
from botocore.exceptions import ClientError, EndpointConnectionError

from impact.price_book import Price, Rates
from impact.state_store import Progress
from impact.store import Store
from impact_cli import deployed_stack, ledger_export, price_append
from impact_cli.main import main
from impact_cli.verbs import price as price_verb
from tests.events import NOON, event, freeze
from tests.integration.steps import BUILDER, put, recompute_again, throttled
from tests.intercepted import through

CALENDAR = BUILDER.calendar
BY = "arn:aws:sts::123456789012:user/moto"
"""Who calls: the tables may be in an engine without STS."""
GPT = ("openai/gpt-6", "--from", "2026-12-01", "--input", "1.25", "--output", "10", "--source", "contract 17")
LATER = NOON + timedelta(days=3)


class Ran(NamedTuple):
    code: int
    out: str
    err: str


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


Run = Callable[..., Ran]


@pytest.fixture
def tables(store: Store) -> list[Store]:
    """The tables that the command sees: a test may put others in their place."""
    return [store]


@pytest.fixture
def price(
    tables: list[Store], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Run:
    """Runs `impact price`. `typed` is what is typed at a terminal; without it there is none."""
    monkeypatch.setattr(deployed_stack, "caller_of", lambda *_: BY)
    for module in (deployed_stack, ledger_export):
        monkeypatch.setattr(module, "store_of", lambda *_, **__: tables[0])
        monkeypatch.setattr(module, "calendar_of", lambda *_: CALENDAR)
    monkeypatch.setenv("IMPACT_CONFIG", str(tmp_path / "config.toml"))

    def run(*arguments: str, typed: str | None = None, now: datetime = NOON) -> Ran:
        for module in (price_append, price_verb, ledger_export):
            freeze(monkeypatch, module, now)
        monkeypatch.setattr(sys, "stdin", io.StringIO("y\ny\n") if typed is None else Terminal(typed))
        capsys.readouterr()
        return Ran(main(["price", *arguments]), *capsys.readouterr())

    return run


def ids(store: Store) -> list[str]:
    return [price.id for revision in store.prices.book().revisions for price in revision.prices]


# --- add ---


def test_a_price_is_shown_and_appended_after_a_yes(store: Store, price: Run) -> None:
    refused = price("add", *GPT, typed="n\n")
    assert refused == Ran(
        1,
        "+ openai/gpt-6 from 2026-12-01: input 1.25, output 10 USD per million tokens,"
        " for requests without a cost\n"
        "    source: contract 17\n"
        "Days that are not final take it at the next rollup.\n"
        "No day from 2026-12-01 on is final.\n"
        f"It would be revision 1 of the price book of impact, by {BY}.\n",
        "Append it? [y/N] Nothing was appended.\n",
    )
    assert ids(store) == []
    assert price("add", *GPT, typed="y\n").out == refused.out + "Appended: 1.1.\n"
    [revision] = store.prices.book().revisions
    assert (revision.recorded_by, revision.recorded_at) == (BY, "2026-11-23T12:00:00.000000Z")
    assert revision.prices == (
        Price(
            "1.1",
            "openai/gpt-6",
            "2026-12-01",
            Rates(Decimal("1.25"), output=Decimal(10)),
            source="contract 17",
        ),
    )


def test_without_a_terminal_it_needs_yes(store: Store, price: Run) -> None:
    refused = price("add", *GPT)
    assert (refused.code, refused.err) == (
        1,
        "Nothing was appended: without a terminal, confirm with --yes.\n",
    )
    assert ids(store) == []
    assert price("add", *GPT, "--yes").code == 0
    assert ids(store) == ["1.1"]


def test_a_dry_run_appends_nothing_and_asks_nothing(store: Store, price: Run) -> None:
    shown = price("add", *GPT, "--dry-run", "--yes", typed="y\n")
    assert (shown.code, shown.err) == (0, "Nothing was appended, because of --dry-run.\n")
    assert shown.out.startswith("+ openai/gpt-6 ")
    assert ids(store) == []


def test_what_is_in_force_already_is_not_appended_again(store: Store, price: Run) -> None:
    price("add", *GPT, "--yes")
    again = price("add", *GPT, "--yes")
    assert again == Ran(0, "As in force already, and left out: 1 (1.1).\n", "Nothing is left to append.\n")
    assert ids(store) == ["1.1"]


def test_what_a_price_replaces_is_shown(store: Store, price: Run) -> None:
    price("add", *GPT, "--yes")
    price("add", "openai/*", *GPT[1:], "--yes")
    options = ("--from", "2026-12-02", "--per-second", "0.5", "--only", "all", "--currency", "EUR")
    shown = price("add", "openai/gpt-6", *options, "--source", "\x1b[2J", "--dry-run")
    assert shown.out.startswith(
        "~ openai/gpt-6 from 2026-12-02: 0.5 EUR per second, for all requests\n"
        "    replaces 1.1 from 2026-12-01: input 1.25, output 10 USD per million tokens,"
        " for requests without a cost\n"
        "    wins over openai/* (2.1)\n"
        "    source: \\x1b[2J\n"
    )


def test_rates_of_one_token_are_taken_exactly(store: Store, price: Run) -> None:
    amounts = ("--input", "1.25e-06", "--output", "0.00001", "--per-request", "0.001", "--per-token")
    assert price("add", "a/b", "--from", "2026-12-01", *amounts, "--source", "map", "--yes").code == 0
    [revision] = store.prices.book().revisions
    assert revision.prices[0].rates == Rates(Decimal("1.25"), output=Decimal(10), perRequest=Decimal("0.001"))


def test_final_days_are_named(store: Store, price: Run) -> None:
    put(store, event())
    recompute_again(store, LATER)
    store.state.put_progress(Progress("2026-11-24", 4))
    from_then = ("openai/gpt-6", "--from", "2026-11-01", *GPT[3:7], "--source", "it's 17", "--dry-run")
    assert (
        "Final already, and not changed until somebody runs this: 2026-11-23 to 2026-11-24\n"
        "    impact --stack=impact reprice --since 2026-11-23 --until 2026-11-24 --reason 'it'\"'\"'s 17'\n"
        in price("add", *from_then, "--stack", "impact", now=LATER).out
    )
    store.prices.fix_revision("2026-11-26", 0, NOON)
    with_one_more = price("add", *from_then, now=LATER + timedelta(days=1)).out
    assert "runs this: 2026-11-23 to 2026-11-24, 2026-11-26\n" in with_one_more
    assert " reprice --since 2026-11-23 --until 2026-11-26 " in with_one_more
    assert "No day from 2026-12-01 on is final.\n" in price("add", *GPT, "--dry-run", now=LATER).out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gpt-6", *GPT[1:]), "MODEL must be provider/model as events have it, or begin so and end in *."),
        (("", *GPT[1:]), "MODEL is missing."),
        ((*GPT, "--input", "1,25"), "--input '1,25' is not a number: write 1.25."),
        ((*GPT, "--cached", "-1"), "--cached '-1' is not a number, such as 1.25."),
        (
            (*GPT, "--per-request", "1e10", "--source", "x" * 201),
            "--source must be UTF-8 of at most 200 characters;"
            " --per-request must be a number from 0 to 1,000,000,000.",
        ),
        ((*GPT, "--from", "2026-02-30"), "--from must be a day, YYYY-MM-DD."),
        ((*GPT, "--source", " "), "--source is missing."),
        (("a/\udcff", *GPT[1:]), "MODEL must be UTF-8."),
        ((*GPT[:5], *GPT[7:]), "--output is missing: say 0 if it is free."),
        ((*GPT[:3], *GPT[7:]), "It has no rate: give input and output, per request or per second."),
        ((*GPT, "--currency", "GBP"), "Invalid value for '--currency': 'GBP' is not one of 'USD', 'EUR'."),
        (GPT[:7], "Missing option '--source'."),
    ],
)
def test_what_is_wrong_with_a_price_is_said(
    store: Store, price: Run, arguments: tuple[str, ...], message: str
) -> None:
    ran = price("add", *arguments, "--yes")
    assert (ran.code, ran.out, ran.err.splitlines()[-1]) == (2, "", f"Error: {message}")
    assert ids(store) == []


# --- somebody else appends at the same moment ---


def overtaken(store: Store, *rates: Rates) -> Store:
    """The same tables, where somebody else appends just before each of the command's first appends."""
    others = iter(rates)

    def first_another(name: str, carry_out: Callable[..., Any], options: dict[str, Any]) -> Any:
        if name == "put_item" and (theirs := next(others, None)):
            book = store.prices.book()
            other = Price("", "openai/gpt-6", "2026-11-01", theirs, source="theirs")
            assert store.prices.append(book.revision + 1, [other], by="somebody", now=NOON)
        return carry_out(**options)

    return through(store, first_another)


THEIRS = (Rates(Decimal(1), output=Decimal(2)), Rates(Decimal(3), output=Decimal(4)))


def test_whoever_is_overtaken_sees_the_book_as_it_is_and_is_asked_again(
    store: Store, tables: list[Store], price: Run
) -> None:
    tables[0] = overtaken(store, *THEIRS)
    ran = price("add", *GPT, typed="y\ny\ny\n")
    assert ran.code == 0
    assert ran.err == "".join(
        f"Append it? [y/N] {after}"
        for after in (
            "The book has changed: somebody appended revision 1 at 2026-11-23T12:00:00Z.\n",
            "The book has changed: somebody appended revision 2 at 2026-11-23T12:00:00Z.\n",
            "",
        )
    )
    first, second, third = ran.out.split("openai/gpt-6 from 2026-12-01")[1:]
    assert "replaces" not in first
    assert "replaces 1.1 from 2026-11-01: input 1, output 2" in second
    assert "replaces 2.1 from 2026-11-01: input 3, output 4" in third
    assert third.endswith("Appended: 3.1.\n")
    assert ids(store) == ["1.1", "2.1", "3.1"]


def test_with_yes_whoever_is_overtaken_appends_nothing(store: Store, tables: list[Store], price: Run) -> None:
    tables[0] = overtaken(store, THEIRS[0])
    ran = price("add", *GPT, "--yes")
    assert ran.code == 1
    assert ran.err.endswith("Nothing was appended: look at the book, and run it again.\n")
    assert ids(store) == ["1.1"]


def test_whoever_is_overtaken_by_the_same_price_is_done(
    store: Store, tables: list[Store], price: Run
) -> None:
    tables[0] = overtaken(store, Rates(Decimal("1.25"), output=Decimal(10)))
    ran = price("add", *GPT, typed="y\n")
    assert (ran.code, ids(store)) == (0, ["1.1"])
    assert ran.out.endswith("As in force already, and left out: 1 (1.1).\n")


def test_without_a_response_it_says_where_to_look(store: Store, tables: list[Store], price: Run) -> None:
    def lost(name: str, carry_out: Callable[..., Any], options: dict[str, Any]) -> Any:
        answer = carry_out(**options)
        if name == "put_item":
            raise EndpointConnectionError(endpoint_url="https://example.org")
        return answer

    tables[0] = through(store, lost)
    ran = price("add", *GPT, "--yes", "--stack", "impact")
    assert ran.code == 1
    assert "No response. See impact --stack=impact price list --all whether it was appended." in ran.err
    tables[0] = store
    assert price("add", *GPT, "--yes").err == "Nothing is left to append.\n"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (throttled("Query"), "Error: AWS refused this: An error occurred (ThrottlingException)"),
        (
            ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": ""}}, "Query"),
            "Error: There is no stack impact in eu-central-1.",
        ),
    ],
)
@pytest.mark.parametrize("command", ["list", "check"])
def test_what_aws_says_is_said_without_a_traceback(
    store: Store, tables: list[Store], price: Run, command: str, error: ClientError, message: str
) -> None:
    def refuse(*_: Any) -> Any:
        raise error

    tables[0] = through(store, refuse)
    ran = price(command)
    assert (ran.code, ran.err[: len(message)]) == (1, message)


# --- end ---


def test_a_price_ends_and_a_shorter_beginning_fits(store: Store, price: Run) -> None:
    price("add", "openai/*", *GPT[1:], "--yes")
    price("add", *GPT, "--yes")
    ending = ("end", "openai/gpt-6", "--from", "2027-01-01", "--source", "over")
    shown = price(*ending, typed="y\n")
    assert shown.out.startswith(
        "- openai/gpt-6 ends: its last day is 2026-12-31\n"
        "    ends 2.1 from 2026-12-01: input 1.25, output 10 USD per million tokens,"
        " for requests without a cost\n"
        "    then openai/* (1.1)\n"
        "    source: over\n"
    )
    assert shown.out.endswith("Appended: 3.1.\n")
    book = store.prices.book()
    found = [book.on(day, 3).of("openai/gpt-6") for day in ("2026-12-31", "2027-01-01")]
    assert [each and each.id for each in found] == ["2.1", "1.1"]
    again = price(*ending, "--yes")
    assert (again.code, ids(store)) == (1, ["1.1", "2.1", "3.1"])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ("openai/gpt-6", "--from", "2026-11-30", "--source", "s"),
            1,
            "No price by the name openai/gpt-6 is in force on 2026-11-30: nothing ends."
            " It has one from 2026-12-01 on (1.1). See impact price list --on 2026-11-30",
        ),
        (
            ("openai/gpt-6*", "--from", "2026-12-01", "--source", "s"),
            1,
            "No price by the name openai/gpt-6* is in force on 2026-12-01: nothing ends."
            " See impact price list --on 2026-12-01",
        ),
        (("\x1b[2J/*", "--from", "2026-12-01", "--source", "s"), 1, "No price by the name \\x1b[2J/* is in"),
        (("gpt-6", "--from", "2026-12-01", "--source", "s"), 2, "MODEL must be provider/model"),
        (("openai/gpt-6", "--from", "soon", "--source", " "), 2, "--source is missing; --from must be a day"),
        (("openai/gpt-6", "--source", "s"), 2, "Missing option '--from'."),
    ],
)
def test_what_cannot_end(
    store: Store, price: Run, arguments: tuple[str, ...], code: int, message: str
) -> None:
    price("add", *GPT, "--yes")
    ran = price("end", *arguments, "--yes")
    assert ran.code == code
    assert ran.err.splitlines()[-1].startswith(f"Error: {message}")
    assert ids(store) == ["1.1"]


# --- apply ---

FILE = """model,from,input,output,source
openai/gpt-6,2026-12-01,1.25,10,contract 17
openai/gpt-7,2026-12-01,2,20,contract 17
openai/*,2026-11-01,1,1,contract 17
"""


def test_a_file_is_one_revision_and_leaves_out_what_is_in_force(
    store: Store, price: Run, tmp_path: Path
) -> None:
    price("add", *GPT, "--yes")
    price("add", "openai/gpt-7", *GPT[1:], "--yes")
    path = tmp_path / "prices.csv"
    path.write_text(FILE)
    dry = price("apply", str(path), "--dry-run")
    assert (dry.code, ids(store)) == (0, ["1.1", "2.1"])
    starts = [line[:2] for line in dry.out.splitlines()]
    assert starts == ["+ ", "  ", "~ ", "  ", "  ", "  ", "As", "Da", "No", "It"]
    done = price("apply", str(path), typed="y\n")
    assert (done.code, done.err) == (0, "Append these 2? [y/N] ")
    assert done.out == dry.out + "Appended: 3.1 to 3.2.\n"
    assert ids(store) == ["1.1", "2.1", "3.1", "3.2"]
    again = price("apply", str(path), "--yes")
    assert again == Ran(
        0, "As in force already, and left out: 3 (3.1, 1.1, 3.2).\n", "Nothing is left to append.\n"
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.csv", FILE.replace("10,", "1O,"), "line 2 (openai/gpt-6): output '1O' is not a number"),
        ("p.csv", FILE.replace("openai/gpt-7", "gpt-7"), "line 3 (gpt-7): model must be provider/model"),
        ("p.toml", "price = 1", "the file: must have tables [[price]]"),
        ("p.toml", "[[price]]\nmodel = 'a/b'\n", "entry 1 (a/b): from is missing"),
        ("p.json", "[]", "its name: must end in .toml or .csv"),
    ],
)
def test_of_a_wrong_file_nothing_is_appended(
    store: Store, price: Run, tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content)
    ran = price("apply", str(tmp_path / name), "--yes")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"Error: {tmp_path / name} has ")
    assert f"\n  {message}" in ran.err
    assert ids(store) == []


@pytest.mark.parametrize("name", ["none.toml", ""])
def test_a_file_that_is_not_there_is_named(price: Run, tmp_path: Path, name: str) -> None:
    ran = price("apply", str(tmp_path / name))
    assert (ran.code, ran.out) == (2, "")
    assert f"Error: Invalid value for 'FILE': File '{tmp_path / name}' " in ran.err


# --- list ---


@pytest.fixture
def some_prices(price: Run) -> None:
    price("add", "openai/*", "--from", "2026-11-01", "--per-request", "0.01", "--source", "=1+1", "--yes")
    price("add", *GPT, "--yes")
    price("add", "openai/gpt-6", *GPT[1:3], "--input", "2", *GPT[5:], "--yes")
    price("end", "openai/*", "--from", "2027-01-01", "--source", "over", "--yes")


@pytest.mark.usefixtures("some_prices")
def test_prices_in_force_are_listed_today_or_on_a_day(price: Run) -> None:
    assert price("list").out == (
        "id   model     from        per request  currency  only      source\n"
        "1.1  openai/*  2026-11-01  0.01         USD       unpriced  =1+1\n"
    )
    then = json.loads(price("list", "--on", "2026-12-01", "--json").out)
    assert [(row["id"], row["rates"]) for row in then] == [
        ("1.1", {"perRequest": 0.01}),
        ("3.1", {"input": 2, "output": 10}),
    ]
    assert price("list", "--on", "2026-10-31").out == "- no prices on 2026-10-31\n"
    assert json.loads(price("list", "--on", "2026-10-31", "--json").out) == []


@pytest.mark.usefixtures("some_prices")
def test_of_a_model_it_says_which_price_it_has_and_why(price: Run) -> None:
    shown = price("list", "openai/gpt-6", "--on", "2026-12-01").out.splitlines()
    assert shown[0] == "openai/gpt-6 on 2026-12-01 has the price 3.1."
    assert [(line.split()[0], line.endswith(why)) for line, why in zip(shown[2:], WHY, strict=True)] == [
        ("3.1", True),
        ("1.1", True),
    ]
    assert price("list", "openai/x").out.endswith("the longest that fits\n")
    lines = price("list", "openai/gpt-6", "--on", "2026-12-01", "--jsonl").out.splitlines()
    assert [(row["id"], row["used"]) for row in map(json.loads, lines)] == [("3.1", True), ("1.1", False)]
    assert price("list", "a/\x1b[2J").out == (
        "a/\\x1b[2J has no price in the book on 2026-11-23: a request costs what was reported with it.\n"
    )


WHY = ("its own name", "shorter: not used")


@pytest.mark.usefixtures("some_prices")
def test_each_entry_that_ever_was_is_listed_with_who_when_and_what_took_its_place(price: Run) -> None:
    lines = price("list", "--all").out.splitlines()
    assert [line.split()[0] for line in lines] == ["id", "1.1", "2.1", "3.1", "4.1"]
    assert "ended by 4.1 from 2027-01-01 on" in lines[1]
    assert "replaced by 3.1 from 2026-12-01 on" in lines[2]
    assert "an end" in lines[4]
    assert all(line.endswith(BY) and "2026-11-23T12:00:00" in line for line in lines[1:])
    assert [row["id"] for row in json.loads(price("list", "--all", "openai/gpt-7", "--json").out)] == [
        "1.1",
        "4.1",
    ]
    header, first, *_ = price("list", "--all", "--csv").out.splitlines()
    cells = dict(zip(header.split(","), first.split(","), strict=True))
    assert (cells["rates.perRequest"], cells["rates.input"], cells["source"]) == ("0.01", "", "'=1+1")
    assert (cells["endedBy"], cells["replacedBy"], cells["until"]) == ("4.1", "", "2027-01-01")


def test_an_empty_book(price: Run) -> None:
    assert (price("list").out, price("list", "--all").out) == ("- no prices on 2026-11-23\n", "- no prices\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--all", "--on", "today"), "--all lists the entries of all days: leave --on out."),
        (("--on", "2026-11"), "'2026-11' is not a day: YYYY-MM-DD or today or yesterday."),
        (("--on", "2026-02-30"), "'2026-02-30' is not a day"),
        (("a/b", "c/d"), "Got unexpected extra argument (c/d)"),
        (("--since", "today"), "No such option: --since"),
    ],
)
def test_what_cannot_be_listed(price: Run, arguments: tuple[str, ...], message: str) -> None:
    ran = price("list", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err


# --- check ---

KNOWN = {"provider": "openai", "model": "gpt-4o", "tokens_in": 1_000_000, "tokens_out": 100_000}
"""3.5 dollars in the table of genai-prices."""


def test_it_proposes_prices_and_names_what_differs(store: Store, price: Run) -> None:
    put(
        store,
        event(**KNOWN, eventId="1", costUSD=Decimal("7")),
        event(**KNOWN, eventId="2", userId="bob", costUSD=Decimal("7")),
        event(**KNOWN | {"provider": "azure"}, eventId="3", costUSD=None),
        event(**KNOWN | {"provider": "ollama"}, eventId="4", costUSD=None),
        event(**KNOWN | {"model": "gpt-4o-mini"}, eventId="5", costUSD=Decimal("0.21")),
    )
    shown = price("check", "--since", "today", "--stack", "impact")
    assert shown.code == 0
    assert shown.out == CHECKED
    document = simplejson.loads(price("check", "--json").out, use_decimal=True)
    assert (document["from"], document["to"]) == ("2026-10-25", "2026-11-23")
    assert document["differences"] == [
        {
            "model": "openai/gpt-4o",
            "requests": 2,
            "reportedUSD": 14,
            "computedUSD": 7,
            "ratio": Decimal("0.5"),
        }
    ]
    assert [row["model"] for row in document["proposals"]] == ["azure/gpt-4o"]
    assert document["notKnown"] == [{"model": "ollama/gpt-4o", "requests": 1, "unpriced": 1}]


CHECKED = """\
genai-prices 0.2.3, 2026-11-23 to 2026-11-23

Its sums differ by more than 1 % (US dollars, without tools):
model          requests   reported  genai-prices  ratio
openai/gpt-4o         2  14.000000      7.000000   0.50

Without a price, and what it would charge. To append its price:

azure/gpt-4o: 1 requests, 3.500000 USD
    impact --stack=impact price add --from 2026-11-23 --input 2.5 --cached 1.25 --output 10 \
--source 'genai-prices 0.2.3 (azure)' azure/gpt-4o

It knows no price of:
model          requests  unpriced
ollama/gpt-4o         1         1
"""


def test_a_command_that_it_proposes_can_be_run(store: Store, price: Run) -> None:
    import shlex

    put(store, event(**KNOWN, costUSD=None))
    [proposal] = json.loads(price("check", "--json").out)["proposals"]
    words = shlex.split(proposal["command"])
    assert words[:2] == ["impact", "price"]
    assert price(*words[2:], "--yes").code == 0
    [revision] = store.prices.book().revisions
    assert replace(revision.prices[0], rates=None) == Price(
        "1.1", "openai/gpt-4o", "2026-11-23", None, source="genai-prices 0.2.3 (openai)"
    )
    assert json.loads(price("check", "--json").out)["proposals"] == []


def test_an_empty_ledger_has_nothing_to_check(price: Run) -> None:
    assert price("check", "--since", "2026-11").out == (
        "genai-prices 0.2.3, 2026-11-01 to 2026-11-30\n\nNo model's sum differs by more than 1 %.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--since", "soon"), "'soon' is not a day"),
        (("--since", "2026-13"), "'2026-13' is not a day"),
        (("--since", "2026-11-23", "--until", "2026-11-22"), "2026-11-23 is after 2026-11-22."),
        (("openai/gpt-6",), "Got unexpected extra argument (openai/gpt-6)"),
        (("--csv",), "No such option: --csv"),
    ],
)
def test_what_cannot_be_checked(price: Run, arguments: tuple[str, ...], message: str) -> None:
    ran = price("check", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err


def test_without_the_package_it_says_how_to_install_it(price: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    assert price("check") == Ran(
        1, "", "Error: A second opinion needs another package: pip install './cli[prices]'\n"
    )
    assert price("list").code == 0
