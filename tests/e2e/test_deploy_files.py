"""The files in `deploy/`: likely mistakes in them, and the check of the keys, on a real proxy."""

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from local import PROJECT
from local.fake_providers import environment, running_provider
from local.litellm_proxy import CALLBACK, CONFIG, ENVIRONMENT, Proxy, running_proxy
from local.stack import Stack, free_port
from local.waiting import PATIENCE_SECONDS, wait_until
from mcp_server.caller import USER_HEADER
from request_events.capture import CONVERSATION_HEADER

DEPLOY = PROJECT / "deploy"


def load(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text())


def strings(node: object) -> list[str]:
    if isinstance(node, dict):
        return [text for pair in node.items() for part in pair for text in strings(part)]
    if isinstance(node, list):
        return [text for part in node for text in strings(part)]
    return [node] if isinstance(node, str) else []


def variables(name: str) -> set[str]:
    """Names of variables in an example of an .env file, including commented ones."""
    return set(re.findall(r"^#?([A-Z_]+)=", (DEPLOY / name).read_text(), re.MULTILINE))


@pytest.fixture(scope="module")
def litellm() -> Any:
    return load("litellm_config.yaml")


@pytest.fixture(scope="module")
def librechat() -> Any:
    [endpoint] = load("librechat.yaml")["endpoints"]["custom"]
    return endpoint


@pytest.fixture(scope="module")
def compose() -> Any:
    return load("docker-compose.override.yml")


def test_the_callback_is_named_and_cannot_be_switched_off(litellm: Any) -> None:
    [callback] = litellm["litellm_settings"]["callbacks"]
    module, instance = callback.split(".")
    assert f"\n{instance} = " in (CALLBACK / f"{module}.py").read_text()
    assert litellm["litellm_settings"]["global_disable_no_log_param"] is True


def test_the_master_key_is_where_litellm_looks_for_it(litellm: Any) -> None:
    assert litellm["general_settings"]["master_key"] == "os.environ/LITELLM_MASTER_KEY"
    assert "master_key" not in litellm["litellm_settings"]


def test_secrets_come_from_the_environment_and_each_is_explained(litellm: Any) -> None:
    texts = strings(litellm)
    named = {text.removeprefix("os.environ/") for text in texts if text.startswith("os.environ/")}
    assert not [text for text in texts if text.startswith(("env/", "sk-"))]
    assert all(model["litellm_params"].keys() <= {"model", "api_key"} for model in litellm["model_list"])
    assert {"LITELLM_MASTER_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GROQ_API_KEY"} == named
    assert named < variables(".env.example")


def test_there_are_four_providers_and_ollama_by_the_name_that_has_a_price(litellm: Any) -> None:
    models = [model["litellm_params"]["model"] for model in litellm["model_list"]]
    # `ollama_chat/` works too, but LiteLLM has no price for it: all its requests would be unpriced.
    assert {model.split("/")[0] for model in models} == {"openai", "anthropic", "groq", "ollama"}


def test_a_fallback_leads_to_a_model_that_is_there(litellm: Any) -> None:
    names = {model["model_name"] for model in litellm["model_list"]}
    for fallback in litellm["router_settings"]["fallbacks"]:
        for model, others in fallback.items():
            assert {model, *others} <= names


def test_the_user_travels_in_a_header_that_litellm_keeps_to_itself(litellm: Any, librechat: Any) -> None:
    assert "user_header_name" not in litellm["general_settings"]
    [mapping] = litellm["general_settings"]["user_header_mappings"]
    assert mapping["litellm_user_role"] == "customer"
    assert librechat["headers"] == {
        mapping["header_name"]: "{{LIBRECHAT_USER_ID}}",
        CONVERSATION_HEADER: "{{LIBRECHAT_BODY_CONVERSATIONID}}",
    }


def test_the_block_of_the_mcp_tools_is_there_to_copy() -> None:
    """In comments: without a token and a URL, LibreChat would not start with it."""
    text = (DEPLOY / "librechat.yaml").read_text()
    assert "mcpServers" not in yaml.safe_load(text)
    block = yaml.safe_load(re.sub(r"(?m)^#(?=mcp|  )", "", text))
    impact = block["mcpServers"]["impact"]
    assert impact["type"] == "streamable-http"
    assert impact["url"].endswith("/mcp")
    assert impact["headers"] == {
        "Authorization": "Bearer ${IMPACT_MCP_TOKEN}",
        USER_HEADER: "{{LIBRECHAT_USER_ID}}",
    }
    assert impact["requiresOAuth"] is False
    assert block["endpoints"] == yaml.safe_load(text)["endpoints"]


