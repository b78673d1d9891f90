"""The requests of the demo's users: every way in which a request can reach the ledger."""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from urllib.parse import urlsplit

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
EMBEDDINGS = "/v1/embeddings"
RESPONSES = "/v1/responses"

UNKNOWN = "unknown"

# How a client names its user.
BODY = "user"
HEADER = "header"
METADATA = "metadata.user_id"
UNFILLED = "an unfilled header template"

QUESTION = "What does a forest cost?"
NEW_MODEL = "claude-next-9"
"""A model that no price list has yet."""


@dataclass(frozen=True)
class Call:
    """One request to the proxy.

    `directions` tell the fake providers how to respond (`local.fake_providers.prompt_directives`). A `cached`
    call asks LiteLLM to cache the response; one that comes `again` repeats an earlier call.
    """

    id: str
    user: str
    model: str
    directions: str
    path: str = CHAT
    named: str = BODY
    stream: bool = False
    cached: bool = False
    again: str | None = None
    fails: bool = False
    call_id: str | None = None
    """The call id that the client asks LiteLLM to use."""

    def body(self) -> dict[str, Any]:
        prompt = f"{QUESTION} #call={self.again or self.id} {self.directions}"
        body: dict[str, Any] = {"model": self.model}
        if self.path in (CHAT, MESSAGES):
            body["messages"] = [{"role": "user", "content": prompt}]
        else:
            body["input"] = prompt
        if self.path == MESSAGES:
            body["max_tokens"] = 1000
        if self.stream:
            body["stream"] = True
        if self.cached:
            body["cache"] = {"use-cache": True}
        return body | self._user_in_body()

    def headers(self) -> dict[str, str]:
        names = {HEADER: self.user, UNFILLED: "{{LIBRECHAT_USER_ID}}"}
        user = {"x-librechat-user-id": names[self.named]} if self.named in names else {}
        return user | ({"x-litellm-call-id": self.call_id} if self.call_id else {})

    def _user_in_body(self) -> dict[str, Any]:
        if self.named == METADATA:
            return {"metadata": {"user_id": self.user}}
        return {"user": self.user} if self.named == BODY else {}


CALLS: Sequence[Call] = (
    # Alice chats in LibreChat, which sends her id as a header.
    Call("alice-plain", "alice", "gpt-4o-mini", "#in=912 #out=140", named=HEADER),
    Call(
        "alice-cached-tokens", "alice", "gpt-4o", "#in=2048 #out=301 #cached=1536", named=HEADER, stream=True
    ),
    Call("alice-reasoning", "alice", "gpt-5-mini", "#in=333 #out=777 #reasoning=640", named=HEADER),
    Call("alice-first", "alice", "gpt-4o", "#in=120 #out=60", named=HEADER, cached=True),
    Call("alice-again", "alice", "gpt-4o", "#in=120 #out=60", named=HEADER, cached=True, again="alice-first"),
    # Bob's requests fail at first, or for good.
    Call("bob-retry", "bob", "gpt-4o", "#in=501 #out=77 #fail=openai:1:500"),
    Call("bob-fallback", "bob", "claude-haiku-4-5", "#in=640 #out=90 #fail=anthropic:always:529"),
    Call("bob-failure", "bob", "gpt-4o-mini", "#fail=openai:always:500", fails=True),
    Call(
        "bob-stream",
        "bob",
        "claude-haiku-4-5",
        "#in=3000 #out=210 #cached=2048 #cache_write=512",
        stream=True,
    ),
    # Carol's program uses Anthropic's and OpenAI's newer APIs.
    Call("carol-messages", "carol", "claude-haiku-4-5", "#in=480 #out=55", path=MESSAGES, named=METADATA),
    Call(
        "carol-messages-stream",
        "carol",
        "claude-haiku-4-5",
        "#in=4096 #out=350 #cached=3072 #cache_write=700",
        path=MESSAGES,
        named=METADATA,
        stream=True,
    ),
    Call("carol-new-model", "carol", NEW_MODEL, "#in=1500 #out=120", path=MESSAGES, named=METADATA),
    Call("carol-chat", "carol", "gpt-oss-20b", "#in=1000 #out=200 #cached=256", named=METADATA),
    Call(
        "carol-response",
        "carol",
        "gpt-5-mini",
        "#in=70 #out=900 #reasoning=832",
        path=RESPONSES,
        named=METADATA,
    ),
    # Zoë runs models on her own machine and searches documents.
    Call("zoe-local", "zoë", "llama3.1", "#in=77 #out=22"),
    Call("zoe-local-stream", "zoë", "llama3.1", "#in=1234 #out=432", stream=True),
    Call("zoe-embedding", "zoë", "text-embedding-3-small", "#in=8100", path=EMBEDDINGS),
    Call("zoe-groq-stream", "zoë", "gpt-oss-20b", "#in=650 #out=129", stream=True),
    Call("zoe-unpriced", "zoë", "groq/llama-3.3-70b-versatile", "#in=210 #out=64"),
    # Dora's program gives all her requests the same id. Each of them is a request of its own.
    Call("dora-one", "dora", "gpt-4o-mini", "#in=31 #out=11", call_id="dora"),
    Call("dora-two", "dora", "gpt-4o-mini", "#in=32 #out=12", call_id="dora", stream=True),
    Call("dora-three", "dora", "gpt-4o-mini", "#in=33 #out=13", path=RESPONSES, call_id="dora"),
    Call(
        "dora-four",
        "dora",
        "claude-haiku-4-5",
        "#in=34 #out=14",
        path=MESSAGES,
        named=METADATA,
        call_id="dora",
    ),
    Call("dora-five", "dora", "text-embedding-3-small", "#in=35", path=EMBEDDINGS, call_id="dora"),
    # Nobody knows who: LibreChat did not fill in the template of its header.
    Call("somebody", UNKNOWN, "gpt-4o-mini", "#in=150 #out=55", named=UNFILLED),
)


def make_calls(calls: Sequence[Call], url: str, key: str) -> list[str]:
    """Make all calls in parallel, repeats after the first. Return a line for each unexpected response."""
    groups = [list(group) for _, group in groupby(calls, key=lambda call: call.again or call.id)]
    with ThreadPoolExecutor(len(groups)) as pool:
        results = pool.map(lambda group: [_make(call, url, key) for call in group], groups)
        return [problem for problems in results for problem in problems if problem]


def _make(call: Call, url: str, key: str) -> str | None:
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", **call.headers()}
    try:
        connection.request("POST", call.path, json.dumps(call.body()), headers)
        response = connection.getresponse()
        text = response.read().decode()
    except (OSError, http.client.HTTPException) as error:
        return f"{call.id}: no response from the proxy ({error})"
    finally:
        connection.close()
    if (response.status == 200) == call.fails:
        return f"{call.id}: the response is {response.status}: {text[:300]}"
    return None
