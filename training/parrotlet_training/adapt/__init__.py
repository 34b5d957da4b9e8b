"""Continuing a model on the user's own repositories, on the machine that serves it."""
