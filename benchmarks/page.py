"""What the operator's page costs: read units and milliseconds of each call, and their growth.

`python -m benchmarks.page`. The first part reads in this process: from DynamoDB Local if DYNAMODB_LOCAL_URL
is set, else from moto, whose units mean nothing. The second part calls the deployed stack on this machine
over HTTP, cold and warm; the third opens the page in a browser, if there is one. No event is sent: the rows
are written as the rollup would have written them, with its own code.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from functools import partial
from random import Random
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen
from zoneinfo import ZoneInfo

from moto import mock_aws
from playwright.sync_api import Browser, expect

from benchmarks.reading import LOCAL, Meter, summary, write
from impact.billing import Terms
from impact.breakdown import DIMENSIONS, Breakdown, Encoded, ShardRows, day_rows
from impact.breakdown_reader import BreakdownReader
from impact.calendar import Calendar, Settings, day_before, days_between, timestamp
from impact.daily_totals import daily_total
from impact.decimals import EXACT
from impact.dynamodb import connect
from impact.fx_rates import FxRate
from impact.keys import day_shard, shard_of
from impact.state_store import Progress
from impact.store import Store
from impact.summary import Group, Sums, Tally
from impact.types import Item
from impact.usage_reader import LISTERS, UsageReader
from impact_cli.deployed_stack import store_of
from local.browser import browser_path, running_browser
from local.stack import Stack, running_stack
from tests.tables import drop_tables, make_tables

ACTIVE = 0.3
"""Which part of the users has use on a day."""
OPEN_DAYS = 2
"""Today, and yesterday until it has closed."""
ALIKE = 4
"""Different days; the others repeat them."""
TEAMS, KEYS, TAGS, NAMED_MODELS = 40, 200, 60, 30
TERMS = Terms(Decimal(10), Decimal(2), Decimal(25), "a benchmark")
RATE = FxRate("2026-11-20", Decimal("1.1172"))
Seen = tuple[float, ...]
"""Milliseconds until something was there."""
DAILY = 6
"""Models that the page stacks."""
SERIES = {"by": "model", "daily": str(DAILY), "limit": str(DAILY + 1)}
TABLE = {"by": "user", "limit": "100"}


@dataclass(frozen=True)
class Day:
    """The shards of a day: the total of each, and its stored rows."""

    totals: list[Item]
    rows: list[bytes]


def a_day(users: int, shards: int, seed: int) -> Day:
    """Make up a day, as a recompute would have summed it."""
    random = Random(seed)
    found = [(Breakdown(), Tally()) for _ in range(shards)]
    count = [0] * shards
    for number in random.sample(range(users), max(1, int(users * ACTIVE))):
        user, sums = f"user-{number:06d}", a_users_sums(random)
        shard = shard_of(user, shards)
        breakdown, tally = found[shard]
        group = Group(
            "openai",
            f"gpt-{min(int(random.expovariate(0.2)), NAMED_MODELS)}",
            f"team-{number % TEAMS:02d}",
            f"key-{number % KEYS:03d}",
            (f"tag-{random.randrange(TAGS):02d}",),
        )
        with localcontext(EXACT):
            breakdown.add(user, group, sums)
            tally.add(sums)
        count[shard] += 1
    totals = [a_total(shard, tally, count[shard]) for shard, (_, tally) in enumerate(found)]
    return Day(totals, [breakdown.encoded() for breakdown, _ in found])


def a_users_sums(random: Random) -> Sums:
    requests = random.randint(1, 40)
    dollars = Decimal(random.randrange(10**9)).scaleb(-9)
    low = [Decimal(random.randrange(10**15)).scaleb(-18) for _ in range(3)]
    return Sums(
        requests=requests,
        tokens_in=requests * 1100,
        tokens_out=requests * 350,
        costUSD=dollars,
        costReportedUSD=dollars,
        unconverted=dollars,
        rated=requests,
        energyLow=low[0],
        energyHigh=low[0] * 3,
        co2eLow=low[1],
        co2eHigh=low[1] * 3,
        waterLow=low[2],
        waterHigh=low[2] * 3,
        latencyTotal=Decimal(random.randrange(10**6)).scaleb(-3),
        latencyMax=Decimal("9.5"),
    )


def a_total(shard: int, tally: Tally, users: int) -> Item:
    fields = {name: value for name, value in tally.as_fields().items() if name != "models"}
    named = {"breakdown": {"revision": "0" * 16, "digest": "0" * 16}}
    stamp = {"terms": TERMS.as_fields(), "asOf": "2026-11-28T12:00:00.000000Z", "final": True}
    return {"shard": shard, "users": users} | fields | RATE.as_fields() | named | stamp


def of_day(by: str, day: Day) -> bytes:
    """The rows of a final day, as the planner stores them."""
    shards = [ShardRows(total, Encoded(rows)) for total, rows in zip(day.totals, day.rows, strict=True)]
    return day_rows(by, shards).encoded(by)


def fill(store: Store, users: int, days: list[str], shards: int) -> None:
    """Write what the rollup keeps of days, of which the last ones are open, and summaries of one user."""
    made = [a_day(users, shards, seed) for seed in range(min(ALIKE, len(days)))]
    final, still_open = days[:-OPEN_DAYS], days[-OPEN_DAYS:]
    rows = [{by: of_day(by, each) for by in DIMENSIONS} for each in made]

    def put(number: int) -> None:
        day, each = final[number], number % len(made)
        total = daily_total(day, made[each].totals, shards)
        store.state.outdate_daily_total(day)
        for by in DIMENSIONS:
            store.breakdowns.put_day(by, day, {"total": total, "rows": rows[each][by]}, 1)
        store.state.put_daily_total(day, total, 1)

    with ThreadPoolExecutor(4) as writers:
        for _ in writers.map(put, range(len(final))):
            pass
    for number, day in enumerate(still_open):
        each = made[number % len(made)]
        for shard, of_shard in enumerate(each.rows):
            total = each.totals[shard] | {"day": day, "final": False}
            store.breakdowns.put_shard(day, shard, {"total": total, "rows": of_shard}, None)
            store.state.put_shard_total(day_shard(day, shard), total, None)
    store.state.put_progress(Progress(day_before(still_open[0]), shards))
    write(store, store.summaries.name, [summary("user-000000", day, shards) for day in days])


# Read units


def measure_units(users: int, days: int, shards: int) -> None:
    """Read each view of the page in this process."""
    store = make_tables(connect(read_timeout=60, attempts=3, connections=LISTERS))
    now = datetime.now(UTC)
    today = timestamp(now)[:10]
    all_days = list(days_between(day_before(today, days - 1), today))
    fill(store, users, all_days, shards)
    calendar = Calendar.of(Settings(ZoneInfo("UTC"), timedelta(days=400), shards))
    breakdown, usage = BreakdownReader(store, calendar), UsageReader(store, calendar, TERMS)
    meter = Meter(store.client)
    for length in sorted({min(31, days), days}):
        first = all_days[-length]
        values, one = partial(breakdown.values, first=first, last=today), "openai/gpt-1"
        views: list[tuple[str, Callable[[], Any]]] = [
            ("totals", partial(usage.platform, first, today)),
            *((f"by {by}", partial(values, by)) for by in ("user", "team", "model")),
            ("100 by user", partial(values, "user", limit=100)),
            ("by model, with days", partial(values, "model", daily=DAILY, limit=DAILY + 1)),
            ("one model", partial(breakdown.days_of, "model", one, first, today)),
            ("one user", partial(usage.user, "user-000000", first, today, fresh=False, now=now)),
        ]
        for name, view in views:
            spent: list[float] = []
            read = meter.of(partial(processor_time, view, spent))
            print(f"{users:7,}  {length:4}  {name:20}{read}{1000 * spent[-1]:12,.0f}", flush=True)
    drop_tables(store)


def processor_time(view: Callable[[], Any], spent: list[float]) -> None:
    """Note the seconds of this process alone: they depend less on what else runs."""
    began = time.process_time()
    view()
    spent.append(time.process_time() - began)


# Milliseconds, over HTTP


def measure_calls(users: int, days: int, runs: int) -> None:
    """Call a stack on this machine: each of the first screen's calls, cold and warm."""
    with running_stack() as stack:
        store = store_of(stack.session, stack.name)
        today = stack.impact.today()
        all_days = list(days_between(day_before(today, days - 1), today))
        fill(store, users, all_days, 2)
        month = {"from": all_days[-min(31, days)], "to": today}
        whole = {"from": all_days[0], "to": today}
        print(f"\n{'over HTTP':44}{'cold, ms':>9}{'warm, ms':>10}{'kB':>8}")
        for name, path, query in calls(month, whole):
            cold_start(stack)
            cold, _ = timed(stack, path, query)
            warm = [timed(stack, path, query) for _ in range(runs)]
            milliseconds, size = statistics.median(ms for ms, _ in warm), warm[0][1]
            print(f"  {name:42}{cold:9,.0f}{milliseconds:10,.0f}{size / 1000:8,.0f}", flush=True)
        if browser_path():
            measure_screen(stack, runs)


