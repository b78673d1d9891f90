"""Whose an outbox is: two services on one machine, with the same outbox, each get their own events."""

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from local.waiting import wait_until
from request_events import courier as courier_module
from request_events.courier import Courier
from request_events.folders import Folders
from request_events.outbox import Outbox
from tests.children import child
from tests.unit.callback.conftest import CourierMaker
from tests.unit.callback.service import Answer, Service, error, running_service
from tests.unit.callback.test_courier import line, on_disk, rejected, send, wait_until_empty

OLD = "00001795418608164711-1-00000000.jsonl"
A, B = "http://a.example:80/api/request-event", "http://b.example:80/api/request-event"
ID, OTHER_ID = "0123456789abcdef", "fedcba9876543210"


def identified(service: Service, service_id: str) -> Callable[[list[Any]], Answer]:
    """What a service answers that says who it is."""

    def take(events: list[Any]) -> Answer:
        status, headers, body = service.take(events)
        return status, headers | {"Impact-Service": service_id}, body

    return take


def owner(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "service.json").read_text())
    return content


def left_behind(folder: Path, url: str, *names: object) -> Path:
    """What a process left that is gone; the folder that it used."""
    folders = Folders(folder, url)
    (folders.own / OLD).write_bytes(b"".join(map(line, names)))
    return folders.own


@pytest.fixture
def other() -> Iterator[Service]:
    with running_service() as running:
        yield running


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier_module, "REPORT_SECONDS", 0.02)


def test_the_first_url_has_the_folder_and_another_one_within_it(folder: Path) -> None:
    assert Folders(folder, A).own == folder
    assert Folders(folder, A).own == folder
    second = Folders(folder, B).own
    assert second.parent == folder
    assert Folders(folder, B).own == second
    assert owner(folder) == {"url": A, "id": None}
    assert owner(second) == {"url": B, "id": None}
    assert sorted(path.name for path in folder.iterdir()) == sorted(["service.json", second.name])


def test_what_a_folder_says_is_for_its_owner_only(folder: Path) -> None:
    former = os.umask(0)
    try:
        Folders(folder, A).learn(ID)
        second = Folders(folder, B)
        second.learn(OTHER_ID)
    finally:
        os.umask(former)
    for made in (folder, second.own):
        assert stat.S_IMODE(made.stat().st_mode) == 0o700
        assert stat.S_IMODE((made / "service.json").stat().st_mode) == 0o600
    assert owner(folder) == {"url": A, "id": ID}
    assert owner(second.own) == {"url": B, "id": OTHER_ID}


CLAIM = """
import sys
from pathlib import Path
from request_events.folders import Folders
sys.stdin.readline()
print(Folders(Path(sys.argv[1]), sys.argv[2]).own)
"""


