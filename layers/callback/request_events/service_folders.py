"""Keeps the events of different services apart: the file `service.json` in a folder names its service.

The first URL that uses a folder claims it. Another service gets a folder of its own within it. A service is
the same if its URL, its token, or the id in its responses is the same.
"""

import contextlib
import errno
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from request_events.file_lock import lock
from request_events.log import warn
from request_events.responses import ID
from request_events.segment import SEGMENT_NAME

SERVICE = "service.json"
WAITED_SECONDS = 60.0  # events that wait longer than this in another service's folder are logged
_FOLDER = re.compile(r"[0-9a-f]{16}", flags=re.ASCII)
_FILE_BYTES_MAX = 10_000
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)


@dataclass(frozen=True)
class Owner:
    """The service that a folder belongs to."""

    url: str
    id: str | None = None
    token: str | None = None  # a digest of the ingest token


class ServiceFolders:
    """An outbox's folder, and the services' folders within it."""

    def __init__(self, root: Path, url: str, token: str | None = None, *, is_default: bool = False) -> None:
        """Claim a folder for a service. If the disk cannot be used yet, `claim` tries again.

        `is_default`: nobody named the folder, so proxies of several services may share it by accident. Then
        the same token makes a service the same only if nothing but the host of its URL differs.
        """
        self.root = root
        self.url = url
        self._token = blake2b(token.encode(), digest_size=16).hexdigest() if token else None
        self._is_default = is_default
        self.id: str | None = None  # from a response to this process: one in a file may be out of date
        self.own = root
        self._named = root / blake2b(url.encode(), digest_size=8).hexdigest()
        with contextlib.suppress(OSError):  # the outbox logs that it cannot use the disk
            self._claim_one()
            for folder in self._others():
                self._claim(folder)  # one whose `service.json` an operator has deleted

    def claim(self) -> Path:
        """The service's own folder, which may change when a disk is mounted. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            if (owner := _read(self.own)) and self._is_same(owner):
                return self.own
        self._claim_one()
        return self.own

    def is_ours(self, folder: Path) -> bool:
        """Whether the events in a folder are for this service. Raises OSError."""
        if folder == self._named:
            return True
        try:
            owner = _read(folder)
        except FileNotFoundError:  # unclaimed, because there was no room to write `service.json`
            return folder == self.own
        return owner is not None and self._is_same(owner)

    def learn(self, service_id: str) -> None:
        """Remember the id by which the service names itself."""
        if service_id == self.id or not ID.fullmatch(service_id):
            return
        self.id = service_id
        with contextlib.suppress(OSError):
            owner = _read(self.own)
            if owner and self._is_same(owner) and owner.id != service_id:
                _replace(self.own, self._owner(service_id))

    def same(self) -> tuple[Path, ...]:
        """The other folders of this service. Raises OSError."""
        return tuple(folder for folder, owner in self._owners() if owner and self._is_same(owner))

    def log_others(self) -> None:
        """Log once each folder whose events wait for another service. Raises OSError."""
        for folder, owner in self._owners():
            if not (owner and self._is_same(owner)) and _has_waited(folder):
                text = "events in %s wait for another service (%s) and are left alone. "
                text += "If it is the same service, delete the file %s in there and restart"
                warn(f"folder {folder.name}", text, folder, _host(owner), SERVICE, every=float("inf"))

    def _owners(self) -> Iterator[tuple[Path, Owner | None]]:
        """The other folders and their owners; None for an owner that cannot be read."""
        for folder in self._others():
            with contextlib.suppress(FileNotFoundError):
                yield folder, _read(folder)

    def _is_same(self, owner: Owner) -> bool:
        if owner.url == self.url or (self.id is not None and owner.id == self.id):
            return True
        is_same = self._token is not None and owner.token == self._token
        return is_same and (not self._is_default or _without_host(owner.url) == _without_host(self.url))

    def _owner(self, service_id: str | None = None) -> Owner:
        return Owner(self.url, service_id, self._token)

    def _others(self) -> list[Path]:
        with os.scandir(self.root) as entries:
            named = [each for each in entries if _FOLDER.fullmatch(each.name)]
            folders = sorted(Path(each.path) for each in named if each.is_dir(follow_symlinks=False))
        return [folder for folder in (self.root, *folders) if folder != self.own]

    def _claim_one(self) -> None:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._claim(self.root):
            self.own = self.root
        else:
            self._make_named()
            self.own = self._named

    def _claim(self, folder: Path) -> bool:
        """Claim a folder if it has no owner. Return whether it is this service's."""
        try:
            owner = _read(folder)
        except FileNotFoundError:
            _create(folder, self._owner())
            owner = _read(folder)
        if owner is None or not self._is_same(owner):
            return False
        if owner != (now := self._owner(owner.id)):
            with contextlib.suppress(OSError):  # the old name still finds this service
                _replace(folder, now)
        return True

    def _make_named(self) -> None:
        """Create the folder that is named after this URL. It never exists without a `service.json`."""
        new = self.root / f".{secrets.token_hex(8)}"
        if not self._named.exists():
            new.mkdir(mode=0o700)
            _create(new, self._owner())
            try:
                new.rename(self._named)
            except OSError:  # another process was faster
                (new / SERVICE).unlink()
                new.rmdir()
        try:
            owner = _read(self._named)
        except FileNotFoundError:
            owner = None
        if owner is None or owner.url != self.url:
            with contextlib.suppress(OSError):  # its name already makes it this service's
                _replace(self._named, self._owner())


