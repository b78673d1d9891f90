"""The HTTP server of the fake providers, and its journal of all requests that it served."""

from __future__ import annotations

import json
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import astuple, dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from local.fake_providers import mcp_tool, openai_storage
from local.fake_providers.endpoint import Ask, Endpoint
from local.fake_providers.openai_storage import OpenAIStorage
from local.fake_providers.prompt_directives import ERROR, STALL, STATUS, Directives, Usage, parse_directives
from local.fake_providers.routes import ENDPOINTS

BAD_KEY = "wrong"
"""A key that contains this gets a 401, as an unknown key does."""
HELD = "/held/"
"""`DELETE /held/CALL` releases what is held of a call."""


@dataclass
class Journal:
    """What was served, in order: an entry for each request."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    _attempts: Counter[tuple[str, str]] = field(default_factory=Counter)
    _released: defaultdict[tuple[str, bool], threading.Event] = field(
        default_factory=lambda: defaultdict(threading.Event)
    )
    """Two for each call: for its status (True) and for its parts (False)."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def attempt(self, call: str, provider: str) -> int:
        """Count a try of a call at a provider; return its number, from 1."""
        with self._lock:
            self._attempts[call, provider] += 1
            return self._attempts[call, provider]

    def write(self, **entry: Any) -> dict[str, Any]:
        with self._lock:
            self.entries.append(entry)
        return entry

    def hold(self, entry: dict[str, Any], is_status: bool) -> None:
        """Wait for the release. Meanwhile the entry says what is held."""
        with self._lock:
            released = self._released[entry["call"], is_status]
            entry["held"] = STATUS if is_status else "parts"
        released.wait()
        with self._lock:
            entry["held"] = None

    def release(self, call: str, only_status: bool = False) -> None:
        """Release what is held of a call, now and later."""
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


class BrokenStream(Exception):
    """A stream breaks here, in one of the ways of `prompt_directives.py`."""


class ProviderServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.journal = Journal()
        self.storage = OpenAIStorage()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: ProviderServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def _route(self) -> str:
        return self.path.partition("?")[0]

    def do_GET(self) -> None:
        if self._route == "/journal":
            self._json(200, self.server.journal.entries)
        else:
            self._send_found(self.server.storage.read(self._route))

    def do_DELETE(self) -> None:
        if self._route.startswith(openai_storage.FILES):
            self._json(200, self.server.storage.delete(self._route))
        elif self._route.startswith(HELD):
            call, _, what = self._route.removeprefix(HELD).partition("/")
            self.server.journal.release(call, only_status=what == STATUS)
            self._json(200, [])
        else:
            self.server.journal.clear()
            self._json(200, [])

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        endpoint = ENDPOINTS.get(self._route)
        if self._route == "/api/show":
            self._json(200, {"template": "{{ .Prompt }}", "model_info": {"llama.context_length": 131072}})
        elif self._route == mcp_tool.PATH:
            self._serve_tool(json.loads(raw))
        elif self._route == openai_storage.FILES:
            form = self._form(raw)
            self._json(200, self.server.storage.store_file(str(form["purpose"]), form["file"]))
        elif self._route == openai_storage.BATCHES:
            self._serve_batch(json.loads(raw))
        elif self._route.endswith("/cancel"):
            self._send_found(self.server.storage.cancel(self._route.removesuffix("/cancel")))
        elif endpoint is None:
            self._send_found(None)
        elif endpoint.provider != "ollama" and BAD_KEY in self._key():
            self._json(401, endpoint.error(401, "Incorrect API key provided."))
        else:
            is_form = self.headers.get_content_type() == "multipart/form-data"
            self._serve(endpoint, self._form(raw) if is_form else json.loads(raw))

    def _serve(self, endpoint: Endpoint, body: dict[str, Any]) -> None:
        directives = parse_directives(endpoint.text(body))
        attempt = self.server.journal.attempt(directives.call, endpoint.provider)
        status = directives.status(endpoint.provider, attempt)
        usage = endpoint.usage(directives.usage) if status == 200 else Usage(0, 0)
        streamed = endpoint.wants_stream(body)
        # Written before the response is sent: so a client that has the response finds the entry.
        entry = self._record(
            directives, endpoint.provider, body["model"], attempt, usage, status=status, streamed=streamed
        )
        if STATUS in directives.holds:
            self.server.journal.hold(entry, is_status=True)
        try:
            ask = Ask(
                f"{directives.call}-{attempt}", body["model"], usage, body, directives.tools, directives.tool
            )
            self._respond(endpoint, ask, entry, directives)
        except BrokenStream as broken:
            if broken.args == (STALL,):
                self.connection.recv(1)  # until the client hangs up
            self.close_connection = True  # without the chunk that ends a response
        except (BrokenPipeError, ConnectionResetError):  # the client has gone
            self.close_connection = True

    def _respond(self, endpoint: Endpoint, ask: Ask, entry: dict[str, Any], directives: Directives) -> None:
        status, attempt = entry["status"], entry["attempt"]
        if status != 200:
            self._json(status, endpoint.error(status, f"The prompt asks for {status} at try {attempt}."))
        elif entry["streamed"] and endpoint.stream is not None:
            self._stream(self._parts(endpoint, ask, entry, directives), endpoint.stream_type)
        else:
            response = endpoint.response(ask)
            if self._route == openai_storage.RESPONSES and isinstance(response, dict):
                response = self.server.storage.store_response(response, directives.reads)
            self._send(200, response)

    def _parts(
        self, endpoint: Endpoint, ask: Ask, entry: dict[str, Any], directives: Directives
    ) -> Iterator[bytes]:
        """Yield the parts of a stream, each once it is released. Raises BrokenStream where it breaks."""
        assert endpoint.stream is not None
        for number, part in enumerate(endpoint.stream(ask)):
            if str(number) in directives.holds:
                self.server.journal.hold(entry, is_status=False)
            if directives.broken and number == directives.broken.parts:
                if directives.broken.how != ERROR:
                    raise BrokenStream(directives.broken.how)
                yield endpoint.error_part(500, "The prompt asks for a broken stream.")
                return
            yield part

    def _serve_batch(self, body: dict[str, Any]) -> None:
        """Run all requests of a batch. The directives of the first request apply to the batch."""
        endpoint = ENDPOINTS[body["endpoint"]]
        responses, all_directives = [], []
        for number, line in enumerate(self.server.storage.lines(body["input_file_id"])):
            directives = parse_directives(endpoint.text(line["body"]))
            ask = Ask(f"{directives.call}-{number}", line["body"]["model"], directives.usage, line["body"])
            response = {"status_code": 200, "request_id": ask.id, "body": endpoint.response(ask)}
            responses.append(
                {"id": ask.id, "custom_id": line["custom_id"], "response": response, "error": None}
            )
            all_directives.append(directives)
        first, model = all_directives[0], line["body"]["model"]
        total = Usage(
            *(sum(counts) for counts in zip(*(astuple(s.usage) for s in all_directives), strict=True))
        )
        self._record(first, endpoint.provider, model, 1, total)
        self._json(200, self.server.storage.store_batch(body, responses, first.reads))

    def _serve_tool(self, message: dict[str, Any]) -> None:
        if (query := mcp_tool.query(message)) is not None:
            directives = parse_directives(query)
            attempt = self.server.journal.attempt(directives.call, "mcp")
            self._record(directives, "mcp", "lookup", attempt, Usage(0, 0))
        response = mcp_tool.respond(message)
        self._json(202 if response is None else 200, response)

    def _record(
        self,
        directives: Directives,
        provider: str,
        model: str,
        attempt: int,
        usage: Usage,
        *,
        status: int = 200,
        streamed: bool = False,
    ) -> dict[str, Any]:
        """Write an entry for what is served, and so charged, into the journal."""
        return self.server.journal.write(
            call=directives.call,
            user=directives.user,
            provider=provider,
            model=model,
            path=self.path,
            attempt=attempt,
            status=status,
            streamed=streamed,
            held=None,
            **usage.to_dict(),
        )

    def _key(self) -> str:
        given = self.headers.get("Authorization") or self.headers.get("x-api-key") or ""
        return given.removeprefix("Bearer").strip() or BAD_KEY

    def _form(self, raw: bytes) -> dict[str, Any]:
        """The fields of a form: files as bytes, others as text."""
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        fields: dict[str, Any] = {}
        for part in message_from_bytes(head + raw).walk():
            name, content = (
                part.get_param("name", header="content-disposition"),
                part.get_payload(decode=True),
            )
            if isinstance(content, bytes):
                fields[str(name)] = content if part.get_filename() else content.decode()
        return fields

    def _send_found(self, data: object) -> None:
        if data is None:
            self._json(404, {"error": f"nothing is stored at {self.path}"})
        else:
            self._send(200, data)

    def _send(self, status: int, data: object) -> None:
        """Send bytes as they are, other data as JSON."""
        if isinstance(data, bytes):
            self._raw(status, data, "application/octet-stream")
        else:
            self._json(status, data)

    def _json(self, status: int, data: object) -> None:
        self._raw(status, json.dumps(data).encode(), "application/json")

    def _raw(self, status: int, raw: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
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
        """Log nothing: the journal has more."""
