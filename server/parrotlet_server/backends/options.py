"""Where completions come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PROMPTS = {
    "codellama": "<PRE> {prefix} <SUF>{suffix} <MID>",
    "deepseek": "<｜fim▁begin｜>{prefix}<｜fim▁hole｜>{suffix}<｜fim▁end｜>",
    "qwen": "<|fim_prefix|>{prefix}<|fim_suffix|>{suffix}<|fim_middle|>",
    "starcoder": "<fim_prefix>{prefix}<fim_suffix>{suffix}<fim_middle>",
}
"""Templates of well-known models, as their makers give them."""


@dataclass(frozen=True)
class BackendOptions:
    """What runs the model.

    Attributes:
        kind: "onnx": ONNX Runtime on this processor; "torch": PyTorch, where it is installed;
            "openai": a server that speaks OpenAI's ``/v1/completions``.
        model: as for `resolve_model`; None is the bundled model. For "openai" it gives the
            vocabulary where `prompt` is "tokens".
        threads: of the processor; None is the number of physical cores, at most 4.
        device: of "torch", such as "cuda"; None is CUDA or MPS where there is one.
        url: of "openai": the address that ``/completions`` follows, such as
            ``http://localhost:8080/v1``.
        served_model: of "openai": the model's name there; "" sends none.
        prompt: of "openai": "tokens" sends token ids of `model`, for servers that run an exported
            Parrotlet model (llama.cpp and vLLM take ids); "suffix" sends the text before and after
            the cursor as ``prompt`` and ``suffix`` (Ollama); a key of `PROMPTS`, or a template
            that holds ``{prefix}`` and ``{suffix}``.
        timeout: seconds until an answer has to be complete.
        attempts: requests made where the server cannot be reached, is overloaded or fails.
        key_variable: environment variable that holds the key; where it is not set, the
            operating system's keyring is asked (service "parrotlet", user: the server's host),
            if the package keyring is installed.
    """

    kind: Literal["onnx", "torch", "openai"] = "onnx"
    model: str | None = None
    threads: int | None = None
    device: str | None = None
    url: str = ""
    served_model: str = ""
    prompt: str = "tokens"
    timeout: float = 10.0
    attempts: int = 3
    key_variable: str = "PARROTLET_API_KEY"
