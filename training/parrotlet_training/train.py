"""The training loop. Run again with the same folder, it goes on where it stopped."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from tqdm import tqdm
from transformers import GPT2LMHeadModel

from parrotlet_tokenizer import CodeTokenizer
from parrotlet_tokenizer.specials import QUALITY_LEVELS

from .checkpoint import (
    TrainingState,
    checkpoint_folder,
    checkpoints,
    load_checkpoint,
    newest_checkpoint,
    prune,
    save_checkpoint,
)
from .data import TrainingData
from .hardware import kept_memory, release_memory, this_device
from .initial import first_weights, tokens_seen
from .logs import logged
from .metrics import Metrics, SpikeGuard
from .model import new_optimizers, parameters, rate_factor, rates, set_rates
from .objective import Objective
from .plan import flops_per_token, relief
from .processes import agreed, can_compile, from_first, gathered, is_memory_short, open_accelerator
from .recipe import Recipe
from .run_folder import check_same_data, claim, locked, log
from .sharding import is_sharded, restore_state, whole_state, whole_weights
from .stop import Stop
from .tracking import open_trackers
from .update import update
from .validation import validate

MOST_SKIPS = 50
"""Steps in a row that fp16 may skip for overflow, which halves the loss's scale each time."""

RELEASE_EVERY = 20
"""Steps on a processor after which memory that has become free is given back."""

Saved = Callable[[Path, int], None]


class DivergedError(RuntimeError):
    """The loss is no number any more, or has left its course; the message says what to do."""


class MemoryShortError(RuntimeError):
    """The device's memory does not suffice; the message names the setting to lower."""


def train(
    recipe: Recipe, run: Path, init_from: str | None = None, saved: Saved | None = None
) -> Path:
    """Trains by `recipe` in the folder `run` and returns the last checkpoint.

    All processes of one launch call it; it shares the work through Accelerate. A process may call
    it several times.

    Args:
        recipe: what to train.
        run: folder of the run; its newest checkpoint, if it has any, is gone on from.
        init_from: model whose weights a new run begins with; see `initial.given_model`.
        saved: is told each new checkpoint and its step on the first process, before older ones
            are removed.

    Raises:
        RecipeError: if `run` belongs to another recipe, or the machine lacks what it asks for.
        DataError: if the corpus cannot feed the recipe.
        ModelError: if `init_from` does not fit the recipe.
        DivergedError: if the loss becomes NaN or infinite, or stays far above its course.
        MemoryShortError: if the device's memory does not suffice.
    """
    with ExitStack() as stack:
        accelerator = open_accelerator(recipe, run / "logs")
        stack.callback(accelerator.end_training)
        if accelerator.device.type == "cpu":
            stack.enter_context(kept_memory())
        tokenizer = CodeTokenizer.load(Path(recipe.data.tokenizer))
        data = TrainingData.open(recipe.data, tokenizer, recipe.model.context, recipe.run.seed)
        if accelerator.is_main_process:
            stack.enter_context(locked(run))
        claim(recipe, run, accelerator)
        stack.enter_context(logged(run / "logs", accelerator.process_index))
        try:
            return _train(recipe, run, init_from, saved, accelerator, tokenizer, data, stack)
        except (RuntimeError, MemoryError) as error:
            if not is_memory_short(error):
                raise
            advice = relief(recipe, accelerator.num_processes)
            raise MemoryShortError(f"out of memory: {advice} ({error})") from error