def test_of_several_processes_that_start_at_once_one_has_the_folder(folder: Path) -> None:
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    urls = [A, B] * 4
    for _ in range(3):
        started = [
            subprocess.Popen(
                [sys.executable, "-c", CLAIM, str(folder), url],
                env=environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for url in urls
        ]
        owned = [process.communicate("\n")[0].strip() for process in started]
        by_url = {url: {own for own, each in zip(owned, urls, strict=True) if each == url} for url in (A, B)}
        assert [len(own) for own in by_url.values()] == [1, 1]
        assert by_url[A] != by_url[B]
        assert str(folder) in owned
        assert [path for path in folder.iterdir() if path.name.startswith(".")] == []
        for path in folder.rglob("service.json"):
            path.unlink()


PROXY = """
import sys
from pathlib import Path
from request_events.courier import Courier
from request_events.outbox import Outbox
courier = Courier(Outbox(Path(sys.argv[1])), sys.argv[2], "t0ken", flush_seconds=0.05)
courier.start()
for number in range(int(sys.argv[4])):
    courier.send(b'{"eventId": "%s-%d"}\\n' % (sys.argv[3].encode(), number))
print("sent", flush=True)
sys.stdin.readline()
courier.close(10)
"""


@contextmanager
def proxy(folder: Path, service: Service, name: str, events: int) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", PROXY, str(folder), service.url, name, str(events)]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with child(command, env=environ, **pipes) as process:
        assert process.stdout
        assert process.stdout.readline() == "sent\n"
        yield process


def end(process: "subprocess.Popen[str]") -> None:
    process.communicate("\n")
    assert process.returncode == 0


@pytest.mark.parametrize("first", ["killed", "other"])
def test_the_events_of_a_killed_proxy_go_to_no_other_service(
    folder: Path, service: Service, other: Service, first: str
) -> None:
    """Real processes; whichever of the two came first and has the outermost folder."""
    if first == "other":
        with proxy(folder, other, "first", 1) as process:
            end(process)
    service.always = lambda _: error(503)
    other.always = identified(other, OTHER_ID)
    with proxy(folder, service, "killed", 195) as process:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    with proxy(folder, other, "other", 10) as process:
        other.wait_for(lambda s: sum(name.startswith("other") for name in s.taken) == 10)
        end(process)
    assert not any(name.startswith("killed") for name in other.taken)
    service.always = None
    with proxy(folder, service, "killed", 195) as process:
        service.wait_for(lambda s: len(s.taken) == 195)
        end(process)
    assert {name.partition("-")[0] for name in service.taken} == {"killed"}
    assert on_disk(folder.parent) == set()


def test_a_rotated_token_is_the_same_service(
    make_courier: CourierMaker, service: Service, tmp_path: Path
) -> None:
    former = make_courier(token="old")
    send(former, "a")
    former.close(5)
    make_courier(token="new").start()
    service.wait_for(lambda s: s.taken["a"] == 1)
    assert service.headers[-1]["Authorization"] == "Bearer new"


@pytest.mark.parametrize("is_outermost", [True, False])
def test_the_same_service_under_another_name_gets_what_was_left_for_it(
    make_courier: CourierMaker, service: Service, tmp_path: Path, folder: Path, is_outermost: bool
) -> None:
    if not is_outermost:
        Folders(folder, A)
    left = left_behind(folder, B, "left")
    Folders(folder, B).learn(ID)
    service.always = identified(service, ID)
    courier = make_courier()
    courier.start()
    send(courier, "new")
    service.wait_for(lambda s: set(s.taken) == {"left", "new"})
    wait_until(lambda: not (left / OLD).exists(), "what was left to be gone")
    assert owner(courier._outbox._folder) == {"url": service.url, "id": ID}
    assert courier._outbox._folder != left
    (left / OLD).write_bytes(line("later"))  # by a process that still uses the old name, and is killed
    send(courier, "newer")
    service.wait_for(lambda s: set(s.taken) == {"left", "new", "later", "newer"})


@pytest.mark.parametrize("known", [None, OTHER_ID])
def test_what_waits_for_another_service_is_left_alone_and_told_of(
    make_courier: CourierMaker,
    service: Service,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    known: str | None,
) -> None:
    left = left_behind(folder, B, "left")
    if known:
        Folders(folder, B).learn(known)
    service.always = identified(service, ID)
    courier = make_courier()
    courier.start()
    for number in range(3):
        send(courier, number)
        service.wait_for(lambda s, number=number: s.taken[str(number)] == 1)  # type: ignore[misc]
    told = f"events in {left} wait for another service (b.example:80)"
    wait_until(lambda: told in caplog.text, "that it is told of")
    assert caplog.text.count("wait for another service") == 1
    assert "service.json" in caplog.text
    assert "not its own" not in caplog.text
    assert (left / OLD).read_bytes() == line("left")
    assert "left" not in service.taken
    courier.close(5)

    (left / "service.json").unlink()  # what the log says to do
    make_courier().start()
    service.wait_for(lambda s: s.taken["left"] == 1)


def test_a_folder_within_that_is_nobodys_is_delivered_too(
    make_courier: CourierMaker, service: Service, folder: Path
) -> None:
    Folders(folder, A)
    left = left_behind(folder, B, "left")
    (left / "service.json").unlink()
    make_courier().start()
    service.wait_for(lambda s: s.taken["left"] == 1)


def test_an_older_versions_events_belong_to_whoever_comes_first(
    make_courier: CourierMaker, service: Service, folder: Path, tmp_path: Path
) -> None:
    folder.mkdir()
    (folder / OLD).write_bytes(line("old"))
    make_courier().start()
    service.wait_for(lambda s: s.taken["old"] == 1)
    wait_until_empty(tmp_path)


def test_each_service_has_its_own_rejected_events(
    make_courier: CourierMaker, service: Service, folder: Path
) -> None:
    Folders(folder, A)
    service.always = lambda _: error(422)
    courier = make_courier()
    send(courier, "bad")
    courier.flush()
    assert rejected(folder.parent) == []
    assert len(list(courier._outbox._folder.glob("rejected/*.jsonl"))) == 1


HOSTILE: dict[str, Callable[[Path], object]] = {
    "not JSON": lambda path: path.write_bytes(b"\xff{"),
    "empty": lambda path: path.touch(),
    "a list": lambda path: path.write_text("[]"),
    "other types": lambda path: path.write_text('{"url": 1, "id": []}'),
    "another id": lambda path: path.write_text(json.dumps({"url": "\n" * 99 + "http://[x/", "id": {"a": 1}})),
    "deep": lambda path: path.write_text("[" * 9000),
    "huge": lambda path: path.write_text(json.dumps({"url": A + "x" * 10**6})),
    "a symbolic link": lambda path: path.symlink_to("/dev/zero"),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "a pipe": os.mkfifo,
    "a folder": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("where", ["outermost", "own"])
def test_whatever_a_folder_says_events_are_delivered(
    make_courier: CourierMaker, service: Service, folder: Path, kind: str, where: str
) -> None:
    Folders(folder, A)
    place = folder if where == "outermost" else Folders(folder, service.url).own
    (place / "service.json").unlink()
    HOSTILE[kind](place / "service.json")
    (folder / OLD).write_bytes(line("others"))
    service.always = identified(service, ID)
    courier = make_courier()
    courier.start()
    send(courier, "a")
    service.wait_for(lambda s: s.taken["a"] == 1)
    courier.close(5)
    assert set(service.taken) == {"a"}


@pytest.mark.parametrize("service_id", ["", "short", "../../etc", "0" * 65, "0123456789ABCDEF", "ü" * 16])
def test_an_id_that_is_none_is_not_kept(folder: Path, service_id: str) -> None:
    Folders(folder, A).learn(service_id)
    assert owner(folder) == {"url": A, "id": None}


def test_where_no_file_can_be_linked_a_folder_is_claimed_all_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", link)
    assert Folders(folder, A).own == folder
    assert Folders(folder, B).own != folder


def test_a_url_is_written_down_without_what_is_secret_in_it(folder: Path) -> None:
    secret = "passw0rd"
    Courier(Outbox(folder), f"http://user:{secret}@a.example/api/request-event", "t0ken")
    text = (folder / "service.json").read_text()
    assert secret not in text
    assert "t0ken" not in text
    assert owner(folder)["url"] == A
