"""What the callback costs a real LiteLLM proxy, and what it delivers. `python -m benchmarks.callback`."""
