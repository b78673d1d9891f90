"""Check your keys: ask a running LiteLLM proxy for one small response from each provider.

    set -a; . deploy/.env; set +a
    python3 deploy/check.py            # or: docker compose exec litellm python /impact/check.py

Needs LITELLM_MASTER_KEY, and LITELLM_URL if the proxy is not at http://localhost:4000. With
IMPACT_SERVICE_URL and IMPACT_SERVICE_TOKEN it also checks the Impact Service's token. It consumes a few
tokens of the user `check-keys`. The exit code is 1 if anything does not work.
"""
# ruff: noqa: S310, T201

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from typing import Any

LITELLM = os.environ.get("LITELLM_URL", "http://localhost:4000").rstrip("/")
SECONDS = 60


def main() -> int:
    """Print a line for each check. Return the exit code: 0 if all passed, else 1."""
    try:
        models = one_of_each_provider()
    except Problem as problem:
        report("LiteLLM", LITELLM, problem)
        return 1
    passed = [
        run_check(provider, f"with {model}", partial(complete, model)) for provider, model in models.items()
    ]
    if os.environ.get("IMPACT_SERVICE_URL"):
        passed.append(run_check("Impact Service", "with its token", check_token))
    return 0 if all(passed) else 1


def one_of_each_provider() -> dict[str, str]:
    """The first chat model of each provider that the proxy is configured for."""
    status, response = call(f"{LITELLM}/model/info", os.environ.get("LITELLM_MASTER_KEY", ""))
    if status != 200:
        raise Problem(f"refuses LITELLM_MASTER_KEY (HTTP {status}): is it what the proxy was started with?")
    models: dict[str, str] = {}
    for model in response["data"]:
        if model["model_info"].get("mode") == "chat":
            models.setdefault(model["litellm_params"]["model"].split("/")[0], model["model_name"])
    return models


def complete(model: str) -> None:
    """Ask a model for a few words, without retries and fallbacks: they would hide the error."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "Say hi."}],
        "max_tokens": 16,
        "user": "check-keys",
        "num_retries": 0,
        "disable_fallbacks": True,
    }
    status, response = call(f"{LITELLM}/v1/chat/completions", os.environ["LITELLM_MASTER_KEY"], body)
    if status != 200:
        raise Problem(explain(status, response.get("error", {}).get("message", ""), model))


def explain(status: int, message: str, model: str) -> str:
    """Explain LiteLLM's error to the operator, followed by its own first line."""
    first = message.splitlines()[0] if message else "no reason given"
    if "Missing" in message:
        return f"has no key: set it and start the proxy again ({first})"
    if status in (401, 403):
        return f"refuses the key ({first})"
    if status == 429:
        return f"says that a limit is reached, of requests or of money ({first})"
    if "Cannot connect" in message or "Connection error" in message:
        return f"does not answer at its address: is it up? ({first})"
    if status == 404:
        return f"does not know {model}, or not for this key ({first})"
    return f"failed with HTTP {status} ({first})"


def check_token() -> None:
    """Send the service an empty list: with a valid token the response is 422, and nothing is stored."""
    url, token = os.environ["IMPACT_SERVICE_URL"], os.environ.get("IMPACT_SERVICE_TOKEN", "")
    status, _ = call(url, token, [])
    if status in (401, 403):
        raise Problem("refuses IMPACT_SERVICE_TOKEN: is it an ingest token, and its SHA-256 in the stack?")
    if status != 422:
        raise Problem(f"answers with HTTP {status} at {url}: is that the address?")


class Problem(Exception):
    """A check failed. The text says why."""


def call(url: str, key: str, body: object = None) -> tuple[int, Any]:
    """GET, or POST of JSON. Return the status and the JSON of the response."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    try:
        request = urllib.request.Request(url, data, headers)
        with urllib.request.urlopen(request, timeout=SECONDS) as response:  # nosec B310  # the operator's own URL
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, as_json(error.read())
    except (OSError, ValueError) as error:
        raise Problem(f"does not answer at {url} ({error})") from None


def as_json(raw: bytes) -> dict[str, Any]:
    try:
        content = json.loads(raw)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def run_check(name: str, how: str, check: Callable[[], None]) -> bool:
    try:
        check()
    except Problem as problem:
        report(name, how, problem)
        return False
    report(name, how)
    return True


def report(name: str, how: str, problem: Problem | None = None) -> None:
    print(f"{'NO ' if problem else 'ok '} {name}: {problem or f'works {how}'}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
