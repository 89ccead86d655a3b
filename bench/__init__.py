"""Benchmarks, each a module that prints ratios against a baseline of the same run: ``python -m bench.latency``."""