def calls(month: dict[str, str], whole: dict[str, str]) -> Iterator[tuple[str, str, dict[str, str]]]:
    ranges = {"31 days": month} | ({} if month == whole else {"366 days": whole})
    for range_, days in ranges.items():
        yield f"totals, {range_}", "/api/totals", days
        for by in ("user", "team", "model"):
            yield f"by {by}, {range_}", "/api/breakdown", {"by": by} | days
        yield f"100 by user, {range_}", "/api/breakdown", TABLE | days
        yield f"by model, with days, {range_}", "/api/breakdown", SERIES | days
        yield f"one model, {range_}", "/api/summaries", {"model": "openai/gpt-1"} | days
        yield f"one user, {range_}", "/api/summaries", {"userId": "user-000000"} | days


# Milliseconds, as somebody sees them


def measure_screen(stack: Stack, runs: int) -> None:
    """Open the page in a browser: with functions whose processes must start, then with warm ones."""
    print(f"\n{'in a browser, from the request on, ms':44}{'cold':>9}{'warm':>10}")
    with running_browser() as browser:
        paint, screen = partial(first_paint, browser, stack), partial(first_screen, browser, stack)
        print_times(["first paint"], *seen(paint, stack, "PageFunction", runs))
        names = ["after signing in: the large number", "after signing in: everything"]
        print_times(names, *seen(screen, stack, "SummariesFunction", runs))