def _read(folder: Path) -> Owner | None:
    """Who owns a folder; None if that cannot be read. Raises FileNotFoundError if nobody does."""
    try:
        fd = os.open(folder / SERVICE, _READ)
    except FileNotFoundError:
        raise
    except OSError:
        return None
    try:
        return _owner(fd)
    finally:
        os.close(fd)


def _owner(fd: int) -> Owner | None:
    """The owner by an open file. Raises FileNotFoundError if it is incomplete, after a loss of power."""
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        text = os.pread(fd, _FILE_BYTES_MAX + 1, 0)
    except OSError:
        return None
    if len(text) > _FILE_BYTES_MAX:
        return None
    try:
        content: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise FileNotFoundError from None
    url = content.get("url") if isinstance(content, dict) else None
    if not isinstance(url, str):
        return None
    named = (content.get("id"), content.get("token"))
    return Owner(url, *(each if isinstance(each, str) else None for each in named))


def _create(folder: Path, owner: Owner) -> None:
    """Write who owns a folder, unless another process was faster."""
    path = _written(folder, owner)
    try:
        os.link(path, folder / SERVICE)
    except FileExistsError:
        _mend(path, folder / SERVICE)
    except OSError:  # a file system without links
        with contextlib.suppress(FileExistsError):
            fd = os.open(folder / SERVICE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            lock(fd)  # until it is written, `_mend` waits
            os.write(fd, path.read_bytes())
            os.close(fd)
    finally:
        path.unlink(missing_ok=True)


def _mend(path: Path, broken: Path) -> None:
    """Replace an incomplete file, unless another process was faster."""
    fd = os.open(broken, _READ)
    try:
        lock(fd)
        if os.fstat(fd).st_nlink:
            _owner(fd)
    except FileNotFoundError:
        path.replace(broken)
    finally:
        os.close(fd)


def _replace(folder: Path, owner: Owner) -> None:
    path = _written(folder, owner)
    try:
        path.replace(folder / SERVICE)
    except OSError:
        path.unlink()
        raise


def _written(folder: Path, owner: Owner) -> Path:
    path = folder / f".{SERVICE}.{secrets.token_hex(8)}"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    data = json.dumps(asdict(owner)).encode() + b"\n"
    try:
        if os.write(fd, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(fd)  # else a loss of power can leave an empty file
    except OSError:
        path.unlink()
        raise
    finally:
        os.close(fd)
    return path


def _has_waited(folder: Path) -> bool:
    """Whether an event in a folder has waited for WAITED_SECONDS."""
    with os.scandir(folder) as entries:
        return any(
            int(match[1]) / 1e9 < time.time() - WAITED_SECONDS and entry.stat().st_size > 0
            for entry in entries
            if (match := SEGMENT_NAME.fullmatch(entry.name))
        )


def _without_host(url: str) -> tuple[str, int | None, str, str] | None:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.port, parts.path, parts.query
    except ValueError:
        return None


def _host(owner: Owner | None) -> str:
    with contextlib.suppress(ValueError):
        host = urlsplit(owner.url).netloc.rpartition("@")[2] if owner else ""
        if re.fullmatch(r"[\w.:\[\]-]{1,300}", host, flags=re.ASCII):
            return host
    return "an unknown one"
