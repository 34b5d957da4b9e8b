"""The training loop. Run again with the same folder, it goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from accelerate import Accelerator
from accelerate.logging import get_logger
from accelerate.utils import gather_object
from numpy.typing import NDArray
from tqdm import tqdm
from transformers import GPT2LMHeadModel

from parrotlet_tokenizer import CodeTokenizer
from parrotlet_tokenizer.specials import QUALITY_LEVELS

from .checkpoint import RUN_FILE, TrainingState, newest_checkpoint, prune, save_checkpoint
from .corpus.shards import shard_files
from .dataset import DataError, RowLoader, RowOptions, text_rows
from .evaluate.bits import TextScore, score_rows
from .evaluate.loading import ModelError, load_model
from .model import new_model, new_optimizers, parameters, rate_factor, set_rates
from .objective import Objective
from .recipe import Recipe, RecipeError, load_recipe

METRICS = "metrics.jsonl"
RECIPE = "recipe.yaml"


class DivergedError(RuntimeError):
    """The loss is no number any more; the message names the last good checkpoint."""


@dataclass
class Stop:
    """Set by SIGINT and SIGTERM: the loop then saves and ends."""

    asked: bool = False

    def listen(self) -> None:
        """Takes over both signals."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: object) -> None:
        self.asked = True


def train(recipe: Recipe, run: Path, init_from: str | None = None) -> Path:
    """Trains by `recipe` in the folder `run` and returns the last checkpoint.

    All processes of one launch call it; it shares the work through Accelerate.

    Args:
        recipe: what to train.
        run: folder of the run; its newest checkpoint, if it has any, is gone on from.
        init_from: checkpoint folder or bundle whose weights a new run begins with.

    Raises:
        RecipeError: if `run` belongs to another recipe.
        DataError: if the corpus cannot feed the recipe.
        ModelError: if `init_from` does not fit the recipe.
        DivergedError: if the loss becomes NaN or infinite.
    """
    accelerator = Accelerator(mixed_precision=_precision(recipe))
    logger = get_logger(__name__)
    stop = Stop()
    stop.listen()
    tokenizer = CodeTokenizer.load(Path(recipe.data.tokenizer))
    corpus = Path(recipe.data.corpus)
    if not shard_files(corpus, "validation"):
        raise DataError(
            f"{corpus} has no validation split: build it from more repositories, "
            "or with a larger --validation-share"
        )
    _claim(recipe, run, accelerator)
    options = recipe.optimizer
    world, rank = accelerator.num_processes, accelerator.process_index

    loader = RowLoader(
        corpus,
        tokenizer,
        RowOptions(
            recipe.model.context,
            recipe.data.streams,
            recipe.run.seed,
            recipe.data.fim,
            recipe.data.window,
        ),
        rank,
        world,
    )
    found = next(newest_checkpoint(run), None)
    model, before = (
        (found[1], _tokens_seen(found[0], "tokens_before"))
        if found
        else _first_weights(recipe, tokenizer, init_from)
    )
    optimizers = new_optimizers(model, options, fused=True)
    state = TrainingState.fresh(recipe.to_dict(), fingerprint(corpus))
    if found:
        folder, _, state = found
        _same_data(folder, state, corpus, tokenizer)
        loader.restore(state.streams)
        for optimizer, content in zip(optimizers, state.optimizers, strict=True):
            # the recipe rules: a checkpoint's groups would bring back its rates and decays
            groups = [dict(group) for group in optimizer.param_groups]
            optimizer.load_state_dict(content)
            for group, own in zip(optimizer.param_groups, groups, strict=True):
                group.update({key: value for key, value in own.items() if key != "params"})
        torch.set_rng_state(state.random)
        logger.info("going on after step %d of %s", state.step, folder)
    step, tokens = state.step, state.tokens
    model.train()
    compiled = recipe.run.compile and _can_compile(accelerator)
    objective, *prepared = accelerator.prepare(Objective(model, recipe.loss, compiled), *optimizers)

    metrics = _Metrics(run, step, accelerator.is_main_process)
    facts = _facts(recipe, model, before)
    bar = tqdm(
        total=recipe.schedule.steps,
        initial=step,
        unit="step",
        desc=recipe.name,
        disable=None if accelerator.is_main_process else True,
    )
    last = found[0] if found else run
    began, began_tokens = time.perf_counter(), tokens
    while step < recipe.schedule.steps:
        rows = loader.next_rows(options.rows_per_stream)
        set_rates(prepared, rate_factor(step, recipe.schedule))
        loss = 0.0
        micros = [rows[i : i + options.micro_rows] for i in range(0, len(rows), options.micro_rows)]
        for number, micro in enumerate(micros):
            whole = number == len(micros) - 1
            # gradients meet once a step, after the last micro-batch
            with nullcontext() if whole else accelerator.no_sync(objective):
                batch = torch.from_numpy(micro.astype(np.int64)).to(accelerator.device)
                part = objective(batch) * (len(micro) / len(rows))
                accelerator.backward(part)
            loss += float(part.detach())
        accelerator.clip_grad_norm_(model.parameters(), options.clip)
        for optimizer in prepared:
            optimizer.step()
            optimizer.zero_grad()
        loss = float(accelerator.reduce(torch.tensor(loss, device=accelerator.device), "mean"))
        step += 1
        tokens += len(rows) * recipe.model.context * world
        if not math.isfinite(loss):
            raise DivergedError(
                f"the loss is {loss} at step {step}: lower the learning rate; "
                f"the last good checkpoint is {last}"
            )
        speed = (tokens - began_tokens) / (time.perf_counter() - began)
        metrics.write(
            step=step, tokens=tokens, loss=loss, rate=rate_factor(step - 1, recipe.schedule)
        )
        bar.set_postfix(loss=f"{loss:.3f}", tok_s=f"{speed:,.0f}", refresh=False)
        bar.update()

        stopping = _any(stop.asked, accelerator)
        final = step == recipe.schedule.steps
        is_best = False
        if final or step % recipe.run.evaluate_every == 0:
            score = _evaluate(model, recipe, tokenizer, accelerator)
            metrics.write(
                step=step,
                tokens=tokens,
                validation_loss=score.loss,
                perplexity=score.perplexity,
                bits_per_byte=score.bits_per_byte,
            )
            if accelerator.is_main_process:
                bar.write(f"step {step}: validation {score.bits_per_byte:.4f} bits per byte")
            state.evaluation = {"step": step, "validation_bits_per_byte": score.bits_per_byte}
            is_best = score.bits_per_byte < state.best
            if is_best:
                state.best, state.best_step = score.bits_per_byte, step
        if final or stopping or is_best or step % recipe.run.checkpoint_every == 0:
            streams = [s for part in gather_object([loader.state()]) for s in part]
            if accelerator.is_main_process:
                facts["run"] |= {"step": step, "tokens": tokens}
                facts["evaluation"] = state.evaluation
                state.step, state.tokens = step, tokens
                state.streams = sorted(streams, key=lambda s: s["index"])
                state.optimizers = [optimizer.state_dict() for optimizer in prepared]
                state.random = torch.get_rng_state()
                state.recipe = recipe.to_dict()
                last = save_checkpoint(run, model, tokenizer, state, facts)
                prune(run, recipe.run.keep, state.best_step)
            accelerator.wait_for_everyone()
        if stopping and accelerator.is_main_process:
            bar.write(f"stopped after step {step}; run the same command to go on")
        if stopping:
            break
    bar.close()
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return last


