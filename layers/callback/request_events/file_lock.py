"""Locks on files, which the kernel frees when the process ends, however it ends."""

import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

HAS_LOCKS = fcntl is not None
"""Without locks, processes cannot share a folder: the outbox keeps events in memory only."""


def lock(fd: int) -> None:
    """Wait for the lock. Raises OSError on a file system without locks."""
    if fcntl:
        fcntl.flock(fd, fcntl.LOCK_EX)


def try_lock(fd: int) -> bool:
    """Take the lock. False if another process holds it; True also on a file system without locks."""
    if fcntl:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
    return True


def open_locked(path: Path, flags: int = 0) -> int | None:
    """Open a file and lock it. None if another process holds the lock, or has just deleted the file."""
    fd = os.open(path, os.O_RDWR | flags, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_nlink:
            return fd
    except BlockingIOError:
        pass
    except OSError:  # a file system without locks
        os.close(fd)
        if flags & os.O_CREAT:
            path.unlink(missing_ok=True)
        raise
    os.close(fd)
    return None