def _train(
    recipe: Recipe,
    run: Path,
    init_from: str | None,
    saved: Saved | None,
    accelerator: Accelerator,
    tokenizer: CodeTokenizer,
    data: TrainingData,
    stack: ExitStack,
) -> Path:
    world, rank = accelerator.num_processes, accelerator.process_index
    first = accelerator.is_main_process
    options, schedule = recipe.optimizer, recipe.schedule
    for warning in data.warnings if first else ():
        log.warning(warning)
    loader = stack.enter_context(data.loader(rank, world))
    stop = stack.enter_context(Stop())

    # weights and state, fresh or gone on from; the first process looks which are sound
    found = from_first(accelerator, str(newest_checkpoint(run) or "") if first else None)
    if found:
        last = Path(found)
        model, state = load_checkpoint(last)
        before = tokens_seen(last, "tokens_before")
        check_same_data(last, state, recipe, data, tokenizer)
        loader.restore(state.streams)
        log.info("going on after step %d of %s", state.step, last)
    else:
        last = run
        model, before = first_weights(recipe, tokenizer, init_from)
        state = TrainingState.fresh(recipe.to_dict(), data.fingerprint)
    step, tokens = state.step, state.tokens

    # what trains: in pieces with FSDP, whole on each process otherwise
    model.train()
    sharded = recipe.run.parallel == "fsdp" and world > 1
    objective, *prepared = accelerator.prepare(
        Objective(
            model,
            recipe.loss,
            recipe.run.compile and can_compile(accelerator),
            sharded=sharded,
            checkpointing=recipe.run.gradient_checkpointing,
        ),
        *new_optimizers(model, options, True, accelerator.mixed_precision == "bf16"),
    )
    # their own steps: Accelerate's would update the loss scale once for each
    optimizers: list[torch.optim.Optimizer] = [wrapped.optimizer for wrapped in prepared]
    scaler = accelerator.scaler
    if found:
        for optimizer, content in zip(optimizers, state.optimizers, strict=True):
            restore_state(optimizer, content)
        if scaler is not None and state.scaler:
            scaler.load_state_dict(state.scaler)
    state.optimizers = []  # the memory of what has been restored

    metrics = Metrics(run, step, first)
    losses = from_first(accelerator, metrics.losses())  # so that all decide the same
    guard = SpikeGuard(recipe.run.spike_deviations, recipe.run.spike_steps, losses)
    good = last  # that an error names: one saved by a stop may lie in the midst of a spike
    if guard.high:
        good = Path(from_first(accelerator, str(_newest_until(run, step - guard.high))))
    facts = _facts(recipe, data, parameters(model), before)
    device = this_device(recipe.run.precision)
    flops = flops_per_token(recipe.model, recipe.loss, tokenizer.vocabulary_size)
    open_trackers(accelerator, recipe, run, step)
    bar = stack.enter_context(
        tqdm(
            total=schedule.steps,
            initial=step,
            unit="step",
            desc=recipe.name,
            disable=None if first else True,
        )
    )
    skipped = 0
    began = time.perf_counter() - metrics.seconds
    while step < schedule.steps:
        started = time.perf_counter()
        rows = loader.next_rows(options.rows_per_stream)
        set_rates(optimizers, rate_factor(step, schedule))
        own_loss = _gradients(objective, rows, recipe, step, accelerator)
        norm = update(optimizers, model.parameters(), options.clip, scaler)
        loss, stopping = agreed(accelerator, own_loss, stop.asked)
        step += 1
        batch = len(rows) * recipe.model.context * world
        tokens += batch
        skipped = 0 if math.isfinite(norm) else skipped + 1
        if skipped > (0 if scaler is None else MOST_SKIPS):
            raise DivergedError(
                f"the loss is {loss} and its gradient {norm} at step {step}: lower the learning "
                f"rate; {_named(good, run)}"
            )

        if step % RELEASE_EVERY == 0 and accelerator.device.type == "cpu":
            release_memory()
        now = time.perf_counter()
        speed = batch / (now - started)
        mfu = speed * flops / (device.peak * world) if device.peak else math.nan
        line = {
            "step": step,
            "tokens": tokens,
            "loss": loss,
            "rate": rate_factor(step - 1, schedule),
            **rates(optimizers),
            "gradient_norm": norm,
            "seconds": now - began,
            "tokens_per_second": speed,
            "mfu": mfu,
        }
        metrics.write(**line)
        accelerator.log({f"train/{key}": value for key, value in line.items()}, step=step)
        shown = {"loss": f"{loss:.3f}", "tok_s": f"{speed:,.0f}", "MFU": f"{mfu:.0%}"}
        bar.set_postfix(
            {key: text for key, text in shown.items() if "nan" not in text}, refresh=False
        )
        bar.update()
        if math.isfinite(loss) and guard.spiked(loss):
            raise DivergedError(
                f"the loss has been far above its course since step {step - guard.high + 1} and is "
                f"{loss:.3f} now: lower the learning rate, or raise run.spike_deviations; "
                f"{_named(good, run)}"
            )

        final = step == schedule.steps
        best = False
        if final or step % recipe.run.evaluate_every == 0:
            score = validate(
                objective,
                data.validation_rows(recipe.run.evaluate_bytes),
                tokenizer,
                accelerator,
                options.micro_rows,
            )
            line = {
                "step": step,
                "tokens": tokens,
                "validation_loss": score.loss,
                "perplexity": score.perplexity,
                "bits_per_byte": score.bits_per_byte,
            }
            metrics.write(**line)
            accelerator.log({f"validation/{key}": value for key, value in line.items()}, step=step)
            log.info("step %d: validation %.4f bits per byte", step, score.bits_per_byte)
            state.evaluation = {"step": step, "validation_bits_per_byte": score.bits_per_byte}
            best = score.bits_per_byte < state.best
            if best:
                state.best, state.best_step = score.bits_per_byte, step
        due = best or step % recipe.run.checkpoint_every == 0
        if final or stopping or (due and not guard.high):  # the newest is to be a good one
            metrics.keep()
            state.step, state.tokens, state.recipe = step, tokens, recipe.to_dict()
            state.streams = gathered(accelerator, loader.state())
            state.scaler = scaler.state_dict() if scaler is not None else {}
            facts["run"] |= {"step": step, "tokens": tokens}
            facts["evaluation"] = state.evaluation
            folder = _save(run, model, tokenizer, state, facts, optimizers, first)
            last = Path(from_first(accelerator, str(folder)))
            good = good if guard.high else last
            if first:
                if saved is not None:
                    saved(last, step)
                prune(run, recipe.run.keep, {good, checkpoint_folder(run, state.best_step)})
        if stopping:
            log.info("stopped after step %d; the same command goes on", step)
            break
    accelerator.wait_for_everyone()
    return last


