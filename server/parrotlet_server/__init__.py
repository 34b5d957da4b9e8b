"""Parrotlet's language server and the engine behind it."""
