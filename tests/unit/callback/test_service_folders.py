"""Whose an outbox is: two services on one machine, with the same outbox, each get their own events."""

import errno
import fcntl
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
from request_events import sender as sender_module
from request_events import service_folders as folders_module
from request_events.outbox import Outbox
from request_events.sender import Sender
from request_events.service_folders import ServiceFolders
from tests.children import child
from tests.unit.callback.conftest import SenderMaker
from tests.unit.callback.service import Response, Service, error, running_service
from tests.unit.callback.test_sender import line, on_disk, rejected, send, wait_until_empty

OLD = "00001795418608164711-1-00000000.jsonl"
A, B = "http://a.example:80/api/request-event", "http://b.example:80/api/request-event"
ID, OTHER_ID = "0123456789abcdef", "fedcba9876543210"


def identified(service: Service, service_id: str) -> Callable[[list[Any]], Response]:
    """What a service answers that says who it is."""

    def take(events: list[Any]) -> Response:
        status, headers, body = service.take(events)
        return status, headers | {"Impact-Service": service_id}, body

    return take


def owner(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "service.json").read_text())
    content.pop("token", None)
    return content


def left_behind(folder: Path, url: str, *names: object) -> Path:
    """What a process left that is gone; the folder that it used."""
    folders = ServiceFolders(folder, url)
    (folders.own / OLD).write_bytes(b"".join(map(line, names)))
    return folders.own


@pytest.fixture
def other() -> Iterator[Service]:
    with running_service() as running:
        yield running


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_module, "REPORT_SECONDS", 0.02)


def test_the_first_url_has_the_folder_and_another_one_within_it(folder: Path) -> None:
    assert ServiceFolders(folder, A).own == folder
    assert ServiceFolders(folder, A).own == folder
    second = ServiceFolders(folder, B).own
    assert second.parent == folder
    assert ServiceFolders(folder, B).own == second
    assert owner(folder) == {"url": A, "id": None}
    assert owner(second) == {"url": B, "id": None}
    assert sorted(path.name for path in folder.iterdir()) == sorted(["service.json", second.name])


def test_what_a_folder_says_is_for_its_owner_only(folder: Path) -> None:
    former = os.umask(0)
    try:
        ServiceFolders(folder, A).learn(ID)
        second = ServiceFolders(folder, B)
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
from request_events.service_folders import ServiceFolders
sys.stdin.readline()
print(ServiceFolders(Path(sys.argv[1]), sys.argv[2]).own)
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
            path.write_bytes(WRITTEN_IN_PART["half"])


PROXY = """
import sys
from pathlib import Path
from request_events.sender import Sender
from request_events.outbox import Outbox
outbox = Outbox(Path(sys.argv[1]), is_default=sys.argv[5] == "default")
sender = Sender(outbox, sys.argv[2], sys.argv[6], flush_seconds=0.05)
sender.start()
for number in range(int(sys.argv[4])):
    sender.send(b'{"eventId": "%s-%d"}\\n' % (sys.argv[3].encode(), number))
print("sent", flush=True)
sys.stdin.readline()
sender.close(10)
"""


@contextmanager
def proxy(
    folder: Path, service: Service, name: str, events: int, kind: str
) -> Iterator["subprocess.Popen[str]"]:
    """`default`: in the folder that nobody has named, with one token for all; else with one for each URL."""
    token = "t0ken" if kind == "default" else f"token for {service.url}"
    command = [sys.executable, "-c", PROXY, str(folder), service.url, name, str(events), kind, token]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with child(command, env=environ, **pipes) as process:
        assert process.stdout
        assert process.stdout.readline() == "sent\n"
        yield process


def end(process: "subprocess.Popen[str]") -> None:
    process.communicate("\n")
    assert process.returncode == 0


@pytest.mark.parametrize("kind", ["default", "named"])
@pytest.mark.parametrize("first", ["killed", "other"])
def test_the_events_of_a_killed_proxy_go_to_no_other_service(
    folder: Path, service: Service, other: Service, first: str, kind: str
) -> None:
    """Real processes; whichever of the two came first and has the outermost folder."""
    if first == "other":
        with proxy(folder, other, "first", 1, kind) as process:
            end(process)
    service.always = lambda _: error(503)
    other.always = identified(other, OTHER_ID)
    with proxy(folder, service, "killed", 195, kind) as process:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    with proxy(folder, other, "other", 10, kind) as process:
        other.wait_for(lambda s: sum(name.startswith("other") for name in s.taken) == 10)
        end(process)
    assert not any(name.startswith("killed") for name in other.taken)
    service.always = None
    with proxy(folder, service, "killed", 195, kind) as process:
        service.wait_for(lambda s: len(s.taken) == 195)
        end(process)
    assert {name.partition("-")[0] for name in service.taken} == {"killed"}
    assert on_disk(folder.parent) == set()


