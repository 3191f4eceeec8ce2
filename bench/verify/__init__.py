"""How good the gates are, on published answers and on the demo model behind the real engine."""
