"""The language server: the protocol in front of the engine."""
