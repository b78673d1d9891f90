"""How much waits in the folders of an outbox, and since when."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from request_events import outbox_stats as stats_module
from request_events.outbox import Outbox
from request_events.outbox_stats import FolderScanner, FolderStats
from tests.unit.callback.test_outbox_report import OLD, START, event


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "outbox"
    made.mkdir()
    return made


def test_a_scan_counts_what_everybody_has_appended(outbox: Outbox, folder: Path) -> None:
    scanner = FolderScanner(folder)
    assert replace(scanner.scan(), free=0) == FolderStats(free=0)  # others write to this disk too
    other = Outbox(folder)
    written = 0
    for number in range(10):
        for each in (outbox, other):
            each.append(event(number))
            written += len(event(number))
        if number % 3 == 0:
            other.seal()
        stats = scanner.scan()
        assert (stats.events, stats.bytes) == (2 * number + 2, written)
    other.close()
    outbox.quarantine(event(1), "HTTP 422")
    stats = scanner.scan()
    assert stats.rejected_bytes == sum(path.stat().st_size for path in (folder / "rejected").iterdir())
    assert stats.stranger is None


def test_the_oldest_event_is_known_by_its_time_and_not_by_its_file(folder: Path) -> None:
    """A segment may be made long before its first event: it is there from the last delivery on."""
    path = folder / OLD
    path.touch()
    scanner = FolderScanner(folder)
    assert scanner.scan().oldest is None
    later = START + timedelta(hours=2)
    path.write_bytes(event(1, later) + event(2, START))
    assert scanner.scan().oldest == later.timestamp()
    path.unlink()
    assert scanner.scan().oldest is None


@pytest.mark.parametrize(
    "first",
    [
        event(1, datetime(1970, 1, 1, tzinfo=UTC)),
        b"\0" * 100 + b"\n",
        b"[]\n",
        b'{"ts":5}\n',
        b'{"ts":"now"}\n',
        b'{"ts":"2026-11-24T12:00:00"}\n',
        b'{"ts":',
        b"[" * 60_000 + b"\n",
    ],
)
def test_an_event_of_no_usable_time_waits_since_its_file_was_made(folder: Path, first: bytes) -> None:
    (folder / OLD).write_bytes(first)
    assert FolderScanner(folder).scan().oldest == START.timestamp()


def test_a_scan_takes_no_longer_than_it_may_and_estimates_the_rest(
    outbox: Outbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1000):
        outbox.append(event(number + 1000))
        if number % 100 == 99:
            outbox.seal()
    scanner = FolderScanner(folder)
    monkeypatch.setattr(stats_module, "READING_SECONDS", -1)
    assert scanner.scan().events == round(1000 * len(event(1000)) / stats_module.EVENT_BYTES)
    monkeypatch.setattr(stats_module, "READING_SECONDS", 10)
    assert scanner.scan().events == 1000
    monkeypatch.setattr(stats_module, "READING_SECONDS", -1)
    for number in range(100):
        outbox.append(event(number + 1000))
    assert scanner.scan().events == 1100


def test_what_waits_for_the_service_in_its_other_folders_counts_too(folder: Path, outbox: Outbox) -> None:
    other = folder.parent / "other"
    left = Outbox(other)
    for _ in range(3):
        left.append(b'{"eventId": "left"}\n')
    left.close()
    outbox.append(b'{"eventId": "own"}\n')
    alone = outbox.measure()
    outbox.others = (other,)
    both = outbox.measure()
    assert (alone.events, both.events) == (1, 4)
    assert replace(both.here, free=0) == replace(alone.here, free=0)  # others use the disk as well
    assert both.bytes - alone.bytes == sum(each.bytes for each in both.others)
    assert both.oldest
    assert alone.oldest
    assert both.oldest < alone.oldest
    outbox.others = ()
    without = outbox.measure()
    assert (without.events, without.bytes, without.others) == (alone.events, alone.bytes, alone.others)
    assert without.oldest == alone.oldest


def test_lines_of_zeros_are_no_events(folder: Path, outbox: Outbox) -> None:
    lines = b'{"eventId": "1"}\n' + b"\0" * 99 + b"\n" + b'{"eventId": "2"}\n\n' + b"\0\n" * 70_000
    folder.mkdir(exist_ok=True)
    (folder / "00001795418608164711-1-00000000.jsonl").write_bytes(lines)
    assert outbox.measure().events == 2