def test_librechat_reaches_litellm_by_its_service_name(librechat: Any, compose: Any) -> None:
    assert "litellm" in compose["services"]
    assert librechat["baseURL"] == "http://litellm:4000/v1"
    assert librechat["apiKey"] == "${LITELLM_KEY}"
    assert "LITELLM_KEY" in variables("librechat.env.example")


def test_librechat_asks_for_models_that_litellm_has(litellm: Any, librechat: Any) -> None:
    """Those for chats, and no other. `current_model` is the one of the conversation."""
    names = {model["model_name"] for model in litellm["model_list"]}
    assert set(librechat["models"]["default"]) == names - {"text-embedding-3-small", "groq/*"}
    assert librechat["models"]["fetch"] is False
    assert librechat["titleModel"] == "current_model"


def test_nothing_in_add_params_waits_to_be_filled_in(librechat: Any) -> None:
    assert librechat["addParams"] == {"streamUsage": True, "maxRetries": 0}


def test_the_users_id_goes_to_the_proxy_and_no_further(librechat: Any) -> None:
    assert librechat["dropParams"] == ["user"]


def test_librechat_goes_through_the_proxy_only() -> None:
    lines = (DEPLOY / "librechat.env.example").read_text().splitlines()
    assert "ENDPOINTS=custom,agents" in lines
    assert "NO_PROXY=localhost,127.0.0.1,::1,litellm" in lines


def test_compose_mounts_what_there_is(compose: Any) -> None:
    api, proxy = compose["services"]["api"], compose["services"]["litellm"]
    assert [volume["target"] for volume in api["volumes"]] == ["/app/librechat.yaml"]
    for volume in proxy["volumes"]:
        source = volume.split(":")[0]
        assert source in compose["volumes"] or source.startswith("${IMPACT_SERVICE_DIR}")
        if source not in compose["volumes"]:
            assert Path(source.replace("${IMPACT_SERVICE_DIR}", str(PROJECT))).exists()
    assert proxy["environment"]["IMPACT_OUTBOX"] in [volume.split(":")[1] for volume in proxy["volumes"]]
    assert (PROJECT / "layers" / "callback" / "pyproject.toml").exists()


def test_compose_runs_the_version_of_litellm_that_is_tested(compose: Any) -> None:
    pinned = re.search(r'"(litellm\[proxy\]==[^"]+)"', (PROJECT / "pyproject.toml").read_text())
    assert pinned
    assert pinned[1] in compose["services"]["litellm"]["build"]["dockerfile_inline"]


def test_the_variables_of_compose_are_explained(compose: Any) -> None:
    used = {name for text in strings(compose) for name in re.findall(r"\$\{([A-Z_]+)", text)}
    assert used <= variables("librechat.env.example")


def test_filled_in_keys_are_never_committed() -> None:
    assert ".env" in (DEPLOY / ".gitignore").read_text().splitlines()


def test_the_examples_hold_no_secret() -> None:
    for name in (".env.example", "librechat.env.example"):
        secret = re.search(r"^[A-Z_]*(KEY|TOKEN)=(.+)$", (DEPLOY / name).read_text(), re.MULTILINE)
        assert secret is None, secret


def check(**environ: str) -> tuple[int, str]:
    ran = subprocess.run(
        [sys.executable, str(DEPLOY / "check.py")], env=environ, capture_output=True, text=True, check=False
    )
    assert ran.stderr == ""
    return ran.returncode, ran.stdout


needs_litellm = pytest.mark.skipif(
    not (ENVIRONMENT / "bin" / "litellm").exists(), reason="LiteLLM is not installed (make proxy-env)"
)


@pytest.fixture(scope="module")
def outbox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The proxy's outbox. Events stay there, because there is no service."""
    return tmp_path_factory.mktemp("proxy") / "outbox"


