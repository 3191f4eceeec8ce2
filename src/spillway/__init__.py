"""A local-first LLM gateway and the planner that tells whether going local pays."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
