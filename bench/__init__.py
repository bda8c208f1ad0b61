"""Measurements: each module with ``figures()`` is a group; docs/benchmarks.md says how to read them."""
