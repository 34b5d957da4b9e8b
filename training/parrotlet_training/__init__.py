"""Parrotlet's corpus builder, trainer and evaluation."""