def _first_weights(
    recipe: Recipe, tokenizer: CodeTokenizer, init_from: str | None
) -> tuple[GPT2LMHeadModel, int]:
    """Weights of a new run, and the tokens that they have seen."""
    seen = 0
    model = new_model(recipe.model, tokenizer.vocabulary_size, recipe.run.seed)
    if init_from is not None:
        with load_model(init_from) as (given, folder):
            if CodeTokenizer.load(folder).json != tokenizer.json:
                raise ModelError(f"{init_from} has another tokenizer than the recipe")
            try:
                if given.config.n_head != model.config.n_head:  # the weights' shapes do not tell
                    raise RuntimeError("another number of heads")
                model.load_state_dict(given.state_dict())
            except RuntimeError as error:
                raise ModelError(f"{init_from} has another shape than the recipe") from error
            seen = _tokens_seen(folder, "tokens", "tokens_before")
    return model, seen


def _tokens_seen(folder: Path, *names: str) -> int:
    """What a checkpoint's facts say under `names`, added up."""
    try:
        run = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))["run"]
        return sum(int(run.get(name) or 0) for name in names)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0


def _evaluate(
    model: torch.nn.Module, recipe: Recipe, tokenizer: CodeTokenizer, accelerator: Accelerator
) -> TextScore:
    """Validation score; each rank scores its share of the rows, and the sums are added up."""
    rows: Iterator[NDArray[np.int32]] = text_rows(
        Path(recipe.data.corpus),
        "validation",
        tokenizer,
        recipe.model.context,
        recipe.run.evaluate_bytes,
    )
    own = islice(rows, accelerator.process_index, None, accelerator.num_processes)
    with accelerator.autocast():
        score = score_rows(model, own, tokenizer, accelerator.device, recipe.optimizer.micro_rows)
    sums = torch.tensor(
        [score.nats, score.tokens, score.bytes], dtype=torch.float64, device=accelerator.device
    )
    nats, count, size = accelerator.reduce(sums, "sum").tolist()
    return TextScore(nats, int(count), int(size))


