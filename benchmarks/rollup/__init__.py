"""Throughput of the rollup. `python -m benchmarks.rollup`."""
