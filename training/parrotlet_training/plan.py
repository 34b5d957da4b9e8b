"""What a recipe will take, before anything starts: parameters, memory, hours, money.

Memory and time follow published formulas; each function names its source. The plan needs neither a
corpus nor a GPU.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from parrotlet_tokenizer.train import VOCABULARY_SIZE

from .attention import BLOCK
from .corpus.manifest import MANIFEST
from .cross_entropy import CHUNK
from .hardware import Device
from .recipe import LossOptions, ModelOptions, Recipe

GPU_MFU = 0.35
"""Share of a GPU's peak that training keeps busy, assumed: between nanoGPT's 30 % and llm.c's 41 %
with GPT-2 124M on an H100."""

CPU_MFU = 0.5
"""The same of processors, whose peak is measured and not a data sheet's."""

BYTES_PER_TOKEN = 4.4
"""Of Python in a vocabulary of 16,384 entries, about."""

MOST_EPOCHS = 4
"""Up to which text that is read again is worth as much as new, nearly (Muennighoff et al. 2023,
"Scaling Data-Constrained Language Models", section 5); by 40 it is worth nothing."""


@dataclass(frozen=True)
class Memory:
    """Bytes on one device.

    Attributes:
        weights: float32, and their copies in 16 bits while computing.
        gradients: float32.
        optimizer: two float32 values a weight with AdamW, one with Muon.
        activations: what the blocks keep for the backward pass.
        logits: of one micro-batch, with their softmax and gradients.
    """

    weights: float
    gradients: float
    optimizer: float
    activations: float
    logits: float

    @property
    def total(self) -> float:
        """Sum of all."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits


@dataclass(frozen=True)
class Plan:
    """What a recipe takes on `gpus` devices.

    Attributes:
        recipe: that is planned.
        vocabulary: entries of its tokenizer.
        vocabulary_known: whether the tokenizer was there to ask.
        device: each of them.
        gpus: how many.
        mfu: share of the peak that is assumed.
        price: of a device for an hour; None if not given.
    """

    recipe: Recipe
    vocabulary: int
    vocabulary_known: bool
    device: Device
    gpus: int
    mfu: float
    price: float | None

    @property
    def parameters(self) -> int:
        """Of the model."""
        return parameter_count(self.recipe.model, self.vocabulary)

    @property
    def tokens(self) -> int:
        """That the whole run trains on."""
        recipe = self.recipe
        rows = recipe.data.streams * recipe.optimizer.rows_per_stream
        return rows * recipe.model.context * recipe.schedule.steps

    @property
    def flops(self) -> float:
        """Of the whole run."""
        per_token = flops_per_token(self.recipe.model, self.recipe.loss, self.vocabulary)
        return self.tokens * per_token

    @property
    def memory(self) -> Memory:
        """On each device."""
        return memory(
            self.recipe,
            self.vocabulary,
            self.gpus,
            self.device.precision != "fp32",
            not self.device.is_gpu,
        )

    @property
    def hours(self) -> float | None:
        """Of all devices at once; None where the device's peak is not known."""
        if self.device.peak is None:
            return None
        # the forward pass of the blocks again: a third more work, which MFU does not count
        again = 4 / 3 if self.recipe.run.gradient_checkpointing else 1
        return self.flops * again / (self.device.peak * self.mfu * self.gpus) / 3600

    def lines(self) -> list[str]:
        """For people."""
        recipe, memory, hours = self.recipe, self.memory, self.hours
        rows = recipe.data.streams * recipe.optimizer.rows_per_stream
        shape = f"{recipe.model.layers} layers × {recipe.model.width}, vocabulary {self.vocabulary}"
        batch = f"{rows} rows of {recipe.model.context}"
        found = [
            f"recipe       {recipe.name}: {shape}",
            f"parameters   {self.parameters:,}",
            f"tokens       {_short(self.tokens)}: {recipe.schedule.steps:,} steps of {batch}",
            f"FLOPs        {self.flops:.3g}",
            f"devices      {self.gpus} × {self.device.name}, {self.device.precision}, "
            f"{recipe.run.parallel}" + self._peak(),
            f"memory       {_gigabytes(memory.total)} on each"
            + (f" of {_gigabytes(self.device.memory)}" if self.device.memory else ""),
            f"             weights {_gigabytes(memory.weights)}, "
            f"gradients {_gigabytes(memory.gradients)}, "
            f"optimiser {_gigabytes(memory.optimizer)}",
            f"             activations {_gigabytes(memory.activations)}, "
            f"logits {_gigabytes(memory.logits)} "
            f"(micro-batches of {self._micro_rows()} rows)",
        ]
        if hours is None:
            found.append("time         not known: no figures for this GPU; try --device")
        else:
            speed = self.tokens / hours / 3600
            found.append(f"time         {_duration(hours)} ({speed:,.0f} tokens/s)")
            if self.price is not None:
                used = hours * self.gpus
                cost = f"{used * self.price:,.2f} = {used:,.2f} device hours × {self.price:g}"
                found.append(f"cost         {cost}")
        return found + [f"note         {text}" for text in self.notes()]

    def notes(self) -> list[str]:
        """What is assumed, and what would go wrong."""
        recipe, found = self.recipe, []
        if not self.vocabulary_known:
            found.append(
                f"no tokenizer in {recipe.data.tokenizer} yet: {self.vocabulary:,} assumed"
            )
        if not _there(recipe.data.corpus):
            found.append(f"no corpus in {recipe.data.corpus} yet; the plan does not need it")
        if size := _train_bytes(Path(recipe.data.corpus)):
            there = size / BYTES_PER_TOKEN
            times = self.tokens / there
            text = f"the corpus has about {_short(there)} tokens: it is read {times:.1f} times"
            if times > MOST_EPOCHS:
                text += "; beyond 4 times little is learnt, get more text"
            found.append(text)
        if recipe.data.streams % self.gpus:
            found.append(
                f"{recipe.data.streams} streams cannot be shared by {self.gpus} processes: "
                "change data.streams or the number of GPUs"
            )
        if self.device.memory and self.memory.total > 0.9 * self.device.memory:
            found.append(f"it will hardly fit: {relief(recipe, self.gpus)}")
        if self.device.precision == "bf16" and recipe.run.precision == "auto":
            found.append("precision auto takes bf16 here")
        return found

    def _micro_rows(self) -> int:
        return micro_rows(self.recipe, self.gpus)

    def _peak(self) -> str:
        if self.device.peak is None:
            return ""
        source = "data sheet" if self.device.is_gpu else "measured now"
        return f"; {self.device.peak / 1e12:.3g} TFLOP/s ({source}), MFU {self.mfu:.0%} assumed"


