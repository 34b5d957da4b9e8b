"""A model large enough that its work can be interrupted, with random weights: it never stops early.

What it writes makes no sense; it is for tests of cancellation and of the end of a session.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from .tiny_model import _digest, _once, exporter, tiny_checkpoint

CONTEXT_LENGTH = 1024
WIDTH, LAYERS, HEADS = 512, 10, 8


def slow_bundle() -> Path:
    """The folder of the model bundle; the first call makes it, some seconds."""
    checkpoint = tiny_checkpoint()
    name = f"slow-{checkpoint.name.rpartition('-')[2]}-{_digest([Path(__file__), *exporter()])}"
    return _once(name, lambda folder: _make(checkpoint, folder))


def _make(tokenizer_folder: Path, folder: Path) -> None:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from parrotlet_server.bundle.export import export_checkpoint
    from parrotlet_tokenizer import CodeTokenizer

    tokenizer = CodeTokenizer.load(tokenizer_folder)
    torch.manual_seed(0)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=tokenizer.vocabulary_size,
            n_positions=CONTEXT_LENGTH,
            n_embd=WIDTH,
            n_layer=LAYERS,
            n_head=HEADS,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    # what it writes depends on the place more than on the text: it never repeats itself
    torch.nn.init.normal_(model.transformer.wpe.weight, std=1.0)
    # the last normalisation adds one direction to everything; a token that would end a line, or
    # the text, points the other way, so that its logit is always the lowest
    direction = torch.zeros(WIDTH)
    direction[0] = 10.0
    with torch.no_grad():
        model.transformer.ln_f.bias.copy_(direction)
        head = model.transformer.wte.weight
        head[:, 0] = 0.0
        for token in range(tokenizer.vocabulary_size):
            if not tokenizer.token_bytes[token].isalnum():
                head[token, 0] = -10.0
    checkpoint = folder.with_name(folder.name + "-checkpoint")
    try:
        model.save_pretrained(checkpoint)
        tokenizer.save(checkpoint, CONTEXT_LENGTH)
        export_checkpoint(checkpoint, folder)
    finally:
        shutil.rmtree(checkpoint, ignore_errors=True)
