"""How fast a rollup counts. `python -m benchmarks.rollup`."""
