"""Recipes: one YAML file says all that a model is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Literal

import yaml

from .data.options import HubOptions
from .fim import FimOptions
from .typed_yaml import RecipeError as RecipeError
from .typed_yaml import build, plain, read_mapping


@dataclass(frozen=True)
class ModelOptions:
    """Shape of the GPT-2.

    Attributes:
        layers: transformer blocks.
        width: size of the residual stream, a multiple of `heads`.
        heads: attention heads.
        context: most tokens that it sees.
    """

    layers: int = 6
    width: int = 256
    heads: int = 4
    context: int = 1024

    def __post_init__(self) -> None:
        if min(self.layers, self.width, self.heads) < 1 or self.context < 8:
            raise ValueError("layers, width and heads are positive, context at least 8")
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of heads {self.heads}")


@dataclass(frozen=True)
class DataOptions:
    """Where rows come from.

    Attributes:
        corpus: folder of `parrotlet corpus build`; ``hub:OWNER/NAME@REVISION``; a folder of
            Parquet or JSON Lines files that `datasets` reads; or one of `parrotlet pretokenize`.
        tokenizer: folder of `parrotlet tokenizer train`.
        streams: logical streams, S: a multiple of every number of processes ever used.
        window: units (of 256 KiB of text) whose pieces each stream shuffles together and holds in
            memory.
        fim: how documents become sequences.
        cache: folder of `parrotlet pretokenize`, made of this very `corpus`; empty: none.
        hub: columns and splits of `corpus`, where it is not one of `parrotlet corpus build`.
    """

    corpus: str
    tokenizer: str
    streams: int = 8
    window: int = 16
    fim: FimOptions = field(default_factory=FimOptions)
    cache: str = ""
    hub: HubOptions = field(default_factory=HubOptions)

    def __post_init__(self) -> None:
        if min(self.streams, self.window) < 1:
            raise ValueError("streams and window are positive")


@dataclass(frozen=True)
class OptimizerOptions:
    """How weights move.

    Attributes:
        name: ``adamw`` for all weights; ``muon`` for the blocks' matrices and AdamW for the rest.
        learning_rate: peak, of AdamW.
        muon_learning_rate: peak, of Muon.
        weight_decay: on matrices only: not on biases, norms and embeddings.
        beta1: AdamW's decay of the mean.
        beta2: AdamW's decay of the square.
        clip: largest norm of the whole gradient.
        rows_per_stream: rows that each stream gives to a global batch.
        micro_rows: rows of one forward pass on one process.
    """

    name: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = 1.5e-3
    muon_learning_rate: float = 5e-3
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    clip: float = 1.0
    rows_per_stream: int = 1
    micro_rows: int = 8

    def __post_init__(self) -> None:
        if min(self.rows_per_stream, self.micro_rows) < 1:
            raise ValueError("rows_per_stream and micro_rows are positive")


@dataclass(frozen=True)
class LossOptions:
    """What is minimised.

    Attributes:
        kind: ``full`` cross-entropy, or ``sampled`` softmax, which is faster on a CPU.
        frequent: of ``sampled``: the lowest ids, which always take part.
        negatives: of ``sampled``: ids drawn from those that are neither frequent nor targets.
    """

    kind: Literal["full", "sampled"] = "full"
    frequent: int = 2048
    negatives: int = 1024

    def __post_init__(self) -> None:
        if self.frequent < 1 or self.negatives < 1:
            raise ValueError("frequent and negatives are positive")


@dataclass(frozen=True)
class ScheduleOptions:
    """Learning rate over time: linear warm-up, plateau, then a decay to `floor`.

    Attributes:
        steps: global batches in all.
        warmup: steps of the rise.
        decay: last steps, in which it falls ("WSD", Hu et al. 2024); `steps` - `warmup` of them
            make it a plain decay.
        shape: of the fall.
        floor: share of the peak that is left at the end.
    """

    steps: int = 1000
    warmup: int = 50
    decay: int = 400
    shape: Literal["linear", "cosine"] = "linear"
    floor: float = 0.0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.warmup < 0 or self.decay < 0:
            raise ValueError("steps is positive, warmup and decay are not negative")
        if self.warmup + self.decay > self.steps:
            raise ValueError("warmup and decay together exceed steps")


@dataclass(frozen=True)
class RunOptions:
    """How it runs, and what is written when.

    Attributes:
        seed: of weights and data.
        evaluate_every: steps between two evaluations; there is one at the end in any case.
        evaluate_bytes: validation text in one evaluation.
        checkpoint_every: steps between two checkpoints; there is one at the end in any case.
        keep: checkpoints kept, the best one apart.
        precision: ``auto`` takes bf16 where the device computes in it, else fp32; ``fp16`` is for
            GPUs without bf16 and scales the loss.
        compile: `torch.compile` the model.
        gradient_checkpointing: keep each block's input alone and compute the rest again: a third
            more work, a fraction of the memory.
        parallel: how several GPUs share a model: ``ddp`` holds it whole on each, ``fsdp`` shards
            weights, gradients and optimiser state.
        trackers: that the metrics also go to.
        spike_deviations: the run stops if the loss stays this many robust standard deviations
            above its running median
        spike_steps: for so many steps; 0 never stops.
        push_to: ``owner/name`` on the Hub that checkpoints go to.
        private: whether it is private if it is made.
    """

    seed: int = 1
    evaluate_every: int = 200
    evaluate_bytes: int = 500_000
    checkpoint_every: int = 200
    keep: int = 2
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    compile: bool = False
    gradient_checkpointing: bool = False
    parallel: Literal["ddp", "fsdp"] = "ddp"
    trackers: tuple[Literal["tensorboard", "wandb"], ...] = ()
    spike_deviations: float = 8.0
    spike_steps: int = 25
    push_to: str | None = None
    private: bool = False

    def __post_init__(self) -> None:
        if min(self.evaluate_every, self.checkpoint_every, self.keep) < 1:
            raise ValueError("evaluate_every, checkpoint_every and keep are positive")
        if self.spike_deviations <= 0 or self.spike_steps < 0:
            raise ValueError("spike_deviations is positive, spike_steps is not negative")


@dataclass(frozen=True)
class Recipe:
    """A whole recipe."""

    name: str
    data: DataOptions
    model: ModelOptions = field(default_factory=ModelOptions)
    loss: LossOptions = field(default_factory=LossOptions)
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    schedule: ScheduleOptions = field(default_factory=ScheduleOptions)
    run: RunOptions = field(default_factory=RunOptions)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as YAML and JSON take them."""
        values: dict[str, Any] = plain(self)
        return values

    def defines_same_run(self, other: Recipe) -> bool:
        """Whether a run of `other` may go on with this one: all but schedule and output agrees."""
        seeds = self.run.seed == other.run.seed
        rows = self.optimizer.rows_per_stream == other.optimizer.rows_per_stream
        same = (self.model, self.data) == (other.model, other.data)
        return seeds and rows and same and self.optimizer.name == other.optimizer.name


def load_recipe(name: str, overrides: list[str] | None = None) -> Recipe:
    """Reads a recipe by file or by the name of a shipped one, and applies ``KEY=VALUE`` overrides.

    Raises:
        RecipeError: if there is none, or a field is unknown or of the wrong type.
    """
    content = read_mapping(name, {n: f"{n}.yaml" for n in shipped_recipes()})
    for override in overrides or []:
        key, equals, value = override.partition("=")
        place = content
        *parents, last = key.split(".")
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise RecipeError(f"{override}: {parent} has no fields")
        if not equals:
            raise RecipeError(f"{override} is not of the form KEY=VALUE")
        try:
            place[last] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise RecipeError(f"{override}: the value is no YAML") from error
    return build(Recipe, content)


def shipped_recipes() -> list[str]:
    """Names of the model recipes inside the package."""
    folder = resources.files(__package__) / "recipes"
    names = [item.name for item in folder.iterdir() if item.name.endswith(".yaml")]
    return sorted(n.removesuffix(".yaml") for n in names if not n.startswith("corpus-"))
