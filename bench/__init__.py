"""Benchmarks: ``python -m bench.latency``, ``bench.stream``, ``bench.fresh``. Each prints ratios against a baseline of the same run."""
