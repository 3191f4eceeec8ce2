"""What admission by forecast does for a node that gets more than it can do."""
