"""Records LiteLLM's calls of its callbacks: just before the call of the real one, and just after.

It runs in the proxy, whose config names it before and after the callback. A line is one `write` to a
file of the process's own, `<pid>.jsonl` in the folder CRASHES_JOURNAL, so `kill -9` takes none of them back.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

from litellm.integrations.custom_logger import CustomLogger


class Probe(CustomLogger):  # type: ignore[misc]
    """Records the user, the status and the time of each call."""

    def __init__(self, step: str) -> None:
        super().__init__()
        self.step = step  # public: else LiteLLM would treat two probes as one callback

    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: object, start_time: object, end_time: object
    ) -> None:
        self._write(kwargs, "success")

    async def async_log_failure_event(
        self, kwargs: dict[str, Any], response_obj: object, start_time: object, end_time: object
    ) -> None:
        self._write(kwargs, "failure")

    def _write(self, kwargs: dict[str, Any], status: str) -> None:
        user = kwargs["standard_logging_object"]["end_user"]
        line = json.dumps({"step": self.step, "user": user, "status": status, "at": time.time()})
        # Opened each time: a worker may be a fork of a process that has loaded this.
        path = Path(os.environ["CRASHES_JOURNAL"]) / f"{os.getpid()}.jsonl"
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(fd, line.encode() + b"\n")
        os.close(fd)


called, kept = Probe("called"), Probe("kept")
