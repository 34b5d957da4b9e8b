"""CTranslate2, int8. It has no cache that is cut to a prefix, so every prompt is read anew.

Its `static_prompt` keeps the state of a beginning that never changes; a prompt of an editor has
none that is known beforehand. Its tokens cannot be forced, so it goes on with its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ctranslate2

if TYPE_CHECKING:
    from .host import Clock


class Adapter:
    """See `host.Adapter`; the model is a folder that `convert` wrote."""

    def __init__(self, model: str, threads: int, context: int) -> None:
        self._model = ctranslate2.Generator(
            model, device="cpu", compute_type="int8", inter_threads=1, intra_threads=threads
        )
        self._vocabulary = json.loads((Path(model) / "vocabulary.json").read_text())
        self._ids = {token: index for index, token in enumerate(self._vocabulary)}

    def forget(self) -> None:
        """See `host.Adapter`."""

    def suggest(self, prompt: list[int], answer: list[int], clock: Clock) -> list[int]:
        """See `host.Adapter`."""

        def stepped(result: Any) -> bool:
            if result.step == 0:
                clock.first()
            return False

        (result,) = self._model.generate_batch(
            [[self._vocabulary[token] for token in prompt]],
            max_length=len(answer),
            min_length=len(answer),
            sampling_topk=1,
            include_prompt_in_result=False,
            callback=stepped,
        )
        chosen: list[int] = result.sequences_ids[0]
        return chosen


def convert(checkpoint: str, target: str) -> None:
    """What `ct2-transformers-converter --quantization int8` does for a GPT-2, without torch."""
    _Converter(Path(checkpoint)).convert(target, quantization="int8", force=True)


class _Converter(ctranslate2.converters.Converter):  # type: ignore[misc]
    def __init__(self, checkpoint: Path) -> None:
        self._checkpoint = checkpoint

    def _load(self) -> Any:
        from safetensors.numpy import load_file

        config = json.loads((self._checkpoint / "config.json").read_text())
        tensors = load_file(self._checkpoint / "model.safetensors")
        weights = {name.removeprefix("transformer."): value for name, value in tensors.items()}
        spec = ctranslate2.specs.TransformerDecoderModelSpec.from_config(
            config["n_layer"],
            config["n_head"],
            pre_norm=True,
            activation=ctranslate2.specs.Activation.GELUTanh,
        )
        decoder = spec.decoder
        decoder.scale_embeddings = False
        decoder.embeddings.weight = weights["wte.weight"]
        decoder.position_encodings.encodings = weights["wpe.weight"]
        decoder.projection.weight = weights["wte.weight"]

        def norm(part: Any, name: str) -> None:
            part.gamma, part.beta = weights[f"{name}.weight"], weights[f"{name}.bias"]

        def linear(part: Any, name: str) -> None:
            part.weight = weights[f"{name}.weight"].T.copy()
            part.bias = weights[f"{name}.bias"]

        norm(decoder.layer_norm, "ln_f")
        for number, layer in enumerate(decoder.layer):
            name = f"h.{number}"
            norm(layer.self_attention.layer_norm, f"{name}.ln_1")
            linear(layer.self_attention.linear[0], f"{name}.attn.c_attn")
            linear(layer.self_attention.linear[1], f"{name}.attn.c_proj")
            norm(layer.ffn.layer_norm, f"{name}.ln_2")
            linear(layer.ffn.linear_0, f"{name}.mlp.c_fc")
            linear(layer.ffn.linear_1, f"{name}.mlp.c_proj")
        # names of tokens only have to differ: ids are what is compared
        names = [f"t{index}" for index in range(config["vocab_size"])]
        spec.register_vocabulary(names)
        spec.config.bos_token = spec.config.eos_token = spec.config.unk_token = names[0]
        return spec
