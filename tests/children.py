"""Child processes of tests, which end with the test however it ends."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from local.process import stop


@contextmanager
def child(command: Sequence[str], **options: Any) -> "Iterator[subprocess.Popen[str]]":
    """Start a process in a session of its own. At the end it is stopped, with all its children in there.

    `options` are Popen's. The process's output is text.
    """
    with subprocess.Popen(command, text=True, start_new_session=True, **options) as process:
        try:
            yield process
        finally:
            stop(process)
