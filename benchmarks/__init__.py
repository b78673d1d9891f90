"""Benchmarks. They print ratios within one run, and none of them is a test."""
