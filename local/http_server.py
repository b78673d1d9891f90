"""HTTP servers in a thread of this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import HTTPServer
from typing import TypeVar

Server = TypeVar("Server", bound=HTTPServer)


@contextmanager
def running_server(server: Server) -> Iterator[Server]:
    """Serve from a thread until the end of the block; then the thread has ended and the port is free."""
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
