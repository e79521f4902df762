"""Fused operations for training on processors, in C++; optional."""