def seen(look: Callable[[], Seen], stack: Stack, function: str, runs: int) -> tuple[list[Seen], list[Seen]]:
    """Look some times with a function whose processes must start, and as often with a warm one."""
    cold = []
    for _ in range(runs):
        cold_start(stack, function)
        cold.append(look())
    return cold, [look() for _ in range(runs)]


def print_times(names: list[str], cold: list[Seen], warm: list[Seen]) -> None:
    for name, of_cold, of_warm in zip(names, zip(*cold, strict=True), zip(*warm, strict=True), strict=True):
        print(f"  {name:42}{statistics.median(of_cold):9,.0f}{statistics.median(of_warm):10,.0f}", flush=True)


def first_paint(browser: Browser, stack: Stack) -> Seen:
    """Open the page as somebody who has never been there: nothing is cached."""
    with closing(browser.new_context()) as profile:
        page = profile.new_page()
        page.goto(stack.api_url)
        page.locator("form").wait_for()
        [paint] = page.evaluate("performance.getEntriesByName('first-contentful-paint')")
        return (float(paint["startTime"]),)


def first_screen(browser: Browser, stack: Stack) -> Seen:
    """Sign in. Return when the month's number was there, and when everything was."""
    with closing(browser.new_context(viewport={"width": 1280, "height": 900})) as profile:
        page = profile.new_page()
        page.goto(stack.api_url)
        page.locator("#token").fill(stack.read_token)
        began = time.perf_counter()
        page.locator("form button").click()
        page.locator(".headline").wait_for()
        number = time.perf_counter()
        expect(page.locator("[aria-busy]")).to_have_count(0, timeout=60_000)
        return 1000 * (number - began), 1000 * (time.perf_counter() - began)


def cold_start(stack: Stack, function: str = "SummariesFunction") -> None:
    """Write the function's configuration: its next call starts a process."""
    stack.client("lambda").update_function_configuration(FunctionName=stack.physical_id(function), Timeout=25)


def timed(stack: Stack, path: str, query: dict[str, str]) -> tuple[float, int]:
    """Return the milliseconds of a call, and the bytes of its response."""
    headers = {"Authorization": f"Bearer {stack.read_token}"}
    began = time.perf_counter()
    with urlopen(Request(f"{stack.api_url}{path}?{urlencode(query)}", headers=headers)) as response:
        size = len(response.read())
    return 1000 * (time.perf_counter() - began), size


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=[100, 1_000, 10_000], help="(100 1000 10000)")
    parser.add_argument("--days", type=int, default=366, help="(366)")
    parser.add_argument("--shards", type=int, default=16, help="of a day, in the first part (16)")
    parser.add_argument("--runs", type=int, default=7, help="of each warm call, and of each screen (7)")
    options = parser.parse_args()
    days = max(options.days, OPEN_DAYS + 1)
    print(f"{ACTIVE:.0%} of the users are active on a day; the last {OPEN_DAYS} of {days} days are open")
    print(
        f"{'users':>7}  {'days':>4}  {'view':20}{'requests':>8}{'read units':>12}{'ms':>10}{'of it ours':>12}"
    )
    with nullcontext() if LOCAL else mock_aws():
        for users in options.users:
            measure_units(users, days, options.shards)
    os.environ.pop("AWS_ENDPOINT_URL_DYNAMODB", None)  # benchmarks.reading has set it
    measure_calls(max(options.users), days, options.runs)


if __name__ == "__main__":
    main()
