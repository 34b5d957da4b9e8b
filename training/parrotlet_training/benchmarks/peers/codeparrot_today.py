"""CodeParrot's loop around the model that transformers gives today.

The same as the one published but for the model: fused attention and no dropout, as the other
contenders have it. What is left of the ratio is the loop's own.
"""

from __future__ import annotations

from .codeparrot import train
from .gate import Gate
from .gpt2 import new_gpt2
from .plan import Plan


def run(plan: Plan, gate: Gate) -> None:
    """Trains."""
    train(new_gpt2(plan), plan, gate)
