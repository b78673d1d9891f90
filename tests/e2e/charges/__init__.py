"""The real path of a charge: LiteLLM's configuration, its guardrail, and a client of the proxy."""
