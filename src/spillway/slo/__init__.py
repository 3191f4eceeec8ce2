"""Latency objectives, and what a node is predicted to do."""