@pytest.fixture(scope="module")
def proxy(outbox: Path) -> Iterator[Proxy]:
    """LiteLLM with our configuration and four providers: one works, two refuse the key, one is down."""
    folder = outbox.parent
    with running_provider(free_port(), folder / "provider.log") as provider_url:
        keys = environment(provider_url) | {
            "ANTHROPIC_API_KEY": "wrong",
            "GROQ_API_KEY": "",
            "OLLAMA_API_BASE": f"http://127.0.0.1:{free_port()}",
            "IMPACT_SERVICE_URL": f"http://127.0.0.1:{free_port()}",
            "IMPACT_OUTBOX": str(outbox),
        }
        with running_proxy(keys, folder / "proxy.log", CONFIG) as proxy:
            proxy.wait_until_ready()
            yield proxy


@pytest.mark.long
@needs_litellm
def test_check_tells_which_key_works(stack: Stack, proxy: Proxy) -> None:
    service = {"IMPACT_SERVICE_URL": f"{stack.api_url}/api/request-event"}
    asked = {"LITELLM_URL": proxy.url, "LITELLM_MASTER_KEY": proxy.key, **service}
    code, output = check(**asked, IMPACT_SERVICE_TOKEN="nobody's")
    openai, anthropic, groq, ollama, token = output.splitlines()
    assert code == 1
    assert openai == "ok  openai: works with gpt-4o-mini"
    assert anthropic.startswith("NO  anthropic: refuses the key")
    assert groq.startswith("NO  groq: refuses the key")
    assert ollama.startswith("NO  ollama: does not answer at its address")
    assert token.startswith("NO  Impact Service: refuses IMPACT_SERVICE_TOKEN")
    _, output = check(**asked, IMPACT_SERVICE_TOKEN=stack.ingest_token)
    assert output.splitlines()[-1] == "ok  Impact Service: works with its token"
    code, output = check(**asked | {"LITELLM_MASTER_KEY": "sk-nobody"})
    assert (code, output.count("\n")) == (1, 1)
    assert output.startswith("NO  LiteLLM: refuses LITELLM_MASTER_KEY")
    nowhere = asked | {"LITELLM_URL": f"http://127.0.0.1:{free_port()}"}
    assert check(**nowhere)[1].startswith("NO  LiteLLM: does not answer at")


FREE = {"input_cost_per_token": 0, "output_cost_per_token": 0}
ATTEMPTS: list[dict[str, Any]] = [
    {},
    {"no-log": True},
    FREE,
    {"model_info": FREE, "metadata": {"model_info": FREE}, "litellm_metadata": {"model_info": FREE}},
    {"mock_response": "free", "base_model": "gpt-3.5-turbo", "response_cost": 0, "cache_hit": True},
    {"standard_logging_object": {"response_cost": 0, "end_user": "bob"}, "litellm_call_id": "mine"},
    {"callbacks": [], "success_callback": [], "litellm_disabled_callbacks": ["litellm_callbacks"]},
    {
        "metadata": {
            "user_api_key_alias": "boss",
            "user_api_key_team_id": "other",
            "user_api_key_user_id": "bob",
        }
    },
    {"stream": True},
    {"stream": True, "stream_options": {"include_usage": False}},
    {"stream": True, "additional_drop_params": ["stream_options"]},
    {"stream": True, "additional_drop_params": ["stream_options.include_usage", "stream"]},
    {"stream": True, "extra_body": {"stream_options": {"include_usage": False}}},
    {"stream": True, "extra_body": {"stream_options": None}},
    {"extra_body": {"stream": True}},
    {"model": "gpt-4o", "extra_body": {"model": "gpt-4o-mini"}},
    {"custom_llm_provider": "ollama"},
    {"stream": True, "additional_drop_params": {"stream_options.include_usage": 1}},
    {"stream": True, "additional_drop_params": [".stream_options.include_usage"]},
]
"""Fields with which a caller could make a request free, unreported, or reported under another key."""
REFUSED: list[dict[str, Any]] = [
    {"model": "gpt-4o-mini,gpt-4o"},
    {"model": "gpt-4o-mini, gpt-4o", "stream": True},
    {"model": "gpt-4o-mini,gpt-4o", "fastest_response": True},
]
"""Fields with which LiteLLM would make two calls and report one."""


