"""Fake AI providers: OpenAI, Anthropic, Groq and Ollama behind one loopback port, each in its own protocol.

`python -m local.fake_providers --port 9100`, then point a client at it (`environment` tells LiteLLM how).
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
    """The variables that send LiteLLM's four providers to the fake one, with keys that it accepts."""
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
    """Serve in a process of its own; yields the address, which answers a moment later."""
    with running_process([sys.executable, "-m", "local.fake_providers", f"--port={port}"], os.environ, log):
        yield f"http://127.0.0.1:{port}"
