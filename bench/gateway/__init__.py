"""What a gateway adds: spillway and its peers in one run against the same fake upstream."""
