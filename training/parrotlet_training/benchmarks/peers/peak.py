"""How fast this machine multiplies matrices, measured like a training loop."""

from __future__ import annotations

import torch

from ...hardware import gpu_named
from ...plan import flops_per_token, parameter_count
from .gate import Gate
from .parrotlet import recipe
from .plan import Plan, product_size


def run(plan: Plan, gate: Gate) -> None:
    """Multiplies a matrix with itself, once a step, in the precision of the training."""
    kind = torch.bfloat16 if plan.precision == "bf16" else torch.float32
    published = None
    if plan.device == "cuda":
        name = torch.cuda.get_device_name()
        gpu = gpu_named(name)
        published = gpu and (gpu.half if plan.precision == "bf16" else gpu.single)
    else:
        name = torch.backends.cpu.get_cpu_capability()
    made = recipe(plan)
    gate.facts = {
        "device": name,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "published": published,
        "parameters": parameter_count(made.model, plan.shape.vocabulary),
        "flops_per_token": flops_per_token(made.model, made.loss, plan.shape.vocabulary),
    }
    gate.watch(plan.device)
    size = product_size(plan.device)
    matrix = torch.randn(size, size, device=plan.device, dtype=kind)
    while True:
        torch.mm(matrix, matrix)
        gate.step()
