"""The whole of an adaptation: text, plan, training, scores, bundle.

What is done so far lies in ``.NAME.adapt`` beside the new model, until that is whole: the same
command goes on where an interruption, a full disk or a power cut stopped it.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from parrotlet_server.bundle import Bundle
from parrotlet_server.bundle.aside import check_target
from parrotlet_server.bundle.export import export_checkpoint
from parrotlet_server.bundle.manifest import is_bundle
from parrotlet_server.bundle.resolve import resolve_model
from parrotlet_tokenizer import CodeTokenizer

from ..checkpoint import RUN_FILE
from ..corpus.sources import Source
from ..data import text_rows
from ..evaluate.bits import score_rows
from ..evaluate.loading import load_model
from ..train import train
from .code import (
    GENERAL_HELD_OUT_BYTES,
    Material,
    divide,
    general_documents,
    general_sources,
    own_documents,
)
from .corpus import BOUND, GENERAL, OWN, write_corpus
from .merge import merge
from .plan import ROWS, Settings, make_recipe, steps_for, tokens_per_second

SCORED_BYTES = 150_000
"""Of one's own held-out text."""

_WHOLE = 2 * GENERAL_HELD_OUT_BYTES

GENERAL_BYTES = 2_000_000
"""Of general Python that is looked at, at least: what is mixed in and what is held out."""

_PLAN = "plan.json"
_TOKENIZER = "tokenizer"


class AdaptError(RuntimeError):
    """An adaptation cannot go on; the message says what to do."""


class StoppedError(RuntimeError):
    """It was stopped, and goes on with the same command."""


@dataclass(frozen=True)
class Scores:
    """Bits per byte of text that was not learnt.

    Attributes:
        own: of the user's files.
        general: of other Python; None where the machine has none.
    """

    own: float
    general: float | None


@dataclass(frozen=True)
class Adapted:
    """A new model and what it is worth.

    Attributes:
        bundle: as it lies in its folder.
        before: of the model that it began with, in the 8 bits that are served.
        after: likewise.
    """

    bundle: Bundle
    before: Scores
    after: Scores


@dataclass(frozen=True)
class Plan:
    """What was decided when the adaptation began.

    Attributes:
        identity: of code, model and options.
        steps: of training.
        before: scores of the model as it was.
    """

    identity: str
    steps: int
    before: Scores


def adapt(
    sources: Sequence[Source],
    out: Path,
    model: str | None = None,
    minutes: float = 10.0,
    fresh: bool = False,
    say: Callable[[str], None] = lambda line: None,
    settings: Settings | None = None,
) -> Adapted:
    """Continues `model` on the user's code and writes the new bundle to `out`.

    Args:
        sources: the user's repositories.
        out: a bundle that lies there is replaced.
        model: as `resolve_model` takes it; None is the one that comes with Parrotlet.
        minutes: to take in all, about; less where there is little code.
        fresh: forget what an interrupted adaptation has done.
        say: is given lines for the user.
        settings: rates and shares; None: those that measured best.

    Raises:
        TooLittleCodeError, SourceError: if there is too little to learn from.
        BundleError: if `model` is no model, or `out` holds something else.
        AdaptError: if an unfinished adaptation has other options, or nothing got better.
        StoppedError: after Ctrl+C or SIGTERM; what was learnt is saved.
        OSError: if the disk is full, say.
    """
    if not 0 < minutes < math.inf:
        raise AdaptError(f"--minutes is a positive number, not {minutes}")
    settings = settings or Settings()
    out = out.resolve()
    check_target(out, overwrite=is_bundle(out))
    base = resolve_model(model)
    work = out.parent / f".{out.name}.adapt"
    if fresh:
        shutil.rmtree(work, ignore_errors=True)
    identity = _identity(sources, base, minutes, settings)
    plan = _read_plan(work)
    if plan is None:
        plan = _begin(work, identity, sources, base, minutes, settings, say)
    elif plan.identity != identity:
        raise AdaptError(
            f"{work} holds an unfinished adaptation of other code or with other options: repeat "
            "its command to go on, or add --fresh to forget it"
        )
    else:
        say("going on with an adaptation that was interrupted (--fresh begins anew)")
    corpus = work / "corpus"
    recipe = make_recipe(out.name, base, corpus, work / _TOKENIZER, plan.steps, settings)
    last = train(recipe, work / "run", str(base.folder))
    done = int(last.name.rpartition("-")[2])
    if done < plan.steps:
        raise StoppedError(f"stopped after step {done} of {plan.steps}")
    try:
        bundle, after = _finish(base, last, out, work, plan.before, settings, say)
    except AdaptError:
        shutil.rmtree(work)
        raise
    shutil.rmtree(work)
    return Adapted(bundle, plan.before, after)


