"""The table of the fake providers' routes: which path belongs to which provider, and how it responds.

Providers count tokens differently. OpenAI's and Groq's `prompt_tokens` include cached tokens, Anthropic's
`input_tokens` leaves them out, and Ollama reports no cached tokens.
"""

from __future__ import annotations

from local.fake_providers import anthropic_api, groq_api, ollama_api, openai_api
from local.fake_providers.endpoint import (
    NDJSON,
    Endpoint,
    input_field,
    last_message,
    prompt_field,
    query_field,
)

INPUT_AND_OUTPUT = frozenset({"tokens_in", "tokens_out"})
OPENAI = INPUT_AND_OUTPUT | {"tokens_cached", "tokens_reasoning"}
ANTHROPIC = INPUT_AND_OUTPUT | {"tokens_cached", "tokens_cache_write"}
NO_TOKENS: frozenset[str] = frozenset()

ENDPOINTS = {
    "/v1/chat/completions": Endpoint(
        "openai", last_message, openai_api.chat, openai_api.chat_stream, openai_api.error, OPENAI
    ),
    "/v1/responses": Endpoint(
        "openai", input_field, openai_api.response, openai_api.response_stream, openai_api.error, OPENAI
    ),
    "/v1/completions": Endpoint(
        "openai", prompt_field, openai_api.completion, openai_api.completion_stream, openai_api.error, OPENAI
    ),
    "/v1/embeddings": Endpoint(
        "openai", input_field, openai_api.embeddings, None, openai_api.error, frozenset({"tokens_in"})
    ),
    "/v1/audio/speech": Endpoint("openai", input_field, openai_api.speech, None, openai_api.error, NO_TOKENS),
    "/v1/audio/transcriptions": Endpoint(
        "openai", prompt_field, openai_api.transcription, None, openai_api.error, NO_TOKENS
    ),
    "/v1/images/generations": Endpoint(
        "openai", prompt_field, openai_api.image, None, openai_api.error, NO_TOKENS
    ),
    "/v1/moderations": Endpoint(
        "openai", input_field, openai_api.moderation, None, openai_api.error, NO_TOKENS
    ),
    "/v1/rerank": Endpoint("cohere", query_field, openai_api.rerank, None, openai_api.error, NO_TOKENS),
    "/v1/messages": Endpoint(
        "anthropic",
        last_message,
        anthropic_api.message,
        anthropic_api.stream,
        anthropic_api.error,
        ANTHROPIC,
    ),
    "/openai/v1/chat/completions": Endpoint(
        "groq", last_message, groq_api.chat, groq_api.chat_stream, openai_api.error, OPENAI
    ),
    "/api/chat": Endpoint(
        "ollama", last_message, *ollama_api.CHAT, ollama_api.error, INPUT_AND_OUTPUT, True, NDJSON
    ),
    "/api/generate": Endpoint(
        "ollama", prompt_field, *ollama_api.GENERATE, ollama_api.error, INPUT_AND_OUTPUT, True, NDJSON
    ),
}
