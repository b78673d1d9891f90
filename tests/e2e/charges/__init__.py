"""Cases of charged requests, with LiteLLM's configuration, a guardrail, and a client of the proxy."""
