"""Stock llama.cpp reads our GGUF and writes the same tokens: `make test-peers`, never in CI."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from parrotlet_server.backends.onnx import OnnxBackend
from parrotlet_server.bundle.gguf import export_gguf
from parrotlet_tokenizer.specials import FIM_PREFIX_ID

from .conftest import PROMPTS

ROOT = Path(__file__).parents[2]
PEER = os.environ.get("PARROTLET_PEERS_PYTHON", str(ROOT / ".cache/peers/bin/python"))
TOKENS = 24
NEAR = 0.02
"""Standard deviations of the logits between two tokens that count as equally likely."""


def llama_tokens(file, prompts):
    asked = json.dumps({"prompts": prompts, "tokens": TOKENS})
    script = Path(__file__).with_name("llama_tokens.py")
    done = subprocess.run(
        [PEER, str(script), str(file)], input=asked, capture_output=True, text=True, timeout=1200
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def our_tokens(backend, prompt, most=TOKENS):
    state = backend.new_state()
    logits = backend.evaluate(state, 0, prompt)
    written, gaps = [], []
    for _ in range(most):
        second, first = np.sort(logits)[-2:]
        gaps.append(float(first - second) / float(logits.std()))
        written.append(int(logits.argmax()))
        logits = backend.evaluate(state, len(state.tokens), written[-1:])
    return written, gaps


@pytest.mark.timeout(1800)
def test_in_float32_the_tokens_are_ours(checkpoint, exact, prompts, tmp_path):
    export_gguf(checkpoint, tmp_path / "model.gguf", "f32")
    theirs = llama_tokens(tmp_path / "model.gguf", prompts)
    backend = OnnxBackend(exact.model_file, 1)
    assert theirs["fim_pre"] == FIM_PREFIX_ID
    assert theirs["n_vocab"] == backend.vocabulary_size
    for prompt, answer in zip(prompts, theirs["answers"], strict=True):
        ours, gaps = our_tokens(backend, prompt)
        if ours != answer:
            at = next(i for i in range(TOKENS) if ours[i] != answer[i])
            # llama.cpp keeps keys and values, and computes GELU, in half precision
            assert gaps[at] < NEAR, (at, gaps[at])


@pytest.mark.timeout(1800)
def test_in_q8_0_nearly_all_first_tokens_are_ours(checkpoint, exact, prompts, tmp_path):
    export_gguf(checkpoint, tmp_path / "model.gguf", "q8_0")
    theirs = llama_tokens(tmp_path / "model.gguf", prompts)
    backend = OnnxBackend(exact.model_file, 1)
    same = sum(
        our_tokens(backend, prompt, 1)[0][0] == answer[0]
        for prompt, answer in zip(prompts, theirs["answers"], strict=True)
    )
    assert same >= PROMPTS - 2
