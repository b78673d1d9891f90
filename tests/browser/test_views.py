"""Every view: its figures are the API's, to the last digit, also those pointed at, copied and saved."""

import csv
import re
from datetime import date, timedelta
from decimal import Context, Decimal, Inexact, localcontext
from fractions import Fraction
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from playwright.sync_api import Locator, Route, expect

from local.stack import Stack
from tests.browser.screen import Screen, read

pytestmark = pytest.mark.long

LAST_DIGITS = Decimal("1E-30")
"""A share of the whole is fitted to it in its last digits; the sum of a value's own days is not."""
EXACT = Context(prec=200, traps=[Inexact])
TABS = {
    "Users": "user",
    "Models": "model",
    "Teams": "team",
    "Keys": "key",
    "Tags": "tag",
    "Providers": "provider",
}
FIELDS = {
    "user": "userId",
    "team": "teamId",
    "key": "keyAlias",
    "tag": "tag",
    "model": "model",
    "provider": "provider",
}
COPY = """
  let text = null;
  const listen = (event) => { text = event.clipboardData.getData("text/plain"); };
  document.addEventListener("copy", listen, { once: true });
  document.execCommand("copy");
  return text;
}"""
COPIED = "element => { getSelection().selectAllChildren(element);" + COPY
COPIED_CELLS = (
    """row => {
  const range = document.createRange();
  range.setStart(row.cells[1], 0);
  range.setEndAfter(row.cells[row.cells.length - 1]);
  getSelection().removeAllRanges();
  getSelection().addRange(range);"""
    + COPY
)


def month_of(today: date) -> dict[str, str]:
    return {"from": str(today.replace(day=1)), "to": str(today)}


def sums(rows: Any, name: str) -> Decimal:
    with localcontext(EXACT):
        return sum((Decimal(row[name]) for row in rows), Decimal(0))


def saved(screen: Screen, of: Locator) -> list[dict[str, str]]:
    """Push the button that saves a CSV, and read it."""
    with screen.page.expect_download() as download:
        of.get_by_role("button", name="CSV").click()
    path = download.value.path()
    return list(csv.DictReader(StringIO(Path(path).read_text("utf-8-sig"), newline="")))


def test_the_large_number_is_this_month(operator: Screen, stack: Stack, today: date) -> None:
    totals = read(f"{stack.api_url}/api/totals?{urlencode(month_of(today))}", stack.read_token)
    cost = sums(totals["days"], "costEUR")
    headline = operator.page.locator(".headline data")
    assert Decimal(headline.get_attribute("title") or "") == cost
    assert Decimal(headline.evaluate(COPIED)) == cost
    assert headline.inner_text() == f"€{cost:,.2f}"
    assert "up to the same day of last month" in operator.page.locator(".hero").inner_text()
    facts = operator.page.locator(".hero dl").inner_text()
    for name in ("Cost", "Markup", "Restoration fee", "Billed"):
        assert name in facts


@pytest.mark.parametrize("tab", TABS)
def test_a_table_and_its_csv_have_what_the_api_has(
    operator: Screen, stack: Stack, today: date, tab: str
) -> None:
    panel = operator.panel("Who and what")
    panel.get_by_role("button", name=tab, exact=True).click()
    operator.settled()
    while (more := panel.get_by_role("button", name=re.compile("Show more"))).is_visible():
        more.click()
    query = {"by": TABS[tab]} | month_of(today)
    items = read(f"{stack.api_url}/api/breakdown?{urlencode(query)}", stack.read_token)["items"]
    rows = saved(operator, panel)
    assert len(rows) == len(items) == panel.locator("tbody tr").count() > 1
    for row, item in zip(rows, items, strict=True):
        assert {name: row[name] for name in ("costEUR", "requests", "tokens_in", "tokens_out")} == {
            name: item[name] for name in ("costEUR", "requests", "tokens_in", "tokens_out")
        }
        shown = "" if item["value"] is None else item["value"]
        assert row["value"] == (f"'{shown}" if shown.startswith(("=", "+", "-", "@")) else shown)
    exact = panel.locator("data").evaluate_all("all => all.map((each) => each.title)")
    assert exact[0] == items[0]["costEUR"]