def _precision(recipe: Recipe) -> str:
    if recipe.run.precision != "auto":
        return "no" if recipe.run.precision == "fp32" else "bf16"
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no"
    # without these instructions, bf16 on a CPU is emulated and many times slower
    return "bf16" if torch.cpu._is_avx512_bf16_supported() else "no"


def _claim(recipe: Recipe, run: Path, accelerator: Accelerator) -> None:
    """Writes the recipe into a new run's folder, or checks that an old one's agrees."""
    file = run / RECIPE
    if file.is_file() and not recipe.defines_same_run(load_recipe(str(file))):
        raise RecipeError(
            f"{run} was begun with another model, data, seed or batch: "
            "choose another --out, or remove it"
        )
    accelerator.wait_for_everyone()  # all have read it before it is written
    if accelerator.is_main_process:
        (run / "checkpoints").mkdir(parents=True, exist_ok=True)
        aside = file.with_suffix(".tmp")
        aside.write_text(yaml.safe_dump(recipe.to_dict(), sort_keys=False), encoding="utf-8")
        aside.replace(file)
    accelerator.wait_for_everyone()


def fingerprint(corpus: Path) -> str:
    """SHA-256 of a corpus's manifest, which holds the hash of every shard; "" without one."""
    manifest = corpus / "corpus.json"
    return hashlib.sha256(manifest.read_bytes()).hexdigest() if manifest.is_file() else ""


def _same_data(folder: Path, state: TrainingState, corpus: Path, tokenizer: CodeTokenizer) -> None:
    """Refuses to go on where cursors and token ids would mean something else than before.

    Raises:
        RecipeError: if the corpus or the tokenizer is another one than the checkpoint's.
    """
    if CodeTokenizer.load(folder).json != tokenizer.json:
        raise RecipeError(f"the tokenizer has changed since {folder}: choose another --out")
    if state.corpus and state.corpus != fingerprint(corpus):
        raise RecipeError(
            f"{corpus} was built anew since {folder}: choose another --out, and go on from its "
            f"weights with --init-from {folder}"
        )


def _can_compile(accelerator: Accelerator) -> bool:
    """Whether `torch.compile` has the compiler that it needs on a CPU."""
    names = [os.environ.get("CXX", ""), "g++", "clang++", "c++"]
    if accelerator.device.type != "cpu" or any(name and shutil.which(name) for name in names):
        return True
    get_logger(__name__).warning("no C++ compiler found (apt install g++): training uncompiled")
    return False


def _any(flag: bool, accelerator: Accelerator) -> bool:
    """Whether `flag` holds on any rank."""
    if accelerator.num_processes == 1:
        return flag
    return bool(accelerator.reduce(torch.tensor(int(flag), device=accelerator.device), "sum") > 0)


def _facts(recipe: Recipe, model: GPT2LMHeadModel, before: int) -> dict[str, Any]:
    """What the bundle's manifest shall say of this run."""
    manifest = Path(recipe.data.corpus) / "corpus.json"
    corpus: dict[str, Any] = {}
    rated = False
    if manifest.is_file():
        content = json.loads(manifest.read_text(encoding="utf-8"))
        corpus = {key: content.get(key) for key in ("documents", "bytes", "tool")}
        rated = any(level != "unknown" for level in content.get("quality", {}))
        kept = (s["repository"] for s in content.get("sources", []) if s["documents"])
        corpus["repositories"] = len(set(kept))
    return {
        "corpus": corpus,
        "run": {
            "recipe": recipe.to_dict(),
            "parameters": parameters(model),
            "tokens_before": before,  # of the runs whose weights this one began with
            "best_quality": QUALITY_LEVELS - 1 if rated and recipe.data.fim.quality_share else None,
        },
        "evaluation": {},
    }


class _Metrics:
    """One JSON object a line; what a resumed run repeats is cut off first."""

    def __init__(self, run: Path, step: int, active: bool) -> None:
        self._file = run / METRICS
        self._active = active
        if active and self._file.is_file():
            lines = self._file.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if _step_of(line) <= step]
            self._file.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def write(self, **values: float) -> None:
        if self._active:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(values) + "\n")


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError):
        return math.inf  # a line cut short by a kill
