"""Rate and memory of `impact export`. `python -m benchmarks.export`."""
