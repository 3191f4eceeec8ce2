"""How good and how fast the planner's simulator is, on public traces, against the best run known."""
