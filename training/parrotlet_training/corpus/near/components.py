"""Connected components of a graph whose edges come in batches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Components:
    """Union-find over whole arrays of edges; a component is named after its least member.

    Hooking and pointer jumping as in Shiloach and Vishkin, "An O(log n) parallel connectivity
    algorithm", 1982. Memory is one number per node.
    """

    def __init__(self, count: int) -> None:
        self.labels: NDArray[np.int64] = np.arange(count)
        """The least member of each node's component, shape (nodes,)."""

    def join(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> None:
        """Takes edges, shape (edges,) both."""
        while True:
            one, other = self.labels[left], self.labels[right]
            apart = one != other
            if not apart.any():
                return
            left, right, one, other = left[apart], right[apart], one[apart], other[apart]
            np.minimum.at(self.labels, np.maximum(one, other), np.minimum(one, other))
            self._flatten()

    def _flatten(self) -> None:
        while True:
            further = self.labels[self.labels]
            if np.array_equal(further, self.labels):
                return
            self.labels = further
