import sys
from pathlib import Path

# `bench` is no part of the package: a bare `pytest` finds it only from the checkout.
sys.path.insert(0, str(Path(__file__).parents[2]))
