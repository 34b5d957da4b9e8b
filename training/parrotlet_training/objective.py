"""From rows of tokens to the loss that is minimised."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional
from transformers import GPT2LMHeadModel

from .attention import use_blocks
from .cross_entropy import linear_cross_entropy
from .recipe import LossOptions


class Objective(nn.Module):
    """What a training step runs forward and backward: the model with its loss on top.

    ``full`` is the cross-entropy over the whole vocabulary. ``sampled`` is for processors, where
    the vocabulary takes as long as a small model's blocks: the softmax goes over the `frequent`
    lowest ids (byte-level BPE numbers its merges by frequency), the other targets of the batch,
    and `negatives` of the rest, drawn anew each time and weighted by the inverse of their share,
    so that each row's partition sum is estimated without bias (Jean et al. 2015, "On Using Very
    Large Target Vocabulary for Neural Machine Translation", section 3.1).
    """

    def __init__(
        self,
        model: GPT2LMHeadModel,
        options: LossOptions,
        compiled: bool,
        *,
        sharded: bool = False,
        checkpointing: bool = False,
    ) -> None:
        """Wraps `model`, whose weights stay its own.

        Args:
            model: is changed in how it computes, not in what.
            options: of the loss.
            compiled: puts it through `torch.compile`.
            sharded: compiles block by block, between which FSDP gathers weights.
            checkpointing: keeps the blocks' inputs alone for the backward pass and computes the
                rest again (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost").
        """
        super().__init__()
        self.model = model
        for block in model.transformer.h:
            # the same function as GPT-2's, in one kernel that keeps its input alone
            block.mlp.act = nn.GELU(approximate="tanh")
        use_blocks(model)
        if checkpointing:
            # by its name of transformers 6, or that of 4
            enable = getattr(model, "activation_checkpointing_enable", None)
            (enable or model.gradient_checkpointing_enable)({"use_reentrant": False})
        self._options = options
        self._hidden: Callable[[torch.Tensor], torch.Tensor] = self._trunk
        self._total: Callable[[torch.Tensor], torch.Tensor] = (
            self._sampled if options.kind == "sampled" else self._full
        )
        if compiled and sharded:
            for block in model.transformer.h:
                block.compile()
        elif compiled and options.kind == "sampled":
            self._hidden = torch.compile(self._trunk)  # the number of candidates varies
        elif compiled:
            self._total = torch.compile(self._full)

    def forward(self, tokens: torch.Tensor, each: bool = False) -> torch.Tensor:
        """Nats per token of rows of shape (rows, context + 1), int64.

        Returns:
            Their mean, by the kind of loss; or, if `each`, the exact ones over the whole
            vocabulary, float32, shape (rows, context).
        """
        return self._each(tokens) if each else self._total(tokens)

    def _each(self, tokens: torch.Tensor) -> torch.Tensor:
        logits = self.model.lm_head(self._trunk(tokens[:, :-1]))
        nats = functional.cross_entropy(
            logits.float().flatten(0, 1), tokens[:, 1:].flatten(), reduction="none"
        )
        return nats.view(len(tokens), -1)

    def _trunk(self, inputs: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.model.transformer(inputs, use_cache=False).last_hidden_state
        return hidden

    def _full(self, tokens: torch.Tensor) -> torch.Tensor:
        hidden = self._trunk(tokens[:, :-1]).flatten(0, 1)
        return linear_cross_entropy(hidden, self.model.lm_head.weight, tokens[:, 1:].flatten())

    def _sampled(self, tokens: torch.Tensor) -> torch.Tensor:
        hidden = self._hidden(tokens[:, :-1]).flatten(0, 1)
        targets = tokens[:, 1:].flatten()
        head = self.model.lm_head.weight
        ids, places, shift = candidates(
            targets, self._options.frequent, self._options.negatives, head.shape[0]
        )
        return linear_cross_entropy(hidden, head[ids], places, shift)


def candidates(
    targets: torch.Tensor, frequent: int, negatives: int, vocabulary: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The ids that a sampled softmax goes over; draws from torch's own random state.

    Args:
        targets: int64, shape (tokens,).
        frequent: ids below this one always take part.
        negatives: how many of the ids that are neither frequent nor targets are drawn.
        vocabulary: number of ids.

    Returns:
        The ids, int64, shape (n,), all different; the place of each target among them, int64,
        shape (tokens,); and what is added to their logits, float32, shape (n,).
    """
    frequent = min(frequent, vocabulary)
    device = targets.device
    rare = torch.unique(targets[targets >= frequent])  # sorted
    left = torch.ones(vocabulary - frequent, dtype=torch.bool, device=device)
    left[rare - frequent] = False
    rest = left.nonzero().flatten() + frequent
    # drawn on the processor, whose random state a checkpoint holds
    drawn = rest[torch.randperm(len(rest))[:negatives].to(device)]
    ids = torch.cat([torch.arange(frequent, device=device), rare, drawn])
    places = torch.where(
        targets < frequent, targets, frequent + torch.searchsorted(rare, targets.contiguous())
    )
    shift = torch.zeros(len(ids), device=device)
    if len(drawn):
        shift[-len(drawn) :] = math.log(len(rest) / len(drawn))
    return ids, places, shift
