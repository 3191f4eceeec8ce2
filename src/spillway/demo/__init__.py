"""The demo: a small model with one real job, and the messages and truths it is shown with."""