def test_a_click_on_a_heading_sorts_and_another_turns_it_around(operator: Screen) -> None:
    panel = operator.panel("Who and what")

    def requests() -> list[int]:
        column = panel.locator("thead th").all_inner_texts().index("Requests ↓" if down else "Requests ↑")
        cells = panel.locator(f"tbody tr > :nth-child({column + 1}) data")
        return [int(value) for value in cells.evaluate_all("all => all.map((each) => each.value)")]

    for down in (True, False):
        panel.get_by_role("button", name="Requests").click()
        header = panel.locator("th", has=operator.page.get_by_role("button", name="Requests"))
        expect(header).to_have_attribute("aria-sort", "descending" if down else "ascending")
        found = [
            int(v)
            for v in panel.locator("tbody tr").evaluate_all(
                "rows => rows.map((row) => row.querySelectorAll('data')[1].value)"
            )
        ]
        assert found == sorted(found, reverse=down)


def test_a_sort_is_of_all_rows_also_of_those_that_are_not_here_yet(
    operator: Screen, stack: Stack, today: date
) -> None:
    def three_at_first(route: Route) -> None:
        route.continue_(url=route.request.url.replace("limit=100", "limit=3"))

    operator.page.route("**/api/breakdown?by=team&*limit=100", three_at_first)
    panel = operator.panel("Who and what")
    panel.get_by_role("button", name="Teams", exact=True).click()
    expect(panel.locator("tbody tr")).to_have_count(3)
    panel.get_by_role("button", name="Requests").click()
    query = {"by": "team"} | month_of(today)
    items = read(f"{stack.api_url}/api/breakdown?{urlencode(query)}", stack.read_token)["items"]
    expect(panel.locator("tbody tr")).to_have_count(len(items))
    rows = [int(row["requests"]) for row in saved(operator, panel)]
    assert rows == sorted((int(item["requests"]) for item in items), reverse=True)
    assert len(rows) > 3


def test_a_slow_answer_never_stands_under_another_tab(operator: Screen) -> None:
    panel = operator.panel("Who and what")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    operator.page.route("**/api/breakdown?by=team&*limit=100", hold)
    users = panel.locator("tbody tr").all_inner_texts()
    panel.get_by_role("button", name="Teams", exact=True).click()
    expect(panel.get_by_text("Loading")).to_be_visible()
    panel.get_by_role("button", name="Users", exact=True).click()
    operator.settled()
    with operator.page.expect_response("**/api/breakdown?by=team&*limit=100") as answer:
        held[0].continue_()
    answer.value.finished()
    operator.page.evaluate("new Promise((resume) => requestAnimationFrame(resume))")
    assert panel.locator("tbody tr").all_inner_texts() == users


def test_an_axis_is_as_wide_as_its_amounts(operator: Screen) -> None:
    left = "all => Math.min(...all.map((each) => each.getBBox().x))"
    assert operator.page.locator(".canvas text").evaluate_all(left) >= 0


def test_a_day_has_its_parts_in_the_table_and_in_the_csv(operator: Screen) -> None:
    panel = operator.panel("Money per day")
    panel.get_by_text("Money per day, as a table").click()
    rows = saved(operator, panel)
    parts = [name for name in rows[0] if name.startswith("costEUR: ")]
    assert len(parts) == 7
    assert parts[-1] == "costEUR: others"
    for row in rows:
        assert sum(Fraction(row[name]) for name in parts) == Fraction(row["costEUR"])


def test_copied_cells_stay_apart(operator: Screen) -> None:
    row = operator.panel("Who and what").locator("tbody tr").first
    exact = row.locator("data").evaluate_all("all => all.map((each) => each.value)")
    copied = row.evaluate(COPIED_CELLS)
    assert [cell for cell in re.split(r"\s*\t\s*", copied) if cell and "%" not in cell] == exact


