"""Measurements that anyone can repeat: `python -m benchmarks.NAME`. They are no tests; figures depend on the machine."""