def _begin(
    work: Path,
    identity: str,
    sources: Sequence[Source],
    base: Bundle,
    minutes: float,
    settings: Settings,
    say: Callable[[str], None],
) -> Plan:
    """Collects the text, looks how fast this machine is, and decides."""
    quality = base.manifest.best_quality
    own, seen = own_documents(sources, quality)
    say(f"your code: {seen.files:,} files, {seen.bytes / 1e6:,.1f} MB; {len(own):,} are useful")
    if seen.left_out:
        say(f"left out: {seen.reasons()}")
    if seen.redacted:
        said = ", ".join(f"{kind}: {count}" for kind, count in seen.redacted.most_common())
        say(f"replaced, so that they are never suggested: {said}")
    for warning in seen.warnings:
        say(f"warning: {warning}")
    say("looking how fast this machine trains")
    speed = tokens_per_second(base)
    context = base.manifest.architecture.context_length
    own_bytes = sum(len(document.content.encode()) for document in own)
    sample = [document.content for document in own[:50]]
    tokens = sum(map(len, base.tokenizer.encode_batch(sample)))
    density = sum(len(text.encode()) for text in sample) / max(1, tokens)
    steps, share = steps_for(minutes, speed, context, own_bytes, density, settings)
    train_bytes = int(steps * ROWS * context * density * 1.1)
    wanted = max(GENERAL_BYTES, 2 * int(share * train_bytes))
    general = list(general_documents(general_sources(), wanted, rated=quality is not None))
    material = divide(own, general)
    _describe(material, steps, speed, context, density, share if material.general else 0.0, say)
    corpus = work / "corpus"
    work.mkdir(parents=True, exist_ok=True)
    write_corpus(corpus, material, share, train_bytes)
    # a copy, so that an interrupted adaptation goes on wherever the model lies by then
    base.tokenizer.save(work / _TOKENIZER, context)
    plan = Plan(identity, steps, _scores(base.folder, corpus))
    aside = work / f"{_PLAN}.tmp"
    aside.write_text(json.dumps(asdict(plan)), encoding="utf-8")
    aside.replace(work / _PLAN)
    return plan


def _describe(
    material: Material,
    steps: int,
    speed: float,
    context: int,
    bytes_per_token: float,
    share: float,
    say: Callable[[str], None],
) -> None:
    learnt = sum(len(document.content.encode()) for document in material.own)
    say(
        f"{len(material.own):,} files to learn, {len(material.held_out):,} kept out to judge by; "
        f"{share:.0%} of what is read is general Python, so that that is not forgotten"
    )
    seconds = steps * ROWS * context / speed
    times = (1 - share) * steps * ROWS * context * bytes_per_token / learnt
    say(
        f"{steps:,} steps at {speed:,.0f} tokens a second, about {seconds / 60:.0f} minutes; "
        f"your code is read {times:.1f} times"
    )


def _read_plan(work: Path) -> Plan | None:
    try:
        content = json.loads((work / _PLAN).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Plan(content["identity"], content["steps"], Scores(**content["before"]))


def _identity(sources: Sequence[Source], base: Bundle, minutes: float, settings: Settings) -> str:
    named = [
        (source.kind, source.repository, source.commit, str(vars(source).get("root", "")))
        for source in sources
    ]
    weights = sorted((name, digest) for name, (_, digest) in base.manifest.files.items())
    text = json.dumps([named, weights, minutes, asdict(settings)])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _has(corpus: Path, split: str) -> bool:
    return any((corpus / "data").glob(f"{split}-*.parquet"))


def _scores(model: Path, corpus: Path) -> Scores:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found: dict[str, float] = {}
    with load_model(str(model)) as (weights, folder):
        tokenizer = CodeTokenizer.load(folder)
        weights.to(device)
        for split, size in ((OWN, SCORED_BYTES), (GENERAL, _WHOLE)):
            if not _has(corpus, split):
                continue
            rows = text_rows(corpus, split, tokenizer, weights.config.n_positions, size)
            found[split] = score_rows(weights, rows, tokenizer, device).bits_per_byte
    return Scores(found[OWN], found.get(GENERAL))


def _finish(
    base: Bundle,
    checkpoint: Path,
    out: Path,
    work: Path,
    before: Scores,
    settings: Settings,
    say: Callable[[str], None],
) -> tuple[Bundle, Scores]:
    """Merges `checkpoint` with `base`, scores the bundle, and puts it at `out` if it is better.

    Raises:
        AdaptError: if it is not.
        BundleError: if it cannot be written.
    """
    with tempfile.TemporaryDirectory(dir=work) as scratch:
        copy = Path(scratch) / "checkpoint"
        corpus = work / "corpus"
        allowed = settings.general_loss if _has(corpus, BOUND) else None
        merged = merge(base.folder, checkpoint, copy, corpus, BOUND, _WHOLE, allowed)
        if merged.share < 1:
            kept = "stays about as it was"
            if allowed is not None and merged.loss is not None and merged.loss > allowed:
                kept = f"does not lose more than the {merged.loss:.1%} that it loses all the same"
            say(f"{merged.share:.0%} of what was learnt is taken, so that general Python {kept}")
        trial = Path(scratch) / "bundle"
        export_checkpoint(copy, trial)
        after = _scores(trial, corpus)
        if after.own >= before.own:
            raise AdaptError(
                f"nothing is gained: {before.own:.4f} bits per byte of your held-out files before, "
                f"{after.own:.4f} after; no model is written (more code or more --minutes may help)"
            )
        file = copy / RUN_FILE
        facts: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        facts["evaluation"] = {
            "adapted": {"share_of_new_weights": merged.share}
            | {
                name: {"before": _rounded(old), "after": _rounded(new)}
                for name, old, new in (
                    ("own_held_out_bits_per_byte", before.own, after.own),
                    ("general_bits_per_byte", before.general, after.general),
                )
            }
        }
        file.write_text(json.dumps(facts), encoding="utf-8")
        bundle = export_checkpoint(copy, out, overwrite=True)
    return bundle, after


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
