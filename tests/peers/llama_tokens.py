"""Run by an interpreter that has llama-cpp-python: greedy tokens of a GGUF for given token ids.

usage: llama_tokens.py MODEL.gguf < prompts.json > tokens.json
where prompts.json is ``{"prompts": [[ids]], "tokens": number}``.
"""

import json
import sys

import llama_cpp
import numpy as np


def plain_buffers() -> None:
    """Keeps llama.cpp from its code for AMX, which crashes where the compiler drops a constant."""
    defaults = llama_cpp.llama_model_default_params

    def without_extra() -> llama_cpp.llama_model_params:
        params = defaults()
        params.use_extra_bufts = False
        return params

    llama_cpp.llama_cpp.llama_model_default_params = without_extra


def main() -> None:
    plain_buffers()
    asked = json.load(sys.stdin)
    model = llama_cpp.Llama(
        sys.argv[1], n_ctx=1024, n_threads=1, n_threads_batch=1, logits_all=True, verbose=False
    )
    answers = []
    for prompt in asked["prompts"]:
        model.reset()
        model.eval(prompt)
        written = []
        for _ in range(asked["tokens"]):
            token = int(np.argmax(model.scores[model.n_tokens - 1]))
            written.append(token)
            model.eval([token])
        answers.append(written)
    fim = llama_cpp.llama_vocab_fim_pre(llama_cpp.llama_model_get_vocab(model.model))
    json.dump({"answers": answers, "fim_pre": fim, "n_vocab": model.n_vocab()}, sys.stdout)


main()
