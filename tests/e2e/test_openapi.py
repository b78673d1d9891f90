"""schemathesis: the deployed stack responds as docs/openapi.json says, to valid and invalid requests."""

import os
import re
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime

import pytest

from impact_cli.person_links import links_for
from local import PROJECT
from local.stack import Stack
from tests.e2e.api import Api, an_event, count, day, store_of
from tests.fuzz import ROUNDS

EXAMPLES = 15
"""Examples of each operation and kind, in addition to those from the schema itself (some 600)."""


@pytest.mark.long
def test_it_answers_as_described(stack: Stack, api: Api, counted: Counter[str]) -> None:
    api.post([an_event("alice", eventId="described", costUSD=0.5), an_event("bob", costEUR=None)])
    count(stack, day())
    [link] = links_for(store_of(stack).links, stack.api_url, ["alice"], 1, datetime.now(UTC))
    tokens = {"IMPACT_PERSON_TOKEN": str(link["link"]).partition("#")[2]}
    command = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "--config-file",
        "tests/fuzz/schemathesis.toml",
        "run",
    ]
    # Not stateful: there is only one link, and test_stack.py tests it.
    command += [
        "docs/openapi.json",
        "--phases=examples,coverage,fuzzing",
        f"--max-examples={EXAMPLES * ROUNDS}",
    ]
    ran = subprocess.run(
        [*command, f"--seed={ROUNDS}"],
        cwd=PROJECT,
        env=os.environ | stack.environment | tokens | {"IMPACT_API": stack.api_url, "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    generated = re.search(r"(\d+) generated, \d+ passed", ran.stdout)
    assert generated, ran.stdout
    counted["requests of schemathesis"] += int(generated[1])
    assert counted["requests of schemathesis"] > 500
