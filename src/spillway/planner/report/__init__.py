"""A plan for people and scripts: on a terminal, as a page, as a picture, as JSON."""
