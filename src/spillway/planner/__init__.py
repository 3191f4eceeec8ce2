"""Answers "should I buy the box?": workload, node model, simulation and money, all without a socket."""