def test_a_rotated_token_is_the_same_service(
    make_sender: SenderMaker, service: Service, tmp_path: Path
) -> None:
    former = make_sender(token="old")
    send(former, "a")
    former.close(5)
    make_sender(token="new").start()
    service.wait_for(lambda s: s.taken["a"] == 1)
    assert service.headers[-1]["Authorization"] == "Bearer new"


MOVED = "http://new.example:80/api/request-event"
OTHER_PORT = "http://a.example:8080/api/request-event"


@pytest.mark.parametrize(
    ("url", "token", "is_default", "is_same"),
    [
        (A, "new", False, True),
        (A, "new", True, True),
        (MOVED, "t0ken", False, True),
        (MOVED, "t0ken", True, True),
        (OTHER_PORT, "t0ken", False, True),  # a folder that somebody named: it is his who has the token
        (OTHER_PORT, "t0ken", True, False),  # two proxies, say, that were given one token for a trial
        (MOVED, "new", False, False),
        (MOVED, "", False, False),
    ],
)
def test_which_service_is_the_same_before_it_has_said_who_it_is(
    folder: Path, url: str, token: str, is_default: bool, is_same: bool
) -> None:
    """Such as one that was never reached, because its URL was wrong."""
    assert ServiceFolders(folder, A, "t0ken", is_default=is_default).own == folder
    found = ServiceFolders(folder, url, token, is_default=is_default)
    assert (found.own == folder) == is_same
    assert found.is_ours(folder) == is_same
    assert owner(folder)["url"] == (url if is_same else A)
    assert "t0ken" not in (folder / "service.json").read_text()


def test_without_a_token_no_service_is_another(folder: Path) -> None:
    ServiceFolders(folder, A)
    assert ServiceFolders(folder, B).own != folder


def test_what_was_left_under_a_wrong_url_goes_out_under_the_right_one(
    make_sender: SenderMaker, service: Service, tmp_path: Path
) -> None:
    former = make_sender(url="http://nobody.invalid:1/api/request-event")
    send(former, "a", "b")
    former.close(5)
    make_sender().start()
    service.wait_for(lambda s: set(s.taken) == {"a", "b"})
    wait_until_empty(tmp_path)


@pytest.mark.parametrize("is_outermost", [True, False])
def test_the_same_service_under_another_name_gets_what_was_left_for_it(
    make_sender: SenderMaker, service: Service, tmp_path: Path, folder: Path, is_outermost: bool
) -> None:
    if not is_outermost:
        ServiceFolders(folder, A)
    left = left_behind(folder, B, "left")
    ServiceFolders(folder, B).learn(ID)
    service.always = identified(service, ID)
    sender = make_sender()
    sender.start()
    send(sender, "new")
    service.wait_for(lambda s: set(s.taken) == {"left", "new"})
    wait_until(lambda: not (left / OLD).exists(), "what was left to be gone")
    assert owner(sender._outbox._folder) == {"url": service.url, "id": ID}
    assert sender._outbox._folder != left
    # By a process that uses the old name, and is killed. It comes whole: an empty file would be deleted.
    (left / ".new").write_bytes(line("later"))
    (left / ".new").rename(left / OLD)
    send(sender, "newer")
    service.wait_for(lambda s: set(s.taken) == {"left", "new", "later", "newer"})


@pytest.mark.parametrize("known", [None, OTHER_ID])
def test_what_waits_for_another_service_is_left_alone_and_logged(
    make_sender: SenderMaker,
    service: Service,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    known: str | None,
) -> None:
    left = left_behind(folder, B, "left")
    if known:
        ServiceFolders(folder, B).learn(known)
    service.always = identified(service, ID)
    sender = make_sender()
    sender.start()
    for number in range(3):
        send(sender, number)
        service.wait_for(lambda s, number=number: s.taken[str(number)] == 1)  # type: ignore[misc]
    told = f"events in {left} wait for another service (b.example:80)"
    wait_until(lambda: told in caplog.text, "that it is told of")
    assert caplog.text.count("wait for another service") == 1
    assert "service.json" in caplog.text
    assert "not its own" not in caplog.text
    assert (left / OLD).read_bytes() == line("left")
    assert "left" not in service.taken
    sender.close(5)

    (left / "service.json").unlink()  # what the log says to do
    make_sender().start()
    service.wait_for(lambda s: s.taken["left"] == 1)


def test_a_folder_within_that_is_nobodys_is_delivered_too(
    make_sender: SenderMaker, service: Service, folder: Path
) -> None:
    ServiceFolders(folder, A)
    left = left_behind(folder, B, "left")
    (left / "service.json").unlink()
    make_sender().start()
    service.wait_for(lambda s: s.taken["left"] == 1)


