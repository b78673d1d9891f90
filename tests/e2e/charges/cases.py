"""Cases: what a user does, charged or not, and the events that the ledger must have then."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from http.client import HTTPResponse
from typing import Any

from local.litellm_proxy import litellm_version
from tests.e2e.charges.client import BATCHES, CHAT, FILES, MESSAGES, RESPONSES, Client, sound

Event = Mapping[str, Any]

BEFORE_1_110 = litellm_version().startswith("1.106.")
"""Whether LiteLLM is newer than 1.106.2. Where 1.106.2 and 1.110.2 differ, the newer one reports more."""

LISTED = "as listed"
"""A cost by the price list in LiteLLM's package, for the event's own tokens."""
UNPRICED = None
SOME = "some"
"""Tokens that LiteLLM has counted itself, because the provider reported none."""
ASKED = "#in=1200 #out=300"
WHOLE: Event = {"tokens_in": 1200, "tokens_out": 300, "costUSD": LISTED}
GPT: Event = {"provider": "openai", "model": "gpt-4o-mini"}
CLAUDE: Event = {"provider": "anthropic", "model": "claude-haiku-4-5"}
SUCCESS: Event = {"status": "success", "errorCode": None, "estimated": None}
FAILURE: Event = {"status": "failure", "estimated": None}
BEGUN_GPT: Event = {**GPT, "tokens_in": SOME, "tokens_out": SOME, "costUSD": LISTED}
BEGUN_CLAUDE: Event = {**CLAUDE, "tokens_in": 1200, "tokens_out": SOME, "costUSD": LISTED}
STOPPED: Event = {"status": "success", "errorCode": "499", "estimated": True}
NO_TOKENS: Event = {**SUCCESS, "tokens_in": 0, "tokens_out": 0}
NOT_COUNTED: Event = {**FAILURE, "tokens_in": 0, "tokens_out": 0, "costUSD": UNPRICED}
"""Reported by the callback itself, which saw the stream end."""

UPLOAD = {"purpose": "batch", "custom_llm_provider": "openai"}
BACKGROUND = "background-gpt"
"""A model whose operator has set `background`. If a caller sets it, the callback removes it."""
ANTHROPIC = "/anthropic/v1/messages"
"""A pass-through route to Anthropic."""


@dataclass(frozen=True)
class Case:
    """What one user does, and the expected events, in the order in which they begin."""

    name: str
    do: Callable[[Client], object]
    events: Sequence[Event] = field(default_factory=list)
    hidden: int = 0
    """Charged calls that LiteLLM does not report, or not as calls of a provider."""
    fees: int = 0
    """Events of charges that no provider makes."""


def answered(
    model: str, directions: str = ASKED, path: str = CHAT, **more: Any
) -> Callable[[Client], object]:
    def do(client: Client) -> None:
        status, answer = client.chat(model, directions, path, **more)
        assert status == 200, answer

    return do


def refused(model: str, directions: str = "") -> Callable[[Client], object]:
    def do(client: Client) -> None:
        assert client.chat(model, directions)[0] in (400, 401)

    return do


def broken(
    model: str, how: str, path: str = CHAT, directions: str = ASKED, parts: int = 4
) -> Callable[[Client], object]:
    """A stream that its provider breaks after the client has received the first parts."""

    def do(client: Client) -> None:
        with client.chatting(
            model, f"{directions} #break={how}:{parts} #hold={parts}", path, stream=True
        ) as answer:
            read_until("forest", answer)
            client.release()
            answer.read1()
            client.read(answer)

    return do


def broken_at_once(model: str) -> Callable[[Client], object]:
    return lambda client: client.chat(model, f"{ASKED} #break=error:0", stream=True)


def stopped(model: str, path: str = CHAT) -> Callable[[Client], object]:
    """A stream that its client stops in the middle."""

    def do(client: Client) -> None:
        with client.chatting(model, f"{ASKED} #break=stall:4", path, stream=True) as answer:
            read_until("forest", answer)

    return do


def given_up(model: str, path: str = CHAT) -> Callable[[Client], object]:
    """A stream that its client gives up before the first part. LiteLLM may still wait for that part."""

    def do(client: Client) -> None:
        client.give_up(model, f"{ASKED} #hold=0", path)
        if not BEFORE_1_110 and path == CHAT:
            client.release()

    return do


def read_until(word: str, answer: HTTPResponse) -> None:
    while word.encode() not in (line := answer.readline()):
        assert line, "the stream ended before"


def in_background(reads: int, again: int) -> Callable[[Client], object]:
    """Make a response in the background, poll until it is complete, and read it again."""

    def do(client: Client) -> None:
        made = client.respond(BACKGROUND, f"{ASKED} #reads={reads}")
        states = [client.send("GET", f"{RESPONSES}/{made['id']}")["status"] for _ in range(reads + 1 + again)]
        assert states == ["in_progress"] * reads + ["completed"] * (1 + again)

    return do


def left_alone(client: Client) -> None:
    client.respond(BACKGROUND, f"{ASKED} #reads=1")


def left_half_way(client: Client) -> None:
    made = client.respond(BACKGROUND, f"{ASKED} #reads=1")
    assert client.send("GET", f"{RESPONSES}/{made['id']}")["status"] == "in_progress"


def cancelled(client: Client) -> None:
    made = client.respond(BACKGROUND, f"{ASKED} #reads=3")
    path = f"{RESPONSES}/{made['id']}"
    assert client.send("POST", f"{path}/cancel", {})["status"] == "cancelled"
    assert client.send("GET", path)["status"] == "cancelled"


def cancelled_too_late(client: Client) -> None:
    made = client.respond(BACKGROUND, f"{ASKED} #reads=0")
    path = f"{RESPONSES}/{made['id']}"
    assert client.send("GET", path)["status"] == "completed"
    assert client.send("POST", f"{path}/cancel", {})["status"] == "completed"


def kept_and_read_again(**more: Any) -> Callable[[Client], object]:
    def do(client: Client) -> None:
        made = client.respond("gpt", f"{ASKED} #reads=5", **more)
        for _ in range(3):
            assert client.send("GET", f"{RESPONSES}/{made['id']}")["status"] == "completed"

    return do


def batch(client: Client) -> None:
    """A batch of three requests, from the upload to the last read of the responses."""
    body = client.body("gpt-4o-mini", "#in=1000 #out=100 #reads=2", CHAT)
    lines = [{"custom_id": str(n), "method": "POST", "url": CHAT, "body": body} for n in range(3)]
    requests = "\n".join(map(json.dumps, lines)).encode()
    file = client.form(FILES, "requests.jsonl", requests, **UPLOAD)
    made = {"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h"}
    path = f"{BATCHES}/{client.send('POST', BATCHES, made)['id']}"
    polled = [client.send("GET", path) for _ in range(5)]
    assert [one["status"] for one in polled] == ["in_progress"] * 2 + ["completed"] * 3
    output = f"{FILES}/{polled[-1]['output_file_id']}"
    assert client.ask("GET", f"{output}/content")[1].count(b"chat.completion") == 3
    assert client.send("GET", output)["purpose"] == "batch_output"


def lists_files_and_models(client: Client) -> None:
    file = client.form(FILES, "notes.txt", b"Green.", **UPLOAD | {"purpose": "user_data"})
    for path in (FILES, f"{FILES}/{file['id']}", "/v1/models", "/model/info", "/health/readiness"):
        client.send("GET", path)
    client.send("DELETE", f"{FILES}/{file['id']}")


def unknown_key(client: Client) -> None:
    assert client.with_key("sk-nobody").chat("gpt")[0] >= 400


def transcription(client: Client) -> None:
    client.form("/v1/audio/transcriptions", "talk.wav", sound(), model="whisper", prompt=client.prompt())


def posted(path: str, **body: Any) -> Callable[[Client], object]:
    """Send a body in which None stands for the prompt."""

    def do(client: Client) -> None:
        filled = {key: client.prompt(ASKED) if value is None else value for key, value in body.items()}
        status, answer = client.ask("POST", path, filled)
        assert status == 200, answer

    return do


SESSION = '{"device_id": "d", "account_uuid": "", "session_id": "11111111-1111-4111-8111-111111111111"}'
OLDER_SESSION = f"user_{'0a' * 32}_account__session_33333333-3333-4333-8333-333333333333"


def agent(session: str, owner: bool) -> Callable[[Client], object]:
    """A coding agent, with a key that belongs to the user or to nobody."""

    def do(client: Client) -> None:
        headers = {"x-key-owner": client.user} if owner else {"x-litellm-call-id": client.user}
        as_agent = client.without_name(headers)
        status, answer = as_agent.chat("claude", ASKED, MESSAGES, metadata={"user_id": session})
        assert status == 200, answer

    return do


LOOKUPS = [
    {"type": "mcp", "server_url": "litellm_proxy", "server_label": "calc", "require_approval": "never"},
]
TOOL = {"model": "MCP: calc-lookup", "callType": "call_mcp_tool", "costUSD": Decimal("0.01")}
ROUNDS = 1 if BEFORE_1_110 else 2
"""LiteLLM calls the model twice in a tool loop. It reports one round, or since 1.110 both, as one call."""
LOOP = {"model": "own-1", "tokens_in": 1000 * ROUNDS, "tokens_out": 100 * ROUNDS}


def _broken_streams() -> Iterator[Case]:
    failed = {"cut": "ReadError", "error": "APIError", "stall": "ReadTimeout"}
    for how, code in failed.items():
        gpt, claude = ("hasty-gpt", "hasty-claude") if how == "stall" else ("gpt", "claude")
        begun = {**FAILURE, **BEGUN_CLAUDE, "errorCode": "500" if how == "error" else code}
        yield Case(f"chat on OpenAI: {how}", broken(gpt, how), [{**FAILURE, **BEGUN_GPT, "errorCode": code}])
        yield Case(f"chat on Anthropic: {how}", broken(claude, how), [begun])
        if how != "error":
            yield Case(f"/v1/messages on Anthropic: {how}", broken(claude, how, MESSAGES), [begun])
    # LiteLLM passes the error on, but reports the stream as a success.
    success = {**SUCCESS, **BEGUN_CLAUDE}
    yield Case("/v1/messages on Anthropic: error", broken("claude", "error", MESSAGES), [success])


def _broken_elsewhere() -> Iterator[Case]:
    """LiteLLM 1.106.2 counts no tokens here and names no provider, as if it had refused the call.

    A broken stream of /v1/responses passes through the hook of streams, so the callback sees it.
    """
    responses = {**NOT_COUNTED, **GPT} if BEFORE_1_110 else {**FAILURE, **BEGUN_GPT}
    cut = broken("gpt", "cut", RESPONSES)
    yield Case("/v1/responses on OpenAI: cut", cut, [{**responses, "errorCode": "ReadError"}])
    places = {
        "/v1/messages on OpenAI": (broken("gpt", "cut", MESSAGES), BEGUN_GPT),
        "Anthropic passed through": (
            broken("claude-haiku-4-5", "cut", ANTHROPIC),
            {**BEGUN_CLAUDE, "provider": "unknown"},
        ),
    }
    for name, (do, begun) in places.items():
        event = {**FAILURE, **begun, "errorCode": "ReadError"}
        yield Case(f"{name}: cut", do, [] if BEFORE_1_110 else [event], hidden=1 if BEFORE_1_110 else 0)
    nothing_known = {**NO_TOKENS, "provider": "unknown", "costUSD": UNPRICED}
    known = {**SUCCESS, **BEGUN_CLAUDE}
    error = broken("claude-haiku-4-5", "error", ANTHROPIC)
    yield Case("Anthropic passed through: error", error, [nothing_known if BEFORE_1_110 else known])


def _without_price() -> Iterator[Case]:
    unpriced = {**NO_TOKENS, "costUSD": UNPRICED}
    yield Case("a transcription", transcription, [unpriced])
    yield Case("speech", posted("/v1/audio/speech", model="voice", voice="alloy", input=None), [unpriced])
    yield Case("an image", posted("/v1/images/generations", model="image", prompt=None), [unpriced])
    yield Case("a rerank", posted("/v1/rerank", model="rank", query=None, documents=["a"]), [unpriced])
    paid = posted("/paid-rerank", model="rank-3", query=None, documents=["a"])
    yield Case("a rerank passed through", paid, [unpriced])
    unknown = {**SUCCESS, **WHOLE, "model": "claude-next-9", "costUSD": UNPRICED}
    yield Case("a Claude that nobody knows", answered("next-claude"), [unknown])
    yield Case("the same by /v1/messages", answered("next-claude", path=MESSAGES), [unknown])


def _background() -> Iterator[Case]:
    once = [{**SUCCESS, **GPT, **WHOLE}]
    yield Case("a background response, polled and read again", in_background(reads=5, again=3), once)
    yield Case("a background response that nobody reads", left_alone, hidden=1)
    yield Case("a background response that nobody reads to its end", left_half_way, hidden=1)
    yield Case("a background response, cancelled", cancelled, hidden=1)
    yield Case("a background response, cancelled too late", cancelled_too_late, once)
    plain = [{**SUCCESS, **GPT, **WHOLE, "callType": "aresponses"}]
    yield Case("a response that is read again", kept_and_read_again(), plain)
    yield Case("a caller's background response", kept_and_read_again(background=True), plain)
    half_price = {"tokens_in": 3000, "tokens_out": 300, "costUSD": Decimal("0.000315")}
    yield Case("a batch", batch, [{**SUCCESS, **GPT, **half_price, "callType": "aretrieve_batch"}])


def _refused() -> Iterator[Case]:
    yield Case("a model that is not there", refused("no-model"))
    yield Case("a key that is not valid", unknown_key)
    yield Case("a guardrail that blocks", refused("gpt", "#blocked"))
    fee = {**FAILURE, "tokens_in": 0, "tokens_out": 0, "costUSD": Decimal("0.0015"), "errorCode": "400"}
    yield Case("a guardrail that blocks, for a fee", refused("gpt", "#blocked #fee"), [fee], fees=1)
    both = {**SUCCESS, **GPT, **WHOLE, "costUSD": Decimal("0.00186")}
    yield Case("a guardrail that lets pass, for a fee", answered("gpt", f"{ASKED} #fee"), [both])
    yield Case("lists, files and models", lists_files_and_models)


def _given_up() -> Iterator[Case]:
    """LiteLLM 1.110.2 waits for the first part of a chat, and notices only then that the client has gone."""
    no_part = {"status": "failure", "tokens_in": 0, "tokens_out": 0, "costUSD": UNPRICED, "errorCode": "499"}
    gpt, claude = {**no_part, **GPT}, {**no_part, **CLAUDE}
    chat_gpt = gpt if BEFORE_1_110 else {**STOPPED, **BEGUN_GPT}
    chat_claude = claude if BEFORE_1_110 else {**STOPPED, **BEGUN_CLAUDE}
    yield Case("chat on OpenAI, given up", given_up("gpt"), [chat_gpt])
    yield Case("chat on Anthropic, given up", given_up("claude"), [chat_claude])
    yield Case("/v1/messages on Anthropic, given up", given_up("claude", MESSAGES), [claude])
    yield Case("/v1/messages on OpenAI, given up", given_up("gpt", MESSAGES), [gpt])
    yield Case("/v1/responses, given up", given_up("gpt", RESPONSES), [gpt])


def _several_tries() -> Iterator[Case]:
    failure = {**FAILURE, **GPT, "tokens_in": 0, "tokens_out": 0, "costUSD": 0, "errorCode": "500"}
    fails = f"{ASKED} #fail=openai:always:500"
    whole = {**SUCCESS, **CLAUDE, **WHOLE}
    yield Case("a try that fails, then a fallback", answered("gpt-or-claude", fails), [failure, whole])
    # LiteLLM reports only the first of several failures, with the tokens of the other.
    broken_fallback = broken("gpt-or-claude", "cut", directions=fails)
    cut = {**FAILURE, **BEGUN_CLAUDE, "errorCode": "500"}
    yield Case("a try that fails, then a broken fallback", broken_fallback, [failure, cut])
    # Without a part LiteLLM counts no tokens, and names no provider. 1.110.2 waits for the first part before
    # the hook of streams comes to see anything.
    at_once = {**NOT_COUNTED, "errorCode": "500"}
    one, both = broken_at_once("gpt"), broken_at_once("gpt-or-claude")
    seen = 1 if BEFORE_1_110 else 0
    yield Case("a stream that breaks at once", one, [{**at_once, **GPT}][:seen], hidden=1 - seen)
    and_fallback = "a stream that breaks at once, and so does its fallback"
    yield Case(and_fallback, both, [{**at_once, **CLAUDE}][:seen], hidden=2 - seen)


def _plain() -> Iterator[Case]:
    yield Case("chat on OpenAI", answered("gpt", stream=True), [{**SUCCESS, **GPT, **WHOLE}])
    yield Case("chat on Anthropic", answered("claude", stream=True), [{**SUCCESS, **CLAUDE, **WHOLE}])
    yield Case(
        "/v1/messages", answered("claude", path=MESSAGES, stream=True), [{**SUCCESS, **CLAUDE, **WHOLE}]
    )
    priced = {**SUCCESS, **WHOLE, "costUSD": Decimal("0.0018")}
    yield Case("a model with a price of its own", answered("own"), [priced])
    yield Case("a model declared to be free", answered("free"), [{**SUCCESS, **WHOLE, "costUSD": 0}])
    moderation = posted("/v1/moderations", model="moderation", input=None)
    yield Case("a moderation, which is free", moderation, [{**NO_TOKENS, "costUSD": 0}])
    text = {**SUCCESS, "model": "gpt-3.5-turbo-instruct", **WHOLE, "costUSD": Decimal("0.0024")}
    yield Case("a text", posted("/v1/completions", model="instruct", prompt=None), [text])
    # LiteLLM 1.106.2 does not count the tokens of such a stream: unpriced.
    streamed = {**NO_TOKENS, "costUSD": UNPRICED} if BEFORE_1_110 else text
    stream = posted("/v1/completions", model="instruct", prompt=None, stream=True)
    yield Case("a text as a stream", stream, [streamed])


CASES: Sequence[Case] = (
    *_plain(),
    *_broken_streams(),
    *_broken_elsewhere(),
    Case("chat on OpenAI, stopped", stopped("gpt"), [{**STOPPED, **BEGUN_GPT}]),
    Case("chat on Anthropic, stopped", stopped("claude"), [{**STOPPED, **BEGUN_CLAUDE}]),
    Case("/v1/messages, stopped", stopped("claude", MESSAGES), [{**STOPPED, **BEGUN_CLAUDE}]),
    *_given_up(),
    *_several_tries(),
    *_background(),
    *_without_price(),
    *_refused(),
    Case(
        "a tool loop",
        answered("own", "#in=1000 #out=100 #tools=2", tools=LOOKUPS),
        [{**LOOP, **SUCCESS, "costUSD": Decimal("0.0012") * ROUNDS}, TOOL, TOOL],
        hidden=1,
    ),
    Case("a coding agent", agent(SESSION, owner=True), [{**SUCCESS, **CLAUDE, **WHOLE}]),
    Case("an older coding agent", agent(OLDER_SESSION, owner=True), [{**SUCCESS, **CLAUDE, **WHOLE}]),
    Case(
        "a coding agent with nobody's key",
        agent(SESSION, owner=False),
        [{**SUCCESS, **CLAUDE, **WHOLE, "userId": "unknown"}],
    ),
)
