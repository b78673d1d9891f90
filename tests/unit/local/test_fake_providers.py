"""The fake providers: each one's protocol, the directives in prompts, and the journal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPConnection, IncompleteRead
from typing import Any

import pytest

from local.fake_providers import ProviderServer
from local.fake_providers import server as provider_server
from local.fake_providers.prompt_directives import Failure, Usage, parse_directives
from local.http_server import running_server
from local.waiting import wait_until

OPENAI = "/v1/chat/completions"
GROQ = "/openai/v1/chat/completions"
ANTHROPIC = "/v1/messages"


@pytest.fixture(scope="module")
def running() -> Iterator[ProviderServer]:
    with running_server(ProviderServer()) as server:
        yield server


@pytest.fixture
def server(running: ProviderServer) -> ProviderServer:
    running.journal.clear()
    return running


def post(server: ProviderServer, path: str, body: dict[str, Any], key: str = "k") -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", server.server_address[1], timeout=5)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection.request("POST", path, json.dumps(body), headers)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, text


def chat(server: ProviderServer, path: str, prompt: str, **more: Any) -> tuple[int, str]:
    return post(server, path, {"model": "m", "messages": [{"role": "user", "content": prompt}], **more})


def sse(text: str) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def test_directives_set_token_counts_and_failures() -> None:
    directives = parse_directives(
        "Hi #call=7 #user=alice #in=9 #out=8 #cached=5 #reasoning=2 #fail=groq:2:429"
    )
    assert (directives.call, directives.user) == ("7", "alice")
    assert directives.usage == Usage(9, 8, tokens_cached=5, tokens_reasoning=2)
    assert directives.failure == Failure("groq", 2, 429)
    assert [directives.status("groq", attempt) for attempt in (1, 2, 3)] == [429, 429, 200]
    assert directives.status("openai", 1) == 200
    assert parse_directives("#fail=openai:always:500").status("openai", 99) == 500


def test_other_token_counts_vary_with_the_text_and_are_the_same_every_time() -> None:
    assert parse_directives("one").usage == parse_directives("one").usage != parse_directives("two").usage


@pytest.mark.parametrize("path", [OPENAI, GROQ])
def test_openai_and_groq_count_cached_tokens_in_the_prompt(server: ProviderServer, path: str) -> None:
    status, text = chat(server, path, "#in=100 #out=20 #cached=64 #reasoning=8")
    usage = json.loads(text)["usage"]
    assert status == 200
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (100, 20, 120)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 64
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 8


@pytest.mark.parametrize("asked", [True, False])
def test_openai_streams_the_usage_only_where_it_is_asked_for(server: ProviderServer, asked: bool) -> None:
    _, text = chat(server, OPENAI, "#in=100", stream=True, stream_options={"include_usage": asked})
    assert text.endswith("data: [DONE]\n\n")
    assert [chunk["usage"]["prompt_tokens"] for chunk in sse(text) if "usage" in chunk] == [100] * asked


def test_groq_streams_the_usage_unasked(server: ProviderServer) -> None:
    _, text = chat(server, GROQ, "#in=100", stream=True)
    assert [chunk["x_groq"]["usage"]["prompt_tokens"] for chunk in sse(text) if "x_groq" in chunk] == [100]


@pytest.mark.parametrize("stream", [False, True])
def test_anthropic_leaves_its_cache_out_of_input_tokens(server: ProviderServer, stream: bool) -> None:
    _, text = chat(server, ANTHROPIC, "#in=1000 #out=50 #cached=600 #cache_write=300", stream=stream)
    message = sse(text)[0]["message"] if stream else json.loads(text)
    end = sse(text)[-2] if stream else message
    usage = message["usage"]
    assert usage["input_tokens"] == 100
    assert (usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]) == (600, 300)
    assert end["usage"]["output_tokens"] == 50


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
def test_ollama_streams_lines_unless_told_not_to(server: ProviderServer, path: str) -> None:
    body = {"model": "llama3.1", "prompt": "#in=7 #out=5", "messages": [{"content": "#in=7 #out=5"}]}
    _, streamed = post(server, path, body)
    _, whole = post(server, path, {**body, "stream": False})
    lines = [json.loads(line) for line in streamed.splitlines()]
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    for end in (lines[-1], json.loads(whole)):
        assert (end["prompt_eval_count"], end["eval_count"]) == (7, 5)


def test_embeddings_and_responses(server: ProviderServer) -> None:
    _, text = post(server, "/v1/embeddings", {"model": "e", "input": ["#in=33", "two"]})
    assert json.loads(text)["usage"] == {"prompt_tokens": 33, "total_tokens": 33}
    assert len(json.loads(text)["data"]) == 2
    _, text = post(server, "/v1/responses", {"model": "r", "input": "#in=33 #out=3", "stream": True})
    assert sse(text)[-1]["response"]["usage"]["total_tokens"] == 36


def test_a_scripted_failure_passes_after_its_tries(server: ProviderServer) -> None:
    tries = [chat(server, ANTHROPIC, "#call=f #fail=anthropic:2:529") for _ in range(3)]
    assert [status for status, _ in tries] == [529, 529, 200]
    assert json.loads(tries[0][1])["error"]["type"] == "overloaded_error"
    assert chat(server, OPENAI, "#call=f #fail=anthropic:2:529")[0] == 200


def test_a_wrong_key_gets_a_401_and_is_not_served(server: ProviderServer) -> None:
    status, text = post(server, OPENAI, {"model": "m", "messages": []}, key="wrong")
    assert (status, json.loads(text)["error"]["code"]) == (401, "invalid_api_key")
    assert server.journal.entries == []


def test_the_journal_has_the_usage_that_each_provider_reported(server: ProviderServer) -> None:
    prompt = "#call=j #user=alice #in=100 #out=20 #cached=64 #cache_write=8 #reasoning=4"
    for path in (OPENAI, ANTHROPIC):
        chat(server, path, prompt, stream=True)
    post(server, "/v1/embeddings", {"model": "e", "input": prompt})
    chat(server, GROQ, "#call=k #fail=groq:1:500")
    connection = HTTPConnection("127.0.0.1", server.server_address[1], timeout=5)
    connection.request("GET", "/journal")
    openai, anthropic, embedding, failed = json.loads(connection.getresponse().read())
    connection.close()
    told = {"call": "j", "user": "alice", "model": "m", "attempt": 1, "status": 200, "streamed": True}
    counted = {"tokens_in": 100, "tokens_out": 20, "tokens_cached": 64}
    assert openai.items() >= {**told, **counted, "provider": "openai", "path": OPENAI}.items()
    assert (openai["tokens_cache_write"], openai["tokens_reasoning"]) == (0, 4)
    assert anthropic.items() >= {**told, **counted, "provider": "anthropic", "path": ANTHROPIC}.items()
    assert (anthropic["tokens_cache_write"], anthropic["tokens_reasoning"]) == (8, 0)
    assert (embedding["tokens_in"], embedding["tokens_out"], embedding["streamed"]) == (100, 0, False)
    assert (failed["provider"], failed["status"], failed["tokens_in"]) == ("groq", 500, 0)


def begin(server: ProviderServer, prompt: str) -> HTTPConnection:
    """Ask for a stream without waiting for it."""
    connection = HTTPConnection("127.0.0.1", server.server_address[1], timeout=5)
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": prompt}]}
    connection.request("POST", OPENAI, json.dumps(body), {"Authorization": "Bearer k"})
    return connection


def release(server: ProviderServer, what: str) -> None:
    connection = HTTPConnection("127.0.0.1", server.server_address[1], timeout=5)
    connection.request("DELETE", f"/held/{what}")
    assert connection.getresponse().read() == b"[]"
    connection.close()


def wait_until_held(server: ProviderServer, what: str) -> None:
    wait_until(lambda: [entry["held"] for entry in server.journal.entries] == [what], f"a held {what}")


def assert_silent(connection: HTTPConnection) -> None:
    connection.sock.settimeout(0.2)
    with pytest.raises(TimeoutError):
        connection.sock.recv(1)
    connection.sock.settimeout(5)


@pytest.mark.parametrize("parts", [0, 1, 3])
def test_a_stream_is_held_until_it_is_released(server: ProviderServer, parts: int) -> None:
    connection = begin(server, f"#call=h #hold={parts}")
    response = connection.getresponse()
    assert response.status == 200
    for _ in range(parts):
        assert response.readline().startswith(b"data: ")
        assert response.readline() == b"\n"
    wait_until_held(server, "parts")
    release(server, "h")
    assert response.read().endswith(b"data: [DONE]\n\n")
    assert server.journal.entries[0]["held"] is None
    assert chat(server, OPENAI, f"#call=h #hold={parts}", stream=True)[0] == 200  # held no more
    connection.close()


def test_a_status_is_released_by_itself_and_of_one_call(server: ProviderServer) -> None:
    connection = begin(server, "#call=h #hold=status,0")
    wait_until_held(server, "status")
    release(server, "another")
    assert_silent(connection)
    release(server, "h/status")
    response = connection.getresponse()
    wait_until_held(server, "parts")
    release(server, "h")
    assert response.read().endswith(b"data: [DONE]\n\n")
    connection.close()


def test_a_client_that_disconnects_from_a_held_response_does_no_harm(
    server: ProviderServer, capfd: pytest.CaptureFixture[str]
) -> None:
    connection = begin(server, "#call=h #hold=0")
    connection.getresponse().close()
    connection.close()
    wait_until_held(server, "parts")
    release(server, "h")
    wait_until(lambda: server.journal.entries[0]["held"] is None, "the release")
    assert chat(server, OPENAI, "#call=after")[0] == 200
    assert "Traceback" not in capfd.readouterr().err


def ask(
    server: ProviderServer, method: str, path: str, body: bytes = b"", kind: str = ""
) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", server.server_address[1], timeout=5)
    connection.request(method, path, body, {"Content-Type": kind} if kind else {})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, content


@pytest.mark.parametrize("path", [OPENAI, ANTHROPIC])
def test_a_stream_breaks_with_an_error_after_its_parts(server: ProviderServer, path: str) -> None:
    *parts, error = sse(chat(server, path, "#break=error:3", stream=True)[1])
    assert len(parts) == 3
    assert error["error"]["message"] == "The prompt asks for a broken stream."


def test_a_provider_of_ones_own_can_change_what_is_streamed() -> None:
    """Other programs can extend the fake providers by these two methods."""

    class Handler(provider_server.Handler):
        def do_GET(self) -> None:
            self._json(200, {"mine": True})

        def _stream(self, parts: Iterator[bytes], content_type: str) -> None:
            super()._stream((part.replace(b"forest", b"meadow") for part in parts), content_type)

    own = ProviderServer()
    own.RequestHandlerClass = Handler
    with running_server(own):
        assert "meadow" in chat(own, OPENAI, "#out=9", stream=True)[1]
        assert json.loads(ask(own, "GET", "/mine")[1]) == {"mine": True}


def test_a_stream_is_cut_off_once_its_client_has_the_parts(server: ProviderServer) -> None:
    connection = begin(server, "#call=c #break=cut:2 #hold=2")
    response = connection.getresponse()
    while b"forest" not in response.readline():
        pass
    release(server, "c")
    with pytest.raises(IncompleteRead):
        response.read()
    connection.close()
    assert [entry["status"] for entry in server.journal.entries] == [200]


def test_a_stalled_stream_sends_no_more_parts(server: ProviderServer) -> None:
    connection = begin(server, "#call=s #break=stall:2")
    response = connection.getresponse()
    for _ in range(4):
        response.readline()
    assert_silent(connection)
    response.close()
    connection.close()


def test_a_background_response_is_complete_after_its_reads(server: ProviderServer) -> None:
    body = {"model": "r", "input": "#in=33 #out=3 #reads=2", "background": True}
    made = json.loads(post(server, "/v1/responses", body)[1])
    assert (made["status"], made["usage"]) == ("queued", None)
    reads = [json.loads(ask(server, "GET", f"/v1/responses/{made['id']}")[1]) for _ in range(4)]
    assert [read["status"] for read in reads] == ["in_progress"] * 2 + ["completed"] * 2
    assert [(read["usage"] or {}).get("total_tokens") for read in reads] == [None, None, 36, 36]
    assert len(server.journal.entries) == 1


def test_a_response_can_be_cancelled_until_it_is_complete(server: ProviderServer) -> None:
    for reads, status in ((1, "cancelled"), (0, "completed")):
        body = {"model": "r", "input": f"#reads={reads}", "background": True}
        path = f"/v1/responses/{json.loads(post(server, '/v1/responses', body)[1])['id']}"
        ask(server, "GET", path)
        assert json.loads(ask(server, "POST", f"{path}/cancel")[1])["status"] == status
        assert json.loads(ask(server, "GET", path)[1])["status"] == status


def test_a_batch_from_the_upload_to_its_output(server: ProviderServer) -> None:
    asked = {"model": "m", "messages": [{"role": "user", "content": "#call=b #in=10 #out=5 #reads=1"}]}
    line = json.dumps({"custom_id": "1", "method": "POST", "url": OPENAI, "body": asked})
    form = (
        '--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        '--x\r\nContent-Disposition: form-data; name="file"; filename="f.jsonl"\r\n\r\n'
        f"{line}\n{line}\r\n--x--\r\n"
    )
    file = json.loads(ask(server, "POST", "/v1/files", form.encode(), "multipart/form-data; boundary=x")[1])
    made = json.loads(post(server, "/v1/batches", {"input_file_id": file["id"], "endpoint": OPENAI})[1])
    path = f"/v1/batches/{made['id']}"
    states = [made["status"], *(json.loads(ask(server, "GET", path)[1])["status"] for _ in range(2))]
    assert states == ["validating", "in_progress", "completed"]
    output = json.loads(ask(server, "GET", path)[1])["output_file_id"]
    answers = ask(server, "GET", f"/v1/files/{output}/content")[1].splitlines()
    assert [json.loads(one)["response"]["body"]["usage"]["total_tokens"] for one in answers] == [15, 15]
    [entry] = server.journal.entries
    assert (entry["call"], entry["path"], entry["tokens_in"], entry["tokens_out"]) == (
        "b",
        "/v1/batches",
        20,
        10,
    )
    assert ask(server, "DELETE", f"/v1/files/{output}")[0] == 200
    assert ask(server, "GET", f"/v1/files/{output}")[0] == 404


def test_a_model_calls_the_tool_that_it_is_offered_and_the_tool_costs_each_time(
    server: ProviderServer,
) -> None:
    tools = [{"type": "function", "function": {"name": "lookup", "parameters": {}}}]
    prompt = "#call=t #user=alice #tools=2"
    message = json.loads(chat(server, OPENAI, prompt, tools=tools)[1])["choices"][0]["message"]
    calls = [call["function"] for call in message["tool_calls"]]
    assert [call["name"] for call in calls] == ["lookup"] * 2
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "lookup"}}
    call["params"] |= {"arguments": json.loads(calls[0]["arguments"])}  # type: ignore[operator]
    assert json.loads(post(server, "/mcp", call)[1])["result"]["isError"] is False
    assert post(server, "/mcp", {"jsonrpc": "2.0", "method": "notifications/initialized"})[0] == 202
    told = [{"role": "user", "content": prompt}, message, {"role": "tool", "content": "It is green."}]
    _, text = post(server, OPENAI, {"model": "m", "messages": told, "tools": tools})
    assert json.loads(text)["choices"][0]["finish_reason"] == "stop"
    assert [(entry["call"], entry["provider"]) for entry in server.journal.entries] == [
        ("t", "openai"),
        ("t", "mcp"),
        ("t", "openai"),
    ]


@pytest.mark.parametrize("streamed", [True, False])
def test_a_model_calls_the_tool_that_the_prompt_names_and_says_what_it_answers(
    server: ProviderServer, streamed: bool
) -> None:
    tools = [{"type": "function", "function": {"name": f"{name}_mcp_x"}} for name in ("a", "my_usage")]
    question = {"role": "user", "content": "What did I use? #tool=my_usage"}

    def said(*messages: dict[str, Any]) -> dict[str, Any]:
        body = {"model": "m", "messages": [*messages], "tools": tools, "stream": streamed}
        text = post(server, OPENAI, body)[1]
        if not streamed:
            return dict(json.loads(text)["choices"][0]["message"])
        deltas = [part["choices"][0]["delta"] for part in sse(text)]
        words = "".join(delta.get("content") or "" for delta in deltas)
        return deltas[0] if "tool_calls" in deltas[0] else {"content": words}

    asked = said(question)
    [call] = asked["tool_calls"]
    assert call["function"] == {"name": "my_usage_mcp_x", "arguments": "{}"}
    answered = {"role": "tool", "tool_call_id": call["id"], "content": "1 EUR.\n2 requests."}
    assert said(question, asked, answered)["content"] == "1 EUR.\n2 requests."
    assert said(question, asked, answered, {"role": "assistant", "content": "x"}, question)["tool_calls"]
    assert said({"role": "user", "content": "#tool=none"})["content"].startswith("The forest")
