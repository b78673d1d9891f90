"""A real LibreChat and a real LiteLLM: each call of a provider is in the ledger once, under its user.

`make librechat` needs a running LibreChat (docs/librechat.md).
"""
