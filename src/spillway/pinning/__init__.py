"""Pins what a local node serves, and notices when it changes."""
