"""Measurements beside what others do: run by hand, on the machine that a figure is wanted for."""
