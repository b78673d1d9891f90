"""A client of the proxy, in the name of one user."""

import io
import json
import urllib.request
import wave
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

from local.waiting import PATIENCE_SECONDS, wait_until

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
RESPONSES = "/v1/responses"
FILES = "/v1/files"
BATCHES = "/v1/batches"
BOUNDARY = "boundary-of-a-form"
JSON = "application/json"


@dataclass(frozen=True)
class Client:
    """Makes requests of one user. Each prompt also names the user, for the fake providers' journal."""

    proxy: str
    key: str
    provider: str
    user: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def with_key(self, key: str) -> "Client":
        return replace(self, key=key)

    def without_name(self, headers: Mapping[str, str]) -> "Client":
        """The same user, whom LiteLLM learns only from these headers."""
        return replace(self, headers=headers)

    def prompt(self, directions: str = "") -> str:
        return f"What does a forest cost? #call={self.user} #user={self.user} {directions}"

    def body(self, model: str, directions: str, path: str) -> dict[str, Any]:
        prompt = self.prompt(directions)
        if path == RESPONSES:
            return {"model": model, "input": prompt}
        limit = {"max_tokens": 1000} if path.endswith(MESSAGES) else {}
        return {"model": model, "messages": [{"role": "user", "content": prompt}], **limit}

    def chat(self, model: str, directions: str = "", path: str = CHAT, **more: Any) -> tuple[int, bytes]:
        """Make a request; return the status and the response, as far as it arrives."""
        return self.ask("POST", path, self.body(model, directions, path) | more)

    @contextmanager
    def chatting(self, model: str, directions: str, path: str, **more: Any) -> Iterator[HTTPResponse]:
        """A response that is being received. At the end of the block the client disconnects."""
        body = json.dumps(self.body(model, directions, path) | more).encode()
        with self._asking("POST", path, body) as answer:
            yield answer

    def give_up(self, model: str, directions: str, path: str) -> None:
        """Ask for a stream, and disconnect once the provider holds its parts."""
        body = json.dumps(self.body(model, directions, path) | {"stream": True}).encode()
        with self._connected() as connection:
            connection.request("POST", path, body, self._headers(JSON))
            wait_until(self._is_held, "the request at the provider")

    def _is_held(self) -> bool:
        with urllib.request.urlopen(f"{self.provider}/journal", timeout=PATIENCE_SECONDS) as answer:
            return any(entry["user"] == self.user and entry["held"] for entry in json.load(answer))

    def release(self) -> None:
        """Release what the provider holds."""
        request = urllib.request.Request(f"{self.provider}/held/{self.user}", method="DELETE")
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS):
            pass

    def respond(self, model: str, directions: str, **more: Any) -> Any:
        return self.send("POST", RESPONSES, self.body(model, directions, RESPONSES) | more)

    def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Make a request; return the JSON of a successful response."""
        return _good(*self.ask(method, path, body))

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, bytes]:
        content = None if body is None else json.dumps(body).encode()
        with self._asking(method, path, content) as answer:
            return answer.status, self.read(answer)

    def form(self, path: str, name: str, file: bytes, **fields: str) -> Any:
        """Send a file and fields; return the JSON of a successful response."""
        parts = [f'name="{field}"\r\n\r\n{value}\r\n'.encode() for field, value in fields.items()]
        head = f'name="file"; filename="{name}"\r\nContent-Type: application/octet-stream\r\n\r\n'
        parts.append(head.encode() + file + b"\r\n")
        opening = f"--{BOUNDARY}\r\nContent-Disposition: form-data; ".encode()
        body = b"".join(opening + part for part in parts) + f"--{BOUNDARY}--\r\n".encode()
        with self._asking("POST", path, body, f"multipart/form-data; boundary={BOUNDARY}") as answer:
            return _good(answer.status, self.read(answer))

    @staticmethod
    def read(answer: HTTPResponse) -> bytes:
        """Read as much as arrives: LiteLLM may cut off a broken stream."""
        content = b""
        with suppress(HTTPException, OSError):
            while part := answer.read1():
                content += part
        return content

    @contextmanager
    def _asking(self, method: str, path: str, body: bytes | None, kind: str = JSON) -> Iterator[HTTPResponse]:
        with self._connected() as connection:
            connection.request(method, path, body, self._headers(kind))
            with connection.getresponse() as answer:
                yield answer

    @contextmanager
    def _connected(self) -> Iterator[HTTPConnection]:
        address = urlsplit(self.proxy)
        connection = HTTPConnection(address.hostname or "", address.port, timeout=PATIENCE_SECONDS)
        try:
            yield connection
        finally:
            connection.close()

    def _headers(self, kind: str) -> dict[str, str]:
        named = self.headers or {"x-user": self.user}
        return {"Authorization": f"Bearer {self.key}", "Content-Type": kind, **named}


def _good(status: int, answer: bytes) -> Any:
    assert status == 200, answer
    return json.loads(answer)


def sound() -> bytes:
    """A second of silence."""
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(8000)
        wav.writeframes(bytes(16000))
    return file.getvalue()
