"""Carries out a decision: attempts, failover, and bytes from the upstream to the client."""
