"""A long session with a real server; `make soak`."""
