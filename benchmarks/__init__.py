"""Measurements against peers on one machine. They are figures, never tests that can fail."""