def test_an_older_versions_events_belong_to_whoever_comes_first(
    make_sender: SenderMaker, service: Service, folder: Path, tmp_path: Path
) -> None:
    folder.mkdir()
    (folder / OLD).write_bytes(line("old"))
    make_sender().start()
    service.wait_for(lambda s: s.taken["old"] == 1)
    wait_until_empty(tmp_path)


def test_each_service_has_its_own_rejected_events(
    make_sender: SenderMaker, service: Service, folder: Path
) -> None:
    ServiceFolders(folder, A)
    service.always = lambda _: error(422)
    sender = make_sender()
    send(sender, "bad")
    sender.flush()
    assert rejected(folder.parent) == []
    assert len(list(sender._outbox._folder.glob("rejected/*.jsonl"))) == 1


HOSTILE: dict[str, Callable[[Path], object]] = {
    "a list": lambda path: path.write_text("[]"),
    "other types": lambda path: path.write_text('{"url": 1, "id": []}'),
    "another id": lambda path: path.write_text(json.dumps({"url": "\n" * 99 + "http://[x/", "id": {"a": 1}})),
    "huge": lambda path: path.write_text(json.dumps({"url": A + "x" * 10**6})),
    "a symbolic link": lambda path: path.symlink_to("/dev/zero"),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "a pipe": os.mkfifo,
    "a folder": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("where", ["outermost", "own"])
def test_whatever_a_folder_says_events_are_delivered(
    make_sender: SenderMaker, service: Service, folder: Path, kind: str, where: str
) -> None:
    ServiceFolders(folder, A)
    place = folder if where == "outermost" else ServiceFolders(folder, service.url).own
    (place / "service.json").unlink()
    HOSTILE[kind](place / "service.json")
    (folder / OLD).write_bytes(line("others"))
    service.always = identified(service, ID)
    sender = make_sender()
    sender.start()
    send(sender, "a")
    service.wait_for(lambda s: s.taken["a"] == 1)
    sender.close(5)
    assert set(service.taken) == {"a"}


WRITTEN_IN_PART = {
    "empty": b"",
    "zeros": b"\0" * 80,
    "half": b'{"url": "http://a.exam',
    "garbage": b"\xff{",
    "deep": b"[" * 9000,
}
"""What a loss of power can leave."""


@pytest.mark.parametrize("kind", WRITTEN_IN_PART)
def test_a_folder_whose_owner_was_written_in_part_is_nobodys(
    make_sender: SenderMaker, service: Service, folder: Path, kind: str
) -> None:
    folder.mkdir()
    (folder / OLD).write_bytes(line("old"))
    (folder / "service.json").write_bytes(WRITTEN_IN_PART[kind])
    make_sender().start()
    service.wait_for(lambda s: s.taken["old"] == 1)
    assert owner(folder)["url"] == service.url
    assert not list(folder.glob(".*"))


def test_a_folder_that_another_process_has_just_claimed_is_its_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have found what was written in part; the other one is done when this one gets its lock."""
    folder.mkdir()
    (folder / "service.json").write_bytes(b"")
    lock = fcntl.flock
    late: list[int] = []

    def flock(fd: int, operation: int) -> None:
        if not late:
            late.append(fd)
            ServiceFolders(folder, B)
        lock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    mine = ServiceFolders(folder, A)
    assert (owner(folder)["url"], owner(mine.own)["url"]) == (B, A)
    assert mine.own.parent == folder


def test_what_is_only_called_like_a_folder_of_ours_is_left_alone(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder.mkdir()
    (folder / "0123456789abcdef").write_bytes(b"")
    (folder / ("ab" * 8)).symlink_to(elsewhere)
    folders = ServiceFolders(folder, A)
    assert folders.same() == ()
    assert list(elsewhere.iterdir()) == []


def test_the_owner_of_a_folder_is_on_disk_before_it_has_its_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def noted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def do(*arguments: Any) -> Any:
            done.append(name)
            return call(*arguments)

        return do

    monkeypatch.setattr(os, "fsync", noted("fsync", os.fsync))
    monkeypatch.setattr(os, "link", noted("link", os.link))
    monkeypatch.setattr(Path, "replace", noted("replace", Path.replace))
    ServiceFolders(folder, A).learn(ID)
    assert done == ["fsync", "link", "fsync", "replace"]
    (folder / "service.json").write_bytes(b"")
    ServiceFolders(folder, A)
    assert done[4:] == ["fsync", "link", "replace"]


def test_a_disk_that_is_mounted_later_and_another_services_is_not_delivered_from(
    tmp_path: Path, service: Service, make_sender: SenderMaker, folder: Path
) -> None:
    disk = tmp_path / "disk"
    left_behind(disk, A, "of A")
    folder.symlink_to(tmp_path / "not mounted" / "yet")
    sender = make_sender()
    sender.send(line("a"))
    assert sender._outbox.in_memory == 1
    folder.unlink()
    folder.symlink_to(disk)
    sender.start()
    service.wait_for(lambda s: s.taken["a"] == 1)
    send(sender, "b")
    service.wait_for(lambda s: s.taken["b"] == 1)
    own = ServiceFolders(folder, service.url).own
    wait_until(lambda: sender._outbox._folder == own, "a folder of its own")
    assert own != folder
    assert owner(disk)["url"] == A
    assert (disk / OLD).read_bytes() == line("of A")
    assert set(service.taken) == {"a", "b"}


def test_a_disk_that_is_mounted_over_a_folder_in_use_is_not_delivered_from(
    tmp_path: Path, service: Service, make_sender: SenderMaker, folder: Path
) -> None:
    """What was appended before is delivered once the disk is gone again."""
    disk, under = tmp_path / "disk", tmp_path / "under"
    left_behind(disk, A, "of A")
    under.mkdir()
    folder.symlink_to(under)
    sender = make_sender()
    sender.send(line("before"))
    folder.unlink()
    folder.symlink_to(disk)
    sender.flush()
    sender.send(line("after"))
    sender.flush()
    assert set(service.taken) == {"after"}
    assert (disk / OLD).read_bytes() == line("of A")
    folder.unlink()
    folder.symlink_to(under)
    sender.flush()
    assert set(service.taken) == {"before", "after"}


def test_where_no_folder_can_be_made_nothing_of_another_service_is_taken(
    service: Service, make_sender: SenderMaker, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_behind(folder, A, "of A")

    def fails(_: ServiceFolders) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ServiceFolders, "_make_named", fails)
    sender = make_sender()
    send(sender, "a")
    sender.flush()
    assert set(service.taken) == {"a"}
    assert [path.name for path in folder.glob("*.jsonl")] == [OLD]


def test_a_full_disk_with_events_that_are_nobodys_gets_room_again(
    service: Service, make_sender: SenderMaker, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older version left them; and there is no room to write down whose they are."""
    folder.mkdir()
    (folder / OLD).write_bytes(line("old"))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(folders_module, "_written", full)
        sender = make_sender()
        sender.flush()
        assert set(service.taken) == {"old"}
        assert not (folder / OLD).exists()
    send(sender, "new")
    sender.flush()
    assert set(service.taken) == {"old", "new"}
    assert owner(folder)["url"] == service.url


def test_an_id_from_a_file_is_no_reason_to_deliver_what_another_url_left(
    make_sender: SenderMaker, service: Service, folder: Path
) -> None:
    """Another service may answer at our URL by now: what counts is who answers this process."""
    left = left_behind(folder, B, "left")
    ServiceFolders(folder, B).learn(ID)
    ServiceFolders(folder, service.url).learn(ID)
    service.always = identified(service, OTHER_ID)
    sender = make_sender()
    sender._report()
    assert sender.flush()
    send(sender, "a")
    sender.start()
    service.wait_for(lambda s: s.taken["a"] == 1)
    wait_until(lambda: owner(sender._outbox._folder)["id"] == OTHER_ID, "the id of now")
    sender.close(5)
    assert set(service.taken) == {"a"}
    assert (left / OLD).exists()


@pytest.mark.parametrize("service_id", ["", "short", "../../etc", "0" * 65, "0123456789ABCDEF", "ü" * 16])
def test_an_id_that_is_none_is_not_kept(folder: Path, service_id: str) -> None:
    ServiceFolders(folder, A).learn(service_id)
    assert owner(folder) == {"url": A, "id": None}


def test_where_no_file_can_be_linked_a_folder_is_claimed_all_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", link)
    assert ServiceFolders(folder, A).own == folder
    assert ServiceFolders(folder, B).own != folder


def test_where_no_file_can_be_linked_nobody_reads_what_is_written_in_part(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever finds it empty waits for its lock, and looks again."""

    def no_links(*_: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    write = os.write
    locked: list[bool] = []

    def noted(fd: int, data: bytes) -> int:
        if (folder / "service.json").exists():
            with (folder / "service.json").open() as other:
                try:
                    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    locked.append(False)
                except BlockingIOError:
                    locked.append(True)
        return write(fd, data)

    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(os, "write", noted)
    ServiceFolders(folder, A)
    assert locked == [True]


def test_a_url_is_written_down_without_what_is_secret_in_it(folder: Path) -> None:
    secret = "passw0rd"
    Sender(Outbox(folder), f"http://user:{secret}@a.example/api/request-event", "t0ken")
    text = (folder / "service.json").read_text()
    assert secret not in text
    assert "t0ken" not in text
    assert owner(folder)["url"] == A
