"""Crash tests: a real LiteLLM proxy under load is killed again and again, and no event may be missing."""
