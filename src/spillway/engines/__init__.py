"""How to speak to upstreams: the wire, each engine's facts and habits, and the embedded engine."""
