"""LibreChat's HTTP API, as its web client uses it: accounts, messages, streams of answers, Stop, titles."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from local.waiting import PATIENCE_SECONDS, wait_until

JSON = dict[str, Any]

BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36"
"""LibreChat bans clients that are not browsers."""
NO_PARENT = "00000000-0000-0000-0000-000000000000"
NO_TOOLS = {"mcp": [], "web_search": False, "file_search": False, "execute_code": False, "artifacts": False}


@dataclass(frozen=True)
class Way:
    """An endpoint of librechat.yaml, and one of its models."""

    endpoint: str
    model: str


@dataclass(frozen=True)
class Answer:
    """A complete answer, and the message that it answers."""

    question: JSON
    response: JSON

    @property
    def text(self) -> str:
        parts = self.response.get("content") or []
        return self.response.get("text") or "".join(_text(part) for part in parts)


def _text(part: JSON) -> str:
    text = part.get("text") or ""
    return text if isinstance(text, str) else str(text.get("value", ""))


class User:
    """A signed-in user with an account of their own."""

    def __init__(self, url: str, name: str) -> None:
        self._url, self._token = url, ""
        login = f"user-{uuid.uuid4().hex[:12]}"
        account = {"email": f"{login}@example.org", "password": uuid.uuid4().hex}
        own = {"name": name, "username": login, "confirm_password": account["password"]}
        self.call("POST", "/api/auth/register", account | own)
        signed_in = self.call("POST", "/api/auth/login", account)
        self._token, self.id = signed_in["token"], str(signed_in["user"]["id"])

    def call(self, method: str, path: str, body: JSON | None = None) -> Any:
        with self.open(method, path, body) as response:
            return json.loads(response.read() or b"null")

    @contextmanager
    def open(self, method: str, path: str, body: JSON | None = None) -> Iterator[HTTPResponse]:
        headers = {"User-Agent": BROWSER, "Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(self._url + path, data, headers, method=method), timeout=PATIENCE_SECONDS) as it:
            yield it

    def endpoints(self) -> set[str]:
        """The endpoints of librechat.yaml."""
        return set(self.call("GET", "/api/endpoints"))

    def send(self, text: str, way: Way, mcp: Sequence[str] = ()) -> Turn:
        """Send the first message of a new conversation, in which the model may use these MCP servers."""
        tools = NO_TOOLS | {"mcp": list(mcp)}
        return self._begin(text, str(uuid.uuid4()), way, parentMessageId=NO_PARENT, ephemeralAgent=tools)

    def mcp_servers(self) -> set[str]:
        """The MCP servers of librechat.yaml."""
        return set(self.call("GET", "/api/mcp/servers"))

    def regenerate(self, answer: Answer, way: Way) -> Turn:
        """Ask for another answer to a message."""
        question = answer.question
        return self._begin(
            question["text"],
            question["messageId"],
            way,
            parentMessageId=question["parentMessageId"],
            conversationId=question["conversationId"],
            overrideParentMessageId=question["messageId"],
            responseMessageId=f"{answer.response['messageId']}_",
            isRegenerate=True,
        )

    def _begin(self, text: str, message: str, way: Way, **more: Any) -> Turn:
        body = {
            "text": text,
            "sender": "User",
            "isCreatedByUser": True,
            "messageId": message,
            "conversationId": None,
            "clientRequestId": str(uuid.uuid4()),
            "endpoint": way.endpoint,
            "endpointType": "custom",
            "model": way.model,
            "ephemeralAgent": NO_TOOLS,
            "isTemporary": False,
            "isRegenerate": False,
            "isContinued": False,
        }
        begun = self.call("POST", f"/api/agents/chat/{way.endpoint}", body | more)
        return Turn(self, begun["streamId"], begun["conversationId"])


@dataclass(frozen=True)
class Turn:
    """An answer that is being generated."""

    user: User
    stream: str
    conversation: str

    @contextmanager
    def events(self) -> Iterator[Iterator[JSON]]:
        """The events that an open tab receives. At the end of the block the tab is closed."""
        with self.user.open("GET", f"/api/agents/chat/stream/{self.stream}") as response:
            yield (json.loads(line[5:]) for line in response if line.startswith(b"data:"))

    def answer(self) -> Answer:
        """Wait for the end of the answer."""
        with self.events() as events:
            for event in events:
                if event.get("final"):
                    return Answer(event["requestMessage"], event["responseMessage"])
        raise AssertionError("The stream ended without a last event.")

    def stop(self) -> None:
        """Press Stop."""
        ids = {"streamId": self.stream, "conversationId": self.conversation, "abortKey": self.stream}
        self.user.call("POST", "/api/agents/chat/abort", ids)

    def wait_for_text(self, events: Iterator[JSON]) -> None:
        """Read until the first words have arrived."""
        for event in events:
            if event.get("event") == "on_message_delta":
                return
        raise AssertionError("The stream ended before the first words.")

    def title(self) -> str:
        """Wait for the title of the conversation."""
        titles: list[str] = []

        def is_there() -> bool:
            try:
                titles.append(self.user.call("GET", f"/api/convos/gen_title/{self.conversation}")["title"])
            except HTTPError as error:
                if error.code != 404:
                    raise
            return bool(titles)

        wait_until(is_there, f"the title of {self.conversation}")
        return titles[0]
