"""Rejected and damaged events are kept in the folder rejected/."""

import json
from pathlib import Path
from typing import Any

import pytest

from request_events import outbox as module
from request_events import outbox_report as report_module
from request_events.outbox import Outbox
from tests.unit.callback.test_outbox import take_all


def test_a_torn_last_event_is_quarantined(outbox: Outbox, folder: Path) -> None:
    folder.mkdir()
    (folder / "00001795418608164711-1-00000000.jsonl").write_bytes(b'{"eventId":"a"}\n{"eventId":"b","us')
    assert take_all(outbox) == [b'{"eventId":"a"}']
    assert [record["event"] for record in rejected(folder)] == ['{"eventId":"b","us']


def event(number: int) -> bytes:
    """As long as a usual event, and each as long as another."""
    text = {"eventId": f"e-{number}", "userId": "alice", "ts": "2026-11-24T12:00:00Z"}
    return json.dumps(text | {"padding": "x" * (320 - len(str(number)))}).encode()


def rejected(folder: Path) -> list[dict[str, Any]]:
    text = "".join(path.read_text() for path in (folder / "rejected").glob("*.jsonl"))
    return [json.loads(line) for line in text.splitlines()]


def test_rejected_events_are_kept_with_their_reason(outbox: Outbox, folder: Path) -> None:
    outbox.quarantine(b'{"eventId": "a"}', [{"field": "ts", "message": "too old"}])
    [record] = rejected(folder)
    assert record["event"] == {"eventId": "a"}
    assert record["reason"] == [{"field": "ts", "message": "too old"}]
    assert record["time"].startswith("20")


def test_what_is_rejected_is_bounded_as_well(
    outbox: Outbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in (module, report_module):
        monkeypatch.setattr(each, "REJECTED_BYTES", 10_000)
    outbox.measure()
    for number in range(100):
        outbox.quarantine(event(number), "HTTP 422")
    kept = rejected(folder)
    assert 10 < len(kept) < 30
    assert kept[0]["event"]["eventId"] == "e-0"  # the first ones: they show the cause
    assert (outbox.rejected, outbox.rejected_dropped) == (len(kept), 100 - len(kept))
    assert outbox.measure().here.rejected_bytes <= 10_000
    for path in (folder / "rejected").iterdir():
        path.unlink()
    outbox.measure()
    outbox.quarantine(event(0), "HTTP 422")
    assert len(rejected(folder)) == 1