@pytest.mark.long
@needs_litellm
def test_a_caller_cannot_hide_what_a_request_cost(proxy: Proxy, outbox: Path) -> None:
    answers = [chat(proxy, attempt) for attempt in ATTEMPTS]
    assert answers.count(200) >= len(ATTEMPTS) - 1  # LiteLLM fails if prices are given
    wait_until(lambda: len(reported(outbox)) >= answers.count(200), "the events")
    events = reported(outbox)
    assert len(events) == answers.count(200)
    [(user, cost, key, team)] = {
        (event["userId"], event["costUSD"], event.get("keyAlias"), event.get("teamId")) for event in events
    }
    assert (user, key, team) == ("alice", None, None)
    assert cost > 0


REFUSED_FIRST = {"model": "claude-haiku-4-5", "stream": True}
"""Its key is refused here, so LiteLLM uses the caller's fallback."""


@pytest.mark.long
@needs_litellm
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"additional_drop_params": ["stream_options"]},
        {"extra_body": {"stream_options": {"include_usage": False}}},
        {"custom_llm_provider": "ollama"},
        {"stream_options": None},
    ],
)
def test_a_caller_cannot_hide_a_cost_in_the_body_of_a_fallback(
    proxy: Proxy, outbox: Path, body: dict[str, Any]
) -> None:
    def costs(group: str) -> list[float]:
        return [event["costUSD"] for event in reported(outbox) if event.get("modelGroup") == group]

    before = len(costs("gpt-4o"))
    assert chat(proxy, {"model": "gpt-4o"}) == 200
    assert chat(proxy, REFUSED_FIRST | {"fallbacks": [{"model": "gpt-4o", **body}]}) == 200
    wait_until(lambda: len(costs("gpt-4o")) == before + 2, "both events")
    assert len(set(costs("gpt-4o"))) == 1


@pytest.mark.long
@needs_litellm
def test_several_models_in_one_request_are_rejected_before_a_provider_is_asked(
    proxy: Proxy, outbox: Path
) -> None:
    assert [chat(proxy, attempt) for attempt in REFUSED] == [400] * len(REFUSED)
    before = len(reported(outbox))
    assert chat(proxy, {}) == 200
    wait_until(lambda: len(reported(outbox)) == before + 1, "the event of the honest request")


@pytest.mark.long
@needs_litellm
def test_a_response_is_made_while_its_caller_waits(proxy: Proxy, outbox: Path) -> None:
    """In the background, only a client that reads the response through the proxy would learn its cost."""
    asked = {"input": "What does a forest cost?", "background": True}
    answer = post(proxy, "/v1/responses", {"model": "gpt-4o", "user": "alice"} | asked)
    assert (answer["status"], answer["background"]) == ("completed", False)
    costs = [event["costUSD"] for event in until_reported(outbox, "aresponses")]
    assert len(costs) == 1
    assert costs[0] > 0


def chat(proxy: Proxy, attempt: dict[str, Any]) -> int:
    messages = [{"role": "user", "content": "What does a forest cost?"}]
    body = {"model": "gpt-4o", "user": "alice", "messages": messages} | attempt
    try:
        post(proxy, "/v1/chat/completions", body)
    except urllib.error.HTTPError as error:
        return error.code
    return 200


def post(proxy: Proxy, path: str, body: dict[str, Any]) -> Any:
    """The response to a request; None for a stream, which is read to its end."""
    headers = {
        "Authorization": f"Bearer {proxy.key}",
        "Content-Type": "application/json",
        "x-litellm-disable-callbacks": "litellm_callbacks.proxy_handler_instance,Aim2BalanceCallbackHandler",
    }
    request = urllib.request.Request(f"{proxy.url}{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
        content = response.read()
        return json.loads(content) if "json" in response.headers["Content-Type"] else None


def reported(outbox: Path) -> list[dict[str, Any]]:
    """The events of alice's requests in the outbox."""
    lines = [line for path in outbox.glob("*.jsonl") for line in path.read_text().splitlines()]
    return [event for event in map(json.loads, lines) if event["userId"] == "alice"]


def until_reported(outbox: Path, call_type: str) -> list[dict[str, Any]]:
    """The events of alice's requests of one kind, once there is one."""

    def of_the_kind() -> list[dict[str, Any]]:
        return [event for event in reported(outbox) if event["callType"] == call_type]

    wait_until(lambda: bool(of_the_kind()), f"an event of {call_type}")
    return of_the_kind()
