"""How much drift is noticed, and what noticing costs."""
