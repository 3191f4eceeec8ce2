"""Loads a live node politely and learns from it how long it takes: the work behind ``spillway bench URL``."""
