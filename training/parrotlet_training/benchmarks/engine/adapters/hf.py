"""transformers, float32, with a `DynamicCache` that is cropped to the shared prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from reuse import common
from transformers import AutoModelForCausalLM, DynamicCache

if TYPE_CHECKING:
    from .host import Clock


class Adapter:
    """See `host.Adapter`; the model is a checkpoint folder."""

    def __init__(self, model: str, threads: int, context: int) -> None:
        torch.set_num_threads(threads)
        self._model = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
        self.forget()

    def forget(self) -> None:
        """See `host.Adapter`."""
        self._held: list[int] = []
        self._cache = DynamicCache()

    @torch.inference_mode()
    def suggest(self, prompt: list[int], answer: list[int], clock: Clock) -> list[int]:
        """See `host.Adapter`."""
        keep = common(self._held, prompt)
        if keep == 0:
            self.forget()
        elif keep < len(self._held):
            self._cache.crop(keep - len(self._held))  # negative: so many are dropped
            del self._held[keep:]
        chosen = [self._read(prompt[keep:])]
        clock.first()
        for token in answer[:-1]:
            chosen.append(self._read([token]))
        return chosen

    def _read(self, tokens: list[int]) -> int:
        out = self._model(
            input_ids=torch.tensor([tokens]),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self._cache = out.past_key_values
        self._held += tokens
        return int(out.logits[0, -1].argmax())