def _gradients(
    objective: torch.nn.Module,
    rows: NDArray[np.int32],
    recipe: Recipe,
    step: int,
    accelerator: Accelerator,
) -> torch.Tensor:
    """Adds up the gradients of this process's rows; returns their mean loss, a float32 scalar."""
    size = recipe.optimizer.micro_rows
    micros = [rows[start : start + size] for start in range(0, len(rows), size)]
    loss = torch.zeros((), device=accelerator.device)
    for number, micro in enumerate(micros):
        # random numbers follow from the place, so a resume needs no state of them
        place = (recipe.run.seed, 4, step, accelerator.process_index, number)
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1)[0]))
        # gradients meet once a step, after the last micro-batch
        last = number == len(micros) - 1
        with nullcontext() if last else accelerator.no_sync(objective):
            batch = torch.from_numpy(micro.astype(np.int64)).to(accelerator.device)
            part = objective(batch) * (len(micro) / len(rows))
            accelerator.backward(part)
        loss += part.detach()
    return loss


def _newest_until(run: Path, step: int) -> Path:
    """The newest checkpoint of `step` or an earlier one; `run` itself if there is none."""
    older = [one for one in checkpoints(run) if one <= checkpoint_folder(run, step)]
    return older[-1] if older else run


def _named(good: Path, run: Path) -> str:
    return "there is no good checkpoint" if good == run else f"the last good checkpoint is {good}"


def _save(
    run: Path,
    model: GPT2LMHeadModel,
    tokenizer: CodeTokenizer,
    state: TrainingState,
    facts: dict[str, Any],
    optimizers: list[torch.optim.Optimizer],
    first: bool,
) -> Path | None:
    """Brings together what is sharded; the first process writes it and returns the checkpoint."""
    states = [whole_state(optimizer, first) for optimizer in optimizers]
    weights = whole_weights(model, first) if is_sharded(model) else None
    if not first:
        return None
    return save_checkpoint(run, model, tokenizer, replace(state, optimizers=states), facts, weights)


def _facts(recipe: Recipe, data: TrainingData, count: int, before: int) -> dict[str, Any]:
    """What the bundle's manifest shall say of this run."""
    told = data.rated and recipe.data.fim.quality_share
    return {
        "corpus": dict(data.facts),
        "run": {
            "recipe": recipe.to_dict(),
            "parameters": count,
            "tokens_before": before,  # of the runs whose weights this one began with
            "best_quality": QUALITY_LEVELS - 1 if told else None,
        },
        "evaluation": {},
    }
