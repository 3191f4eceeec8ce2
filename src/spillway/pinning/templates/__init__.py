"""Checks chat templates: renders them safely, lints what they lose, compares two."""
