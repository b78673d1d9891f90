"""Crashes for real: a LiteLLM proxy under load is killed again and again, and nothing may be missing."""
