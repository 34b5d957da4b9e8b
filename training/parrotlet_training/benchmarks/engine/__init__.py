"""The engine beside what else could run the same weights: `parrotlet bench engine`."""
