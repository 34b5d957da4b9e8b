"""From verdicts to pass@k."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .figures import Figure, proportion


def pass_at_k(n: int, c: int, k: int) -> float:
    """Probability that one of `k` answers drawn from `n`, of which `c` are right, is right.

    Unbiased: 1 - C(n - c, k) / C(n, k); Chen et al. 2021, "Evaluating Large Language Models
    Trained on Code", section 2.1.

    Raises:
        ValueError: unless 0 <= c <= n and 1 <= k <= n.
    """
    if not (0 <= c <= n and 1 <= k <= n):
        raise ValueError(f"no {k} of {n} answers can be drawn, of which {c} are right")
    return 1 - math.comb(n - c, k) / math.comb(n, k)


def pass_figures(passes: Sequence[Sequence[bool]], ks: Sequence[int], label: str) -> list[Figure]:
    """pass@k of tasks, one row of verdicts each, for every one of `ks` that they have answers for.

    `label` stands before the figures' names.
    """
    fewest = min(map(len, passes))
    return [
        proportion(
            f"{label}pass@{k}", [pass_at_k(len(row), sum(row), k) for row in passes], "tasks"
        )
        for k in ks
        if k <= fewest
    ]
