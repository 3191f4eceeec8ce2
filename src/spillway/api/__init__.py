"""The edge: HTTP in, HTTP out, and the order in which a request passes through the parts."""
