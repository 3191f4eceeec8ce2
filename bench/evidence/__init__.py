"""How well evidence does on published outcomes of real models."""
