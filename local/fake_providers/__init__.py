"""Fake AI providers: OpenAI, Anthropic, Groq and Ollama on one loopback port, each with its own protocol.

`python -m local.fake_providers --port 9100` runs them. A prompt says how they respond
(`prompt_directives.py`). `routes.py` has the table of routes. The journal (`GET /journal`) lists all
requests. What a request costs is not here: the expected cost is in `local/demo/expected_cost.py`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.fake_providers.server import ProviderServer
from local.process import running_process

__all__ = ["ProviderServer", "environment", "running_provider"]


def environment(url: str) -> dict[str, str]:
    """Environment variables that direct LiteLLM's four providers here, with keys that are accepted."""
    return {
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_KEY": "fake-openai-key",
        "ANTHROPIC_API_BASE": url,
        "ANTHROPIC_API_KEY": "fake-anthropic-key",
        "GROQ_API_BASE": f"{url}/openai/v1",
        "GROQ_API_KEY": "fake-groq-key",
        "OLLAMA_API_BASE": url,
    }


@contextmanager
def running_provider(port: int, log: Path) -> Iterator[str]:
    """Serve in a process of its own; yields the URL, which responds a moment later."""
    with running_process([sys.executable, "-m", "local.fake_providers", f"--port={port}"], os.environ, log):
        yield f"http://127.0.0.1:{port}"
