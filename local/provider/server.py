"""The HTTP server: four providers behind one port, and the journal of all that they served."""

from __future__ import annotations

import json
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from local.provider.protocols import ENDPOINTS, Ask, Endpoint
from local.provider.script import STATUS, Script, Usage, parse

# A key with this in it is refused, as a provider refuses one that it does not know.
BAD_KEY = "wrong"

HELD = "/held/"


@dataclass
class Journal:
    """What was served, in order."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    _attempts: Counter[tuple[str, str]] = field(default_factory=Counter)
    _released: defaultdict[tuple[str, bool], threading.Event] = field(
        default_factory=lambda: defaultdict(threading.Event)
    )
    """For each call two: of its status, and of its parts."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def attempt(self, call: str, provider: str) -> int:
        """The number of this try of a call at a provider, from 1."""
        with self._lock:
            self._attempts[call, provider] += 1
            return self._attempts[call, provider]

    def write(self, **entry: Any) -> dict[str, Any]:
        with self._lock:
            self.entries.append(entry)
        return entry

    def hold(self, entry: dict[str, Any], is_status: bool) -> None:
        """Wait until this is released; meanwhile the entry tells what is held."""
        with self._lock:
            released = self._released[entry["call"], is_status]
            entry["held"] = STATUS if is_status else "parts"
        released.wait()
        with self._lock:
            entry["held"] = None

    def release(self, call: str, only_status: bool = False) -> None:
        """Let go of what is held of a call, and hold no more of it."""
        with self._lock:
            for is_status in (True,) if only_status else (True, False):
                self._released[call, is_status].set()

    def clear(self) -> None:
        with self._lock:
            self.entries.clear()
            self._attempts.clear()
            for released in self._released.values():
                released.set()
            self._released.clear()


class ProviderServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.journal = Journal()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: ProviderServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if self.path == "/journal":
            self._json(200, self.server.journal.entries)
        else:
            self._json(404, {"error": f"nothing at {self.path}"})

    def do_DELETE(self) -> None:
        if self.path.startswith(HELD):
            call, _, what = self.path.removeprefix(HELD).partition("/")
            self.server.journal.release(call, only_status=what == STATUS)
        else:
            self.server.journal.clear()
        self._json(200, [])

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        endpoint = ENDPOINTS.get(self.path)
        if self.path == "/api/show":
            self._json(200, {"template": "{{ .Prompt }}", "model_info": {"llama.context_length": 131072}})
        elif endpoint is None:
            self._json(404, {"error": f"nothing at {self.path}"})
        elif endpoint.provider != "ollama" and BAD_KEY in self._key():
            self._json(401, endpoint.error(401, "Incorrect API key provided."))
        else:
            self._serve(endpoint, json.loads(raw))

    def _serve(self, endpoint: Endpoint, body: dict[str, Any]) -> None:
        script = parse(endpoint.text(body))
        attempt = self.server.journal.attempt(script.call, endpoint.provider)
        status = script.status(endpoint.provider, attempt)
        usage = endpoint.usage(script.usage) if status == 200 else Usage(0, 0)
        streamed = endpoint.wants_stream(body)
        # Written before the answer leaves: whoever has the answer finds it here.
        entry = self.server.journal.write(
            call=script.call,
            user=script.user,
            provider=endpoint.provider,
            model=body["model"],
            path=self.path,
            attempt=attempt,
            status=status,
            streamed=streamed,
            held=None,
            **usage.to_dict(),
        )
        if STATUS in script.holds:
            self.server.journal.hold(entry, is_status=True)
        try:
            self._answer(endpoint, Ask(f"{script.call}-{attempt}", body["model"], usage, body), entry, script)
        except (BrokenPipeError, ConnectionResetError):  # the client has gone
            self.close_connection = True

    def _answer(self, endpoint: Endpoint, ask: Ask, entry: dict[str, Any], script: Script) -> None:
        status, attempt = entry["status"], entry["attempt"]
        if status != 200:
            self._json(status, endpoint.error(status, f"Told to fail with {status} at try {attempt}."))
        elif entry["streamed"] and endpoint.stream is not None:
            self._stream(self._held(endpoint.stream(ask), script, entry), endpoint.stream_type)
        else:
            self._json(200, endpoint.answer(ask))

    def _held(self, parts: Iterator[bytes], script: Script, entry: dict[str, Any]) -> Iterator[bytes]:
        for number, part in enumerate(parts):
            if str(number) in script.holds:
                self.server.journal.hold(entry, is_status=False)
            yield part

    def _key(self) -> str:
        given = self.headers.get("Authorization") or self.headers.get("x-api-key") or ""
        return given.removeprefix("Bearer").strip() or BAD_KEY

    def _json(self, status: int, data: object) -> None:
        raw = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _stream(self, parts: Iterator[bytes], content_type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part in parts:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: the journal tells more."""