def _train_bytes(corpus: Path) -> int | None:
    """Text that a corpus built here holds to train on; None where there is no such."""
    try:
        size = json.loads((corpus / MANIFEST).read_text(encoding="utf-8"))["bytes"]["train"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return size if type(size) is int and size > 0 else None


def vocabulary_of(recipe: Recipe) -> tuple[int, bool]:
    """Entries of the recipe's tokenizer, and whether it is there; if not, what one has by default.

    Raises:
        TokenizerError: if there is one that cannot be read.
    """
    from parrotlet_tokenizer import CodeTokenizer

    folder = Path(recipe.data.tokenizer)
    if (folder / "tokenizer.json").is_file():
        return CodeTokenizer.load(folder).vocabulary_size, True
    return VOCABULARY_SIZE, False


def parameter_count(model: ModelOptions, vocabulary: int) -> int:
    """Weights of a GPT-2, its output layer tied to the embeddings (Radford et al. 2019).

    A block has 4·width² of attention and 8·width² of the two layers after it, 9·width of biases
    and 4·width of norms.
    """
    width = model.width
    block = 12 * width**2 + 13 * width
    return (vocabulary + model.context) * width + model.layers * block + 2 * width


def flops_per_token(model: ModelOptions, loss: LossOptions, vocabulary: int) -> float:
    """Of a training step, forward and backward: 6N + 12·layers·width·context.

    Chowdhery et al. 2022, "PaLM", appendix B. N counts the weights that are multiplied: those of
    the blocks and the output layer, of which a sampled loss multiplies its candidates alone.
    """
    entries = vocabulary
    if loss.kind == "sampled":
        entries = min(vocabulary, loss.frequent + loss.negatives)
    multiplied = 12 * model.layers * model.width**2 + entries * model.width
    return 6 * multiplied + 12 * model.layers * model.width * model.context


def activation_bytes(
    model: ModelOptions, rows: int, half: bool, checkpointing: bool, processor: bool = False
) -> float:
    """What the blocks keep for the backward pass of a micro-batch.

    Korthikanti et al. 2022, "Reducing Activation Recomputation", section 4.1: 34·rows·context·width
    bytes a block in 16 bits; without its dropout masks 32, and without the attention matrices,
    which fused attention computes again (Dao et al. 2022, "FlashAttention"), none besides. Autocast
    leaves norms and the sums between blocks in float32. With checkpointing, each block's input and
    one block whole. A processor that computes in 16 bits keeps the attention matrices, up to the
    end of each of `attention`'s blocks of queries.
    """
    values = rows * model.context * model.width
    # norms' inputs 2, attention's 1, q k v 3, its output 1, of the layers after it 1 + 4 + 4
    block = values * ((2 * 4 + 14 * 2) if half else 16 * 4)
    if processor and half:
        block += rows * model.heads * model.context * (model.context + BLOCK)
    if not checkpointing:
        return float(model.layers * block)
    return float(block + model.layers * values * 4)


def memory(
    recipe: Recipe, vocabulary: int, gpus: int, half: bool, processor: bool = False
) -> Memory:
    """Bytes that a device needs.

    Rajbhandari et al. 2020, "ZeRO", section 3: 4 bytes a weight, 4 a gradient and 8 of AdamW's
    state (4 of Muon's), which FSDP shares out; computing in 16 bits adds a copy of the weights.
    """
    count = parameter_count(recipe.model, vocabulary)
    matrices = 12 * recipe.model.layers * recipe.model.width**2
    share = gpus if recipe.run.parallel == "fsdp" else 1
    saved = 4 * matrices if recipe.optimizer.name == "muon" else 0
    # under FSDP two blocks and the embeddings are whole at a time
    whole = count
    if share > 1:
        block = matrices / recipe.model.layers
        whole = int(
            min(count, 2 * block + (vocabulary + recipe.model.context) * recipe.model.width)
        )
    copies = (2 * whole if half else 0) if share == 1 else (2 if half else 4) * whole
    rows = micro_rows(recipe, gpus)
    entries = vocabulary
    if recipe.loss.kind == "sampled":
        entries = min(vocabulary, recipe.loss.frequent + recipe.loss.negatives)
    logits = rows * recipe.model.context
    if processor:
        logits = min(logits, CHUNK)
    return Memory(
        weights=4 * count / share + copies,
        gradients=4 * count / share,
        optimizer=(8 * count - saved) / share,
        activations=activation_bytes(
            recipe.model, rows, half, recipe.run.gradient_checkpointing, processor
        ),
        # logits, their log-softmax and two gradients in float32
        logits=16.0 * logits * entries,
    )


def micro_rows(recipe: Recipe, gpus: int) -> int:
    """Rows of one forward pass: no more than a device's share of a batch."""
    share = max(1, recipe.data.streams // gpus) * recipe.optimizer.rows_per_stream
    return min(recipe.optimizer.micro_rows, share)


def relief(recipe: Recipe, processes: int) -> str:
    """Which setting to lower where memory is short, in the order of what it costs."""
    rows = micro_rows(recipe, processes)
    found = []
    if rows > 1:
        found.append(f"optimizer.micro_rows={rows // 2} (the result stays the same)")
    if not recipe.run.gradient_checkpointing:
        found.append("run.gradient_checkpointing=true (a third more work)")
    if recipe.run.parallel == "ddp" and processes > 1:
        found.append("run.parallel=fsdp")
    if not found:
        found.append("a smaller model, or more GPUs with run.parallel=fsdp")
    return "set " + ", or ".join(found)


def _there(corpus: str) -> bool:
    try:
        return Path(corpus).exists()
    except OSError:
        return False


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def _short(count: float) -> str:
    return f"{count / 1e9:.2f}B" if count >= 1e9 else f"{count / 1e6:.1f}M"


def _duration(hours: float) -> str:
    if hours >= 48:
        return f"{hours / 24:.1f} days"
    return f"{hours:.1f} hours" if hours >= 1 else f"{hours * 60:.1f} minutes"
