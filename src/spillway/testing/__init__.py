"""Test helpers for spillway and programs that talk to it: a scriptable upstream, a clock moved by hand."""
