"""The simulator's predictions beside what a real llama.cpp did: ``python -m bench.reality.run``."""
