"""How good and how fast the planner's simulator is, on public traces and against an upper bound."""
