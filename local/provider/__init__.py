"""Fake AI providers: OpenAI, Anthropic, Groq and Ollama behind one loopback port, each in its own protocol.

`python -m local.provider --port 9100`, then point a client at it (`environment` tells LiteLLM how).
"""

from __future__ import annotations

from local.provider.server import ProviderServer

__all__ = ["ProviderServer", "environment"]


def environment(url: str) -> dict[str, str]:
    """The variables that send LiteLLM's four providers to the fake one at `url`, and keys that it accepts."""
    return {
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_KEY": "fake-openai-key",
        "ANTHROPIC_API_BASE": url,
        "ANTHROPIC_API_KEY": "fake-anthropic-key",
        "GROQ_API_BASE": f"{url}/openai/v1",
        "GROQ_API_KEY": "fake-groq-key",
        "OLLAMA_API_BASE": url,
    }
