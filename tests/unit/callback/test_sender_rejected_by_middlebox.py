"""Somebody between the proxy and the service blocks events for a word in them: the rest must go on."""

import errno
import json
import os
import random
import time
from collections.abc import Callable
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest

from local.waiting import wait_until
from request_events import delivery, quarantine
from request_events import outbox as outbox_module
from request_events import segment as segment_module
from request_events import sender as sender_module
from request_events.outbox import Outbox
from request_events.sender import Sender
from tests.unit.callback.conftest import SenderMaker
from tests.unit.callback.service import Behaviour, Response, Service, ok, response
from tests.unit.callback.test_outbox_failures import SEGMENT, event, mounted
from tests.unit.callback.test_sender import ids, line, on_disk, rejected, send, wait_until_empty

HTML = b"<html>Blocked</html>"
FIREWALLS: dict[str, Behaviour] = {
    "403": lambda _: (403, {"Content-Type": "text/html"}, HTML),
    "413": lambda _: (413, {}, b"Payload Too Large"),
    "400": lambda _: (400, {}, HTML),
    "406": lambda _: (406, {}, HTML),
    "200": lambda _: (200, {}, HTML),
    "302": lambda _: (302, {"Location": "https://firewall.example/"}, b""),
    "500": lambda _: (500, {}, HTML),
    "503 for an hour": lambda _: (503, {"Retry-After": "3600"}, HTML),
    "403 in JSON": lambda _: response(403, {"message": "Forbidden by policy"}),
    "422 in JSON": lambda _: response(422, {"detail": "no"}),
    "a reset": lambda _: None,
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "BACKOFF_SECONDS", 0.001)
    monkeypatch.setattr(delivery, "BACKOFF_SECONDS_MAX", 0.01)
    monkeypatch.setattr(delivery, "POSTPONED_SECONDS_MAX", 0.05)
    monkeypatch.setattr(sender_module, "CHECK_SECONDS", 0.01)


class Firewall:
    """Blocks every request that has one of these events."""

    def __init__(self, service: Service, names: set[str], respond: Behaviour = FIREWALLS["403"]) -> None:
        self._service = service
        self.names = names
        self.respond = respond
        self.blocked = 0
        service.always = self

    def __call__(self, events: list[Any]) -> Response | None:
        if self.names & set(ids(events)):
            self.blocked += 1
            return self.respond(events)
        return self._service.take(events)


def wait_for_all_but(service: Service, count: int, firewall: Firewall) -> None:
    service.wait_for(lambda s: len(s.taken) == count - len(firewall.names))
    assert not firewall.names & set(service.taken)


