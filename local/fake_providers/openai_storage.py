"""What OpenAI stores for later requests: responses, files and batches."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import count
from threading import RLock
from typing import Any

from local.fake_providers.endpoint import CREATED

JSON = dict[str, Any]

RESPONSES, FILES, BATCHES = "/v1/responses", "/v1/files", "/v1/batches"


@dataclass
class Job:
    """A response or batch that is complete after `reads` reads. Before, its status is one of `states`.

    `result` has the fields that an incomplete job shows in place of its results.
    """

    complete: JSON
    reads: int
    states: tuple[str, str]
    result: JSON
    seen: int = -1

    def read(self) -> JSON:
        self.seen += 1
        if self.seen >= self.reads:
            return self.complete
        return self.complete | self.result | {"status": self.states[min(self.seen, 1)]}

    def cancel(self) -> JSON:
        if self.seen < self.reads:
            self.complete |= self.result | {"status": "cancelled"}
        self.reads = 0
        return self.complete


class OpenAIStorage:
    """Stored objects, by the path at which they are read."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._files: dict[str, tuple[JSON, bytes]] = {}
        self._numbers = count(1)
        self._lock = RLock()

    def store_response(self, response: JSON, reads: int) -> JSON:
        """Store a response and return what its creation responds: for one in the background, only its id."""
        in_background = response["background"]
        states = ("queued", "in_progress")
        job = Job(response, reads + 1 if in_background else 0, states, {"output": [], "usage": None})
        return self._store(f"{RESPONSES}/{response['id']}", job)

    def store_file(self, purpose: str, content: bytes) -> JSON:
        with self._lock:
            name = f"file-{next(self._numbers)}"
            description = {"id": name, "object": "file", "bytes": len(content), "created_at": CREATED}
            description |= {"filename": "requests.jsonl", "purpose": purpose, "status": "processed"}
            self._files[name] = description, content
        return description

    def lines(self, file: str) -> list[JSON]:
        """The requests in a file."""
        return [json.loads(line) for line in self._files[file][1].splitlines()]

    def store_batch(self, body: JSON, responses: list[JSON], reads: int) -> JSON:
        """Store a batch and its output file, which the batch shows once it is complete."""
        output = self.store_file("batch_output", "\n".join(map(json.dumps, responses)).encode())["id"]
        done = len(responses)
        batch = {"id": f"batch_{next(self._numbers)}", "object": "batch", "status": "completed", **body}
        batch |= {"created_at": CREATED, "output_file_id": output, "error_file_id": None, "errors": None}
        batch |= {"request_counts": {"total": done, "completed": done, "failed": 0}}
        result: JSON = {"output_file_id": None}
        result |= {"request_counts": {"total": done, "completed": 0, "failed": 0}}
        job = Job(batch, reads + 1, ("validating", "in_progress"), result)
        return self._store(f"{BATCHES}/{batch['id']}", job)

    def _store(self, path: str, job: Job) -> JSON:
        with self._lock:
            self._jobs[path] = job
            return job.read()

    def read(self, path: str) -> JSON | bytes | None:
        """The response to a GET; None if nothing is stored there."""
        with self._lock:
            if path in self._jobs:
                return self._jobs[path].read()
            if path == FILES:
                return {"object": "list", "data": [description for description, _ in self._files.values()]}
            name, _, part = path.removeprefix(f"{FILES}/").partition("/")
            description, content = self._files.get(name, (None, b""))
            return content if description and part == "content" else description

    def cancel(self, path: str) -> JSON | None:
        with self._lock:
            job = self._jobs.get(path)
            return job.cancel() if job else None

    def delete(self, path: str) -> JSON:
        with self._lock:
            name = path.removeprefix(f"{FILES}/")
            return {"id": name, "object": "file", "deleted": self._files.pop(name, None) is not None}
