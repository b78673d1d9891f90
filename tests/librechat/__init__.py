"""A real LibreChat in front of a real LiteLLM: each call of a provider is in the ledger once, under its user.

`make librechat` runs it against a LibreChat that is up (docs/librechat.md).
"""
