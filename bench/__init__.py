"""Benchmarks anyone can repeat."""
