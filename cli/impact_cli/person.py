"""All that is held of one user, for them to read: a file for programs, and a page for people."""

import html
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3

from impact.calendar import FIRST_DAY
from impact.keys import parse_day_shard
from impact.naming import USER, fields_of
from impact.state_store import LAST_DAY
from impact.types import Item
from impact_cli.deployed_stack import calendar_of, store_of
from impact_cli.exporting import CannotExport
from impact_cli.ledger_reader import WORKERS, partitions_of, shown, summary_keys, user_pages
from impact_cli.progress import Progress
from impact_cli.records import at, text, to_json

ORIGIN = (
    "Each request that you make through the AI chat passes a proxy (LiteLLM). The proxy reports who asked,"
    " when, which model answered, how many tokens were read and written, what it cost and how long it took."
    " This service stores that report, adds an estimate of electricity, CO2e and water, and adds the reports"
    " of a day up into a daily summary. It stores no question and no answer. The operator may have"
    " written down a name and a cost centre for your id, and may have prices of their own for some models:"
    " `repriced` says how many of a day's requests are billed by them, `prices` by which, and `before` what a"
    " day was billed at first, if its prices were corrected since."
)
PURPOSES = (
    "To bill, or to show, what each user costs, and to estimate the footprint. Single requests are deleted"
    " when they are as old as the operator's retention says (`expiresAt`, in seconds since 1970). Daily"
    " summaries are kept. Backups keep deleted items for 35 days."
)
INTERNAL = ("dayShard", "revision")
CALLED = {"name": "Name", "costCentre": "Cost centre"}
EVENT_COLUMNS = {
    "Time (UTC)": "ts",
    "Model": "model",
    "Provider": "provider",
    "Status": "status",
    "Tokens in": "tokens_in",
    "Tokens out": "tokens_out",
    "Seconds": "latency",
    "USD": "costUSD",
    "EUR": "costEUR",
    "Conversation": "conversationId",
    "Key": "keyAlias",
    "Team": "teamId",
    "Deleted after": "expiresAt",
}
SUMMARY_COLUMNS = {
    "Day": "day",
    "Requests": "requests",
    "Failed": "failures",
    "Tokens in": "tokens_in",
    "Tokens out": "tokens_out",
    "USD": "costUSD",
    "EUR": "costEUR",
    "EUR billed": "billedEUR",
    "Billed at first": "before.billedEUR",
    "By own prices": "repriced",
    "Final": "final",
}
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;font-size:.85rem;display:block;overflow-x:auto}"
    "th,td{padding:.25rem .6rem;border-bottom:1px solid #bbb;text-align:left;white-space:nowrap}"
    "caption{text-align:left;font-weight:600;padding:.5rem 0}"
)


def write_person(session: boto3.Session, stack: str, user_id: str, folder: Path) -> tuple[int, int]:
    """Write `data.json` and `index.html`, readable by their owner only. Return how many events and summaries.

    Raises CannotExport, also if the folder has something, BotoCoreError, ClientError.
    """
    _check_empty(folder)
    store = store_of(session, stack, connections=WORKERS)
    calendar = calendar_of(session, stack, store)
    marked = store.state.marked()  # before the summaries, as the API does
    partitions = partitions_of(calendar, user_id, summary_keys(store, user_id), datetime.now(UTC))
    with ThreadPoolExecutor(WORKERS) as workers:
        reading = workers.map(lambda partition: list(user_pages(store, user_id, partition)), partitions)
        pages = list(Progress().of(reading, f"of {len(partitions)} days looked up"))
    events = [shown(item) for partition in pages for page in partition for item in page]
    summaries = [
        {name: value for name, value in summary.items() if name not in INTERNAL}
        | {"final": summary["final"] and parse_day_shard(summary["dayShard"]) not in marked}
        for summary in store.summaries.of_user(user_id, FIRST_DAY, LAST_DAY)
    ]
    name = store.names.get(USER, user_id)
    held = {
        "userId": user_id,
        **fields_of(name),
        **({"nameRecordedAt": name.recorded_at} if name else {}),
        "stack": stack,
        "madeAt": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "origin": ORIGIN,
        "purposes": PURPOSES,
        "summaries": summaries,
        "events": events,
    }
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(folder / "data.json", to_json(held) + "\n")
        _write(folder / "index.html", "".join(_page(held)))
    except OSError as error:
        raise CannotExport(f"{folder} cannot be written: {error.strerror}.") from None
    return len(events), len(summaries)


def _check_empty(folder: Path) -> None:
    """Raises CannotExport if the folder has something, or is no folder."""
    try:
        if folder.exists() and any(folder.iterdir()):
            raise CannotExport(f"{folder} is not empty. Give --output another name.")
    except OSError as error:
        raise CannotExport(f"{folder} cannot be written: {error.strerror}.") from None


def _write(path: Path, content: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(content)


def _page(held: Mapping[str, Any]) -> Iterator[str]:
    """The page: without scripts, and all that is held is text in it."""
    user = html.escape(str(held["userId"]))
    called = "".join(
        f"<p>{what}: {html.escape(str(held[field]))}</p>\n" for field, what in CALLED.items() if field in held
    )
    yield f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>What is held of {user}</title><style>{STYLE}</style></head><body>
<h1>What is held of {user}</h1>
<p>Written on {held["madeAt"]} from the Impact Service {html.escape(str(held["stack"]))}.
The file <code>data.json</code> beside this page has every field, with all digits.</p>
{called}<h2>Where it comes from</h2><p>{html.escape(str(held["origin"]))}</p>
<h2>What for, and for how long</h2><p>{html.escape(str(held["purposes"]))}</p>
"""
    yield from _table("Daily summaries", held["summaries"], SUMMARY_COLUMNS)
    yield from _table("Single requests", held["events"], EVENT_COLUMNS)
    yield "</body></html>\n"


def _table(title: str, rows: Sequence[Item], columns: Mapping[str, str]) -> Iterator[str]:
    yield f"<table><caption>{title}: {len(rows):,}</caption><thead><tr>"
    yield "".join(f"<th scope=col>{name}</th>" for name in columns)
    yield "</tr></thead><tbody>\n"
    for row in rows:
        cells = (html.escape(_shown(name, at(row, name))) for name in columns.values())
        yield "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>\n"
    yield "</tbody></table>\n"


def _shown(name: str, value: Any) -> str:
    if name == "expiresAt" and value is not None:
        return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d}"
    return text(value)