@pytest.mark.parametrize("kind", FIREWALLS)
def test_one_blocked_event_of_a_thousand_holds_up_no_other_and_is_not_lost(
    sender: Sender, service: Service, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    firewall = Firewall(service, {"400"}, FIREWALLS[kind])
    send(sender, *range(1001))
    sender.start()
    wait_for_all_but(service, 1001, firewall)
    wait_until(lambda: on_disk(tmp_path) == {b"400"}, "only the blocked event in the outbox")
    send(sender, *range(2000, 2010))
    service.wait_for(lambda s: len(s.taken) == 1010)
    wait_until(lambda: "only to some events" in caplog.text, "word of the blocked events")
    [told, *_] = [text for text in caplog.messages if "only to some events" in text]
    assert "127.0.0.1" in told
    assert "alice" not in caplog.text
    assert rejected(tmp_path) == []
    firewall.names = set()
    service.wait_for(lambda s: s.taken["400"] == 1)
    wait_until_empty(tmp_path)
    assert rejected(tmp_path) == []


@pytest.mark.parametrize("step", [1, 2, 7, 50])
def test_the_events_of_a_whole_team_hold_up_no_other(
    make_sender: SenderMaker, service: Service, tmp_path: Path, step: int
) -> None:
    """Also where there is one in each batch, so that at first nothing at all gets through."""
    blocked = {str(number) for number in range(300) if number % step == 0 or number < 150}
    firewall = Firewall(service, blocked)
    sender = make_sender(batch_size=100)
    send(sender, *range(300))
    send(sender, "last")
    sender.start()
    wait_for_all_but(service, 301, firewall)
    wait_until(lambda: len(on_disk(tmp_path)) == len(blocked), "only blocked events in the outbox")
    firewall.names = set()
    service.wait_for(lambda s: len(s.taken) == 301)
    wait_until_empty(tmp_path)
    assert rejected(tmp_path) == []


def test_where_everything_is_blocked_nothing_is_written_and_all_arrives_later(
    make_sender: SenderMaker, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def written(*_: object) -> int:
        raise AssertionError

    monkeypatch.setattr(os, "pwrite", written)
    service.always = FIREWALLS["403"]
    sender = make_sender(batch_size=10)
    former = Outbox(tmp_path / "outbox")
    for number in range(100):
        former.append(line(number))
        if number % 30 == 0:
            former.seal()
    former.close()
    before = [path.read_bytes() for path in sorted(tmp_path.glob("outbox/*"))]
    sender.start()
    service.wait_for(lambda s: len(s.requests) > 150)
    assert [path.read_bytes() for path in sorted(tmp_path.glob("outbox/*"))] == before
    service.always = None
    service.wait_for(lambda s: len(s.taken) == 100)
    wait_until_empty(tmp_path)


@pytest.mark.parametrize("kind", ["403", "500", "a reset"])
@pytest.mark.parametrize("failures", [1, 5, 12, 40])
def test_an_outage_however_long_is_not_taken_for_a_firewall(
    make_sender: SenderMaker, service: Service, caplog: pytest.LogCaptureFixture, kind: str, failures: int
) -> None:
    service.script.extend([FIREWALLS[kind]] * failures)
    sender = make_sender(batch_size=100)
    send(sender, *range(300))
    sender.start()
    service.wait_for(lambda s: len(s.taken) == 300)
    sender.close(5)
    assert "only to some events" not in caplog.text
    assert sender._delivery.suspect_until == 0.0


def test_who_blocks_everything_is_not_flooded(
    sender: Sender, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dividing costs some requests in a row; then they come as seldom as in any outage."""
    pauses: list[float] = []

    def pause(seconds: float) -> bool:
        pauses.append(seconds)
        return len(pauses) < 200

    monkeypatch.setattr(sender._delivery, "pause", pause)
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    monkeypatch.setattr(delivery, "BACKOFF_SECONDS", 0.5)
    monkeypatch.setattr(delivery, "BACKOFF_SECONDS_MAX", 60.0)
    service.always = FIREWALLS["403"]
    send(sender, *range(1000))
    sender._deliver_all(patient=True)
    assert pauses[:3] == [0.5, 1.0, 2.0]
    assert sum(pause < 60 for pause in pauses) <= delivery.DIVIDING
    assert set(pauses[delivery.DIVIDING :]) == {60.0}


def test_a_blocked_segment_ends_its_next_run_after_sixteen_failures(
    sender: Sender, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many events are blocked, others do not wait for all of them again."""
    clock = [1000.0]
    for each in (sender_module, delivery, outbox_module):
        monkeypatch.setattr(each, "time", FakeTime(clock))
    monkeypatch.setattr(sender._delivery, "pause", lambda seconds: True)
    firewall = Firewall(service, {f"bad-{number}" for number in range(50)})
    send(sender, *firewall.names, "good")
    sender._deliver_all(patient=True)
    clock[0] += 10
    segment = sender._outbox.next_segment()
    assert segment
    assert segment.previous.blocked_runs == 1
    run = sender._delivery.deliver(segment, patient=True)
    segment.close()
    assert (run.failures, len(run.left)) == (16, 50)


def test_a_blocked_event_is_tried_less_and_less_often(
    sender: Sender, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock that stands still; up to once an hour, while others get through."""
    clock = [1000.0]
    for each in (sender_module, delivery, outbox_module):
        monkeypatch.setattr(each, "time", FakeTime(clock))
    monkeypatch.setattr(delivery, "BACKOFF_SECONDS", 0.5)
    monkeypatch.setattr(delivery, "POSTPONED_SECONDS_MAX", 3600.0)
    monkeypatch.setattr(sender._delivery, "pause", lambda seconds: True)
    firewall = Firewall(service, {"bad"})
    send(sender, "bad")
    tried: list[float] = []
    for number in range(1000):
        clock[0] += 20.0
        send(sender, number)
        before = firewall.blocked
        sender._deliver_all(patient=True)
        if firewall.blocked > before:
            tried.append(clock[0])
    gaps = [late - early for early, late in pairwise(tried)]
    assert gaps[-1] == pytest.approx(3600, abs=21)
    assert len(gaps) < 20
    clock[0] += 3601
    firewall.names = set()
    sender._deliver_all(patient=True)
    assert service.taken["bad"] == 1


class FakeTime:
    def __init__(self, clock: list[float]) -> None:
        self._clock = clock
        self.time, self.time_ns = time.time, time.time_ns

    def monotonic(self) -> float:
        return self._clock[0]


def test_a_blocked_event_in_memory_on_a_disk_that_takes_nothing_holds_up_no_other(
    make_sender: SenderMaker, service: Service, tmp_path: Path
) -> None:
    (tmp_path / "outbox").touch()  # no folder can be made there
    firewall = Firewall(service, {str(number) for number in range(3, 200)})
    sender = make_sender()
    send(sender, *range(1000))
    sender.start()
    wait_for_all_but(service, 1000, firewall)
    wait_until(lambda: sender._outbox.in_memory == len(firewall.names), "only the blocked ones in memory")
    firewall.names = set()
    service.wait_for(lambda s: len(s.taken) == 1000)
    wait_until(lambda: not sender._outbox.in_memory, "nothing left in memory")


def test_on_lambda_a_blocked_event_holds_up_no_other(sender: Sender, service: Service) -> None:
    """There each request delivers once, and nothing is delivered in between."""
    firewall = Firewall(service, {"5"})
    send(sender, *range(10))
    numbers = count(100)

    def request() -> bool:
        send(sender, next(numbers))
        return sender.flush()

    def others() -> bool:
        request()
        return set(map(str, range(10))) - set(service.taken) == {"5"}

    wait_until(others, "all but the blocked one")
    firewall.names = set()
    wait_until(request, "an empty outbox")
    assert service.taken["5"] == 1


def test_a_disk_full_of_one_segment_with_a_blocked_event_gets_room_again(
    make_sender: SenderMaker, service: Service, folder: Path
) -> None:
    """The event that is rejected is to be quarantined, and there is no room for it."""

    def reject(events: list[Any]) -> Response:
        bad = [index for index, each in enumerate(events) if each["eventId"] in ("e-3", "e-90")]
        good = [each for index, each in enumerate(events) if index not in bad]
        service.take(good)
        return ok(len(good), 0, tuple({"index": index, "errors": []} for index in bad))

    with mounted(folder, "size=64k"):
        number = 0
        with (folder / SEGMENT).open("wb", buffering=0) as file:
            try:
                while file.write(event(number)) == len(event(number)):
                    number += 1
            except OSError:
                pass
        os.truncate(folder / SEGMENT, number * len(event(0)))
        (folder / "filler").write_bytes(b"x" * (os.statvfs(folder).f_bavail * os.statvfs(folder).f_bsize))
        assert os.statvfs(folder).f_bavail == 0
        service.always = reject
        sender = make_sender()
        sender.start()
        sender.send(event(1000))
        service.wait_for(lambda s: len(s.taken) >= number - 1)
        wait_until(lambda: len(quarantined(folder)) == 2, "both rejected events quarantined")
        assert sorted(quarantined(folder)) == ["e-3", "e-90"]
        assert set(service.taken) == {f"e-{each}" for each in (*range(number), 1000)} - {"e-3", "e-90"}
        sender.close(10)
        assert list(folder.glob("*.jsonl")) == []


def quarantined(folder: Path) -> list[str]:
    text = "".join(path.read_text() for path in folder.glob("rejected/*.jsonl"))
    return ids([json.loads(record)["event"] for record in text.splitlines()])


class Killed(BaseException):
    pass


@pytest.mark.parametrize("written", [0.0, 0.5, 0.95])
@pytest.mark.parametrize(
    "kept", [{0}, {1}, {59}, {3, 4, 5, 31}, set(range(0, 60, 2)), set(range(30, 60)), {30, 32, 59}]
)
def test_a_kill_while_a_segment_is_made_smaller_loses_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kept: set[int], written: float
) -> None:
    """Before each write, and within it: no line is there that is made of the beginning and the end of two."""
    folder.mkdir()
    pwrite, ftruncate = os.pwrite, os.ftruncate
    whole = [event(number).replace(b"x", b"x" * (1 + number % 3)) for number in range(60)]
    writes = 0

    def shrink(dies_at: int) -> None:
        nonlocal writes
        writes = 0
        (folder / SEGMENT).write_bytes(b"".join(whole))

        def write(fd: int, data: bytes, offset: int) -> int:
            step(lambda: pwrite(fd, data[: int(len(data) * written)], offset))
            return pwrite(fd, data, offset)

        def step(last: Callable[[], object] = lambda: None) -> None:
            nonlocal writes
            writes += 1
            if writes == dies_at:
                last()
                raise Killed

        def cut(fd: int, size: int) -> None:
            step()
            ftruncate(fd, size)

        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", write)
            patch.setattr(os, "ftruncate", cut)
            outbox = Outbox(folder)
            segment = outbox.next_segment()
            assert segment
            try:
                segment.keep([whole[number][:-1] for number in kept])
            except Killed:
                pass
            finally:
                segment.close()

    shrink(dies_at=0)
    assert [line + b"\n" for line in lines_of(folder)] == [whole[number] for number in sorted(kept)]
    assert (folder / SEGMENT).stat().st_size <= sum(map(len, whole)) * (max(kept) + 1) // 60 + 1000
    for dies_at in range(1, writes + 1):
        shrink(dies_at)
        found = set(lines_of(folder))
        assert {whole[number][:-1] for number in kept} <= found, dies_at
        assert found <= {each[:-1] for each in whole}, dies_at
        assert written or not (folder / "rejected").exists()


PAGE = 4096


class Disk:
    """Of what is written since the last `fsync`, a loss of power leaves each page in any of its states."""

    def __init__(self, folder: Path, data: bytes) -> None:
        self.path = folder / SEGMENT
        self.path.write_bytes(data)
        self.states: list[dict[int, list[bytes]]] = []
        """Of the pages at each moment when power could be lost."""
        self._look(anew=True)

    def _look(self, *, anew: bool) -> None:
        data = self.path.read_bytes()
        pages = {at: data[at : at + PAGE] for at in range(0, len(data), PAGE)}
        if anew:
            self._pages = {at: [page] for at, page in pages.items()}
        for at, page in pages.items():
            if self._pages[at][-1] != page:
                self._pages[at] = [*self._pages[at], page]
        self.states.append(dict(self._pages))

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        written = os.pwritev(fd, [data], offset)
        self._look(anew=False)
        return written

    def fsync(self, fd: int) -> None:
        self._look(anew=True)

    def after_power_loss(self, chance: random.Random) -> None:
        pages = sorted(chance.choice(self.states).items())
        self.path.write_bytes(b"".join(chance.choice(states) for _, states in pages))


@pytest.mark.parametrize("seed", range(10))
def test_a_loss_of_power_while_a_segment_is_made_smaller_loses_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    folder.mkdir()
    chance = random.Random(seed)
    whole = [event(number).replace(b"x", b"x" * chance.randint(1, 3)) for number in range(60)]
    kept = {line[:-1] for line in chance.sample(whole, chance.randint(5, 55))}
    disk = Disk(folder, b"".join(whole))
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", disk.pwrite)
        patch.setattr(os, "fsync", disk.fsync)
        outbox = Outbox(folder)
        segment = outbox.next_segment()
        assert segment
        segment.keep(kept)
        segment.close()
    assert set(lines_of(folder)) == kept
    for _ in range(100):
        disk.after_power_loss(chance)
        found = set(lines_of(folder))
        assert kept <= found
        assert found <= {line[:-1] for line in whole}


def test_a_large_segment_is_made_much_smaller_with_few_waits_for_the_disk(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir()
    waits: list[int] = []
    monkeypatch.setattr(os, "fsync", waits.append)
    for step, share in ((2, 0.51), (3, 0.34), (-5, 0.82)):
        whole = [event(number) for number in range(3000)]
        kept = whole[::step] if step > 0 else [each for number, each in enumerate(whole) if number % step]
        (folder / SEGMENT).write_bytes(b"".join(whole))
        segment = Outbox(folder).next_segment()
        assert segment
        segment.keep([each[:-1] for each in kept])
        segment.close()
        assert (folder / SEGMENT).stat().st_size <= share * sum(map(len, whole))
        assert sorted(lines_of(folder)) == sorted(each[:-1] for each in kept)
    assert len(waits) <= 2 * 3 * segment_module.MOVES_MAX


def test_what_is_torn_stays_so_until_there_is_room_to_put_it_aside(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir()
    (folder / SEGMENT).write_bytes(event(0) + event(1) + b'{"eventId": "torn"')

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    outbox = Outbox(folder)
    with monkeypatch.context() as disk:
        disk.setattr(quarantine, "write", full)
        for expected in ([event(0)[:-1], event(1)[:-1]], [], []):
            segment = outbox.next_segment()
            assert segment
            assert [each for batch in segment.batches(10, 10**6) for each in batch] == expected
            segment.delete()
            segment.close()
    assert lines_of(folder) == []
    text = "".join(path.read_text() for path in folder.glob("rejected/*.jsonl"))
    assert [json.loads(record)["event"] for record in text.splitlines()] == ['{"eventId": "torn"']


def lines_of(folder: Path) -> list[bytes]:
    outbox = Outbox(folder)
    segment = outbox.next_segment()
    assert segment
    try:
        return [line for batch in segment.batches(100, 10**7) for line in batch]
    finally:
        segment.close()


def test_what_waits_is_counted_and_none_is_lost_when_the_process_starts_anew(
    make_sender: SenderMaker, service: Service, tmp_path: Path
) -> None:
    firewall = Firewall(service, {"3", "7"})
    first = make_sender()
    send(first, *range(10))
    first.start()
    wait_for_all_but(service, 10, firewall)
    wait_until(lambda: first._outbox.measure().events == 2, "two events that wait")
    first.close(10)
    firewall.names = set()
    make_sender().start()
    service.wait_for(lambda s: len(s.taken) == 10)
    wait_until_empty(tmp_path)


def test_what_the_service_itself_rejects_while_a_stranger_blocks_is_quarantined(
    sender: Sender, service: Service, tmp_path: Path
) -> None:
    firewall = Firewall(service, {"3"})

    def both(events: list[Any]) -> Response | None:
        if "5" in ids(events) and not {"3"} & set(ids(events)):
            service.take([each for each in events if each["eventId"] != "5"])
            return ok(len(events) - 1, 0, ({"index": ids(events).index("5"), "errors": []},))
        return firewall(events)

    service.always = both
    send(sender, *range(10))
    sender.start()
    service.wait_for(lambda s: len(s.taken) == 8)
    wait_until(lambda: on_disk(tmp_path) == {b"3"}, "only what the stranger blocks")
    assert rejected(tmp_path) == ["5"]
