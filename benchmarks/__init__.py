"""Benchmarks: `python -m benchmarks.NAME`. They are not tests, because the figures depend on the machine."""