def test_the_range_lives_in_the_address(operator: Screen, stack: Stack, today: date) -> None:
    first, last = str(today - timedelta(days=20)), str(today - timedelta(days=4))
    operator.page.get_by_label("From", exact=True).fill(first)
    operator.page.get_by_label("To", exact=True).fill(last)
    operator.page.get_by_role("button", name="Show", exact=True).click()
    operator.settled()
    assert operator.page.url.endswith(f"#/?from={first}&to={last}")
    rows = saved(operator, operator.panel("Who and what"))
    query = urlencode({"by": "user", "from": first, "to": last})
    items = read(f"{stack.api_url}/api/breakdown?{query}", stack.read_token)["items"]
    assert [row["costEUR"] for row in rows] == [item["costEUR"] for item in items][: len(rows)]
    operator.page.reload()
    operator.settled()
    assert operator.page.get_by_label("From", exact=True).input_value() == first
    operator.page.go_back()
    operator.settled()
    assert operator.page.get_by_label("From", exact=True).input_value() == str(today.replace(day=1))


def test_a_range_that_cannot_be_is_said_and_not_shown(operator: Screen, today: date) -> None:
    before = operator.page.url
    operator.page.get_by_label("From", exact=True).fill(str(today - timedelta(days=800)))
    operator.page.get_by_role("button", name="Show", exact=True).click()
    expect(operator.page.get_by_role("alert")).to_contain_text("at most 366 days")
    assert operator.page.url == before


@pytest.mark.parametrize("by", FIELDS)
def test_behind_each_value_is_a_page_of_its_own(operator: Screen, stack: Stack, today: date, by: str) -> None:
    query = urlencode({"by": by} | month_of(today))
    [item, *others] = read(f"{stack.api_url}/api/breakdown?{query}", stack.read_token)["items"]
    item = item if item["value"] else others[0]
    operator.go(f"#/{by}/{quote(item['value'], safe='')}")
    of_one = urlencode({FIELDS[by]: item["value"]} | month_of(today), quote_via=quote)
    usage = read(f"{stack.api_url}/api/summaries?{of_one}", stack.read_token)
    assert operator.page.locator(".hero data").first.get_attribute("title") == usage["total"]["costEUR"]
    assert abs(Decimal(usage["total"]["costEUR"]) - Decimal(item["costEUR"])) < LAST_DIGITS
    operator.page.get_by_text("Money per day, as a table").click()
    rows = saved(operator, operator.panel("Money per day"))
    names = ("day", "costEUR", "billedEUR", "requests", "tokens_in", "tokens_out")
    assert [[row[name] for name in names] for row in rows] == [
        [day[name] for name in names] for day in usage["days"]
    ][: len(rows)]


@pytest.mark.parametrize("by", ["model", "team", "user"])
def test_the_bars_of_a_day_are_the_day(operator: Screen, by: str) -> None:
    panel = operator.panel("Money per day")
    panel.get_by_label("By").select_option(by)
    operator.settled()
    bars = panel.locator("svg g")
    assert bars.count() >= 1
    assert panel.locator(".legend li").count() >= 2


def test_what_is_not_in_the_figures_says_what_to_do(operator: Screen, today: date) -> None:
    operator.go(f"#/?from={(today.replace(day=1) - timedelta(days=1)).replace(day=1)}&to={today}")
    missing = operator.panel("What is not in these figures").inner_text()
    for words in ("no known cost", "impact price", "no estimate of their footprint", "not final", "a guess"):
        assert words in missing
    footprint = operator.panel("Footprint").inner_text()
    assert "EcoLogits" in footprint
    assert "–" in footprint
    assert "m²" in footprint


def test_the_page_is_german_where_the_browser_is(chromium: Any, stack: Stack) -> None:
    from tests.browser.screen import new_screen

    screen = new_screen(chromium, stack.api_url, locale="de-DE").open()
    screen.page.locator("#token").fill(stack.read_token)
    screen.page.keyboard.press("Enter")
    screen.settled()
    assert screen.page.locator("html").get_attribute("lang") == "de"
    assert re.fullmatch(r"[\d.]+,\d\d\s€", screen.page.locator(".headline").inner_text())
    assert screen.page.get_by_role("button", name="Abmelden").is_visible()
    assert "Sign out" not in screen.text()
    assert screen.said == []
    screen.page.context.close()
