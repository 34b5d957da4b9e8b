"""Answers of a checkpoint, many at a time, with its key/value cache."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import DynamicCache, GPT2LMHeadModel

from parrotlet_server.engine.decode import decode_whole
from parrotlet_server.engine.prompt import Prompt
from parrotlet_server.engine.vocabulary import Vocabulary
from parrotlet_tokenizer.specials import END_OF_TEXT_ID

from .completions import Key
from .problems import cut


@dataclass
class Job:
    """An answer that is wanted, and as far as it is written.

    Attributes:
        key: which one.
        prompt: what the model reads.
        stops: texts at which it ends.
        seed: of the run; with `key` it fixes the random numbers, whatever else is in the batch.
    """

    key: Key
    prompt: Prompt
    stops: tuple[str, ...]
    seed: int
    text: str = ""
    written: bytes = b""
    tokens: int = 0
    rest: bytes = field(init=False)
    random: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.rest = self.prompt.rest
        name = f"{self.seed}\0{self.key.task_id}\0{self.key.temperature}\0{self.key.sample}"
        digest = hashlib.sha256(name.encode()).digest()
        self.random = np.random.default_rng(int.from_bytes(digest))

    def take(self, token: int, text: bytes) -> bool:
        """Appends a token that stands for `text`; says whether the answer goes on."""
        if token == END_OF_TEXT_ID:
            return False
        self.written += text[len(self.rest) :]
        self.rest = self.rest[len(text) :]
        self.tokens += bool(self.written)
        self.text, broken = decode_whole(self.written)
        whole = len(self.text)
        self.text = cut(self.text, self.stops)
        return not broken and len(self.text) == whole and self.tokens < self.prompt.limit


@torch.no_grad()
def generate(
    model: GPT2LMHeadModel,
    vocabulary: Vocabulary,
    jobs: Sequence[Job],
    top_p: float,
    device: torch.device,
) -> list[str]:
    """The answers to `jobs`, which are written together.

    Prompts are padded on the left; equal ones are read once. Temperature 0 takes the likeliest
    token, others sample from the nucleus of `top_p` (Holtzman et al. 2020, "The Curious Case of
    Neural Text Degeneration", section 3.1). While what was taken back before the cursor is being
    written, only tokens that spell it are allowed, as in the served engine.
    """
    model.eval()
    different = list(dict.fromkeys(tuple(job.prompt.ids) for job in jobs))
    longest = max(map(len, different))
    ids = torch.full((len(different), longest), END_OF_TEXT_ID, device=device)
    mask = torch.zeros((len(different), longest), dtype=torch.long, device=device)
    for row, tokens in enumerate(different):
        ids[row, longest - len(tokens) :] = torch.tensor(tokens, device=device)
        mask[row, longest - len(tokens) :] = 1
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    cache = DynamicCache()
    output = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    where = {tokens: row for row, tokens in enumerate(different)}
    rows = torch.tensor([where[tuple(job.prompt.ids)] for job in jobs], device=device)
    cache.batch_select_indices(rows)
    logits, mask, last = output.logits[rows, -1], mask[rows], positions[rows, -1]
    writing = list(jobs)
    while True:
        chosen = _choose(logits, writing, vocabulary, top_p)
        going = [
            row
            for row, (job, token) in enumerate(zip(writing, chosen, strict=True))
            if job.take(token, vocabulary.bytes[token])
        ]
        if not going:
            return [job.text for job in jobs]
        if len(going) < len(writing):
            kept = torch.tensor(going, device=device)
            cache.batch_select_indices(kept)
            mask, last = mask[kept], last[kept]
            writing = [writing[row] for row in going]
        mask = torch.cat([mask, mask.new_ones((len(going), 1))], dim=1)
        last = last + 1
        output = model(
            input_ids=torch.tensor([[chosen[row]] for row in going], device=device),
            attention_mask=mask,
            position_ids=last[:, None],
            past_key_values=cache,
            use_cache=True,
        )
        logits = output.logits[:, -1]


def _choose(
    logits: torch.Tensor, jobs: Sequence[Job], vocabulary: Vocabulary, top_p: float
) -> list[int]:
    """The next token of each job; `logits` has the shape (jobs, vocabulary)."""
    chosen = []
    for row, job in zip(logits.float().cpu().numpy(), jobs, strict=True):
        allowed = vocabulary.continuing(job.rest) if job.rest else None
        if allowed is None:
            vocabulary.ban_specials(row)
            values = row[: len(vocabulary.bytes)]
        else:
            values = row[allowed]
        at = _sample(values, job, top_p)
        chosen.append(at if allowed is None else int(allowed[at]))
    return chosen


def _sample(values: NDArray[np.float32], job: Job, top_p: float) -> int:
    if not job.key.temperature:
        return int(values.argmax())
    scaled = values.astype(np.float64) / job.key.temperature
    weights = np.exp(scaled - scaled.max())
    order = np.argsort(-weights, kind="stable")
    sums = np.cumsum(weights[order])
    nucleus = int(np.searchsorted(sums, top_p * sums[-1])) + 1
    drawn = job.random.random() * sums[min(nucleus, len(sums)) - 1]
    return int(order[min(int(np.searchsorted(sums, drawn, side="right")), len(order) - 1)])
