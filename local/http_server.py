"""HTTP servers of this process that leave nothing behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import HTTPServer
from typing import TypeVar

Server = TypeVar("Server", bound=HTTPServer)


@contextmanager
def running_server(server: Server) -> Iterator[Server]:
    """Let a server answer from a thread until the end of the block. Then the thread and the port are gone."""
    thread = threading.Thread(
        target=server.serve_forever, name=type(server).__name__, kwargs={"poll_interval": 0.01}
    )
    with server:
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
