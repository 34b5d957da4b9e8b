"""Which vocabulary: what a model makes of each at equal compute.

Fewer, longer tokens let a model read more text for the same work, but cost parameters and are each
seen less often. So each candidate trains the same small trunk on as many tokens as the shape that
it is chosen for could be trained on with one budget, and bits per byte of held-out text decide.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from parrotlet_tokenizer import TokenizerError
from parrotlet_tokenizer.corpus import corpus_texts
from parrotlet_tokenizer.files import write_aside
from parrotlet_tokenizer.train import train_tokenizer

from ..checkpoint import checkpoints
from ..data import DataError
from ..evaluate.loading import ModelError
from ..release import score_held_out
from .errors import BenchmarkError
from .trials import BATCH, Shape, Trial

RESULTS = "results.json"


TRAINED = Shape(3, 128)
MEANT = Shape(12, 512)


@dataclass(frozen=True)
class Candidate:
    """A vocabulary to try.

    Attributes:
        entries: special tokens included.
        split: a key of `parrotlet_tokenizer.train.SPLITS`.
    """

    entries: int
    split: str

    @classmethod
    def parse(cls, text: str) -> Candidate:
        """Reads ``ENTRIES:SPLIT``.

        Raises:
            ValueError: if it is not of that form.
        """
        entries, _, split = text.partition(":")
        return cls(int(entries), split or "spaces")

    def __str__(self) -> str:
        return f"{self.entries}-{self.split}"


@dataclass(frozen=True)
class Result:
    """What became of a candidate with one seed.

    Attributes:
        entries: of the vocabulary.
        split: where its tokens end.
        seed: of weights and data order.
        parameters: of the model that was trained.
        tokens: that it was trained on.
        bytes_per_token: on the held-out text.
        bits_per_byte: on the held-out text.
        validation: lowest bits per byte on the validation split.
    """

    entries: int
    split: str
    seed: int
    parameters: int
    tokens: int
    bytes_per_token: float
    bits_per_byte: float
    validation: float


@dataclass(frozen=True)
class Plan:
    """What all candidates share.

    Attributes:
        corpus: to learn vocabularies and weights from.
        held_out: a folder of `parrotlet corpus build --holdout`.
        out: folder of vocabularies, runs and results; what lies there is not done again.
        tokens: that a vocabulary of 16,384 entries gets; others get more or fewer.
        shape: of the models that are trained.
        target: the shape whose compute is the same for all.
        vocabulary_bytes: of text that the merges are learnt from.
        held_out_bytes: of text to score.
    """

    corpus: Path
    held_out: Path
    out: Path
    tokens: int = 3_000_000
    shape: Shape = TRAINED
    target: Shape = MEANT
    vocabulary_bytes: int = 24_000_000
    held_out_bytes: int = 1_000_000

    def steps(self, entries: int) -> int:
        """Batches that a vocabulary of so many entries is trained with."""
        one = self.target.flops_per_token(16_384, 1024)
        tokens = self.tokens * one / self.target.flops_per_token(entries, 1024)
        return max(10, round(tokens / BATCH))


def compare(
    plan: Plan,
    candidates: Sequence[Candidate],
    seeds: Sequence[int],
    say: Callable[[str], None] = lambda line: None,
) -> list[Result]:
    """Trains and scores every candidate with every seed; goes on where an earlier call stopped.

    Raises:
        BenchmarkError: if a training run fails.
        TokenizerError: if the corpus cannot give a vocabulary.
        DataError: if there is no held-out text.
    """
    file = plan.out / RESULTS
    results = _read(file)
    done = {(result.entries, result.split, result.seed) for result in results}
    for seed in seeds:
        for candidate in candidates:
            if (candidate.entries, candidate.split, seed) in done:
                continue
            say(f"{candidate}, seed {seed}: {plan.steps(candidate.entries):,} steps")
            results.append(_run(plan, candidate, seed))
            write_aside(file, json.dumps([asdict(result) for result in results], indent=1) + "\n")
    return results


def _read(file: Path) -> list[Result]:
    if not file.is_file():
        return []
    return [Result(**values) for values in json.loads(file.read_text(encoding="utf-8"))]


def _run(plan: Plan, candidate: Candidate, seed: int) -> Result:
    vocabulary = plan.out / "vocabularies" / str(candidate)
    if not (vocabulary / "tokenizer.json").is_file():
        texts = corpus_texts(plan.corpus, plan.vocabulary_bytes)
        train_tokenizer(texts, candidate.entries, candidate.split).save(vocabulary)
    run = plan.out / "runs" / f"{candidate}-{seed}"
    trial = _trial(plan, candidate, vocabulary, seed)
    trial.train(plan.out, run)
    last = checkpoints(run)[-1]
    score = score_held_out(last, plan.held_out, plan.held_out_bytes)
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    facts = json.loads((last / "parrotlet_run.json").read_text(encoding="utf-8"))
    return Result(
        entries=candidate.entries,
        split=candidate.split,
        seed=seed,
        parameters=int(facts["run"]["parameters"]),
        tokens=int(facts["run"]["tokens"]),
        bytes_per_token=round(score.bytes / score.tokens, 4),
        bits_per_byte=round(score.bits_per_byte, 4),
        validation=round(min(m["bits_per_byte"] for m in metrics if "bits_per_byte" in m), 4),
    )


def _trial(plan: Plan, candidate: Candidate, vocabulary: Path, seed: int) -> Trial:
    steps = plan.steps(candidate.entries)
    return Trial(
        f"vocabulary-{candidate}-{seed}",
        plan.corpus,
        vocabulary,
        plan.shape,
        {"steps": steps, "warmup": min(20, steps // 4), "decay": int(steps * 0.6)},
        {
            "seed": seed,
            "evaluate_every": max(1, steps // 4),
            "evaluate_bytes": 300_000,
            "checkpoint_every": max(1, steps // 8),
            "keep": 1,
        },
    )


def table(results: Sequence[Result]) -> list[str]:
    """Markdown rows, with the difference to the best of the same seed."""
    lines = [
        "| entries | split | seed | parameters | tokens | bytes a token | validation | held out |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for r in sorted(results, key=lambda r: (r.seed, r.entries, r.split)):
        best = min(other.bits_per_byte for other in results if other.seed == r.seed)
        lines.append(
            f"| {r.entries:,} | {r.split} | {r.seed} | {r.parameters:,} | {r.tokens:,} "
            f"| {r.bytes_per_token:.3f} | {r.validation:.4f} "
            f"| {r.bits_per_byte:.4f} ({100 * (r.bits_per_byte / best - 1):+.1f} %) |"
        )
    return lines


def main(arguments: argparse.Namespace) -> int:
    """Runs `parrotlet bench vocabulary`."""
    try:
        candidates = [Candidate.parse(text) for text in arguments.candidates]
        plan = Plan(
            arguments.corpus,
            arguments.held_out,
            arguments.out,
            arguments.tokens,
            Shape.parse(arguments.shape),
            Shape.parse(arguments.target),
            arguments.vocabulary_bytes,
            arguments.held_out_bytes,
        )
    except ValueError as error:
        _say(f"parrotlet: give ENTRIES:SPLIT and LAYERSxWIDTH: {error}", sys.stderr)
        return 2
    try:
        results = compare(plan, candidates, range(1, arguments.seeds + 1), _say)
    except KeyboardInterrupt:
        _say("\nstopped; the same command goes on", sys.stderr)
        return 130
    except (
        BenchmarkError,
        TokenizerError,
        DataError,
        ModelError,
        OSError,
        ValueError,
    ) as error:
        _say(f"parrotlet: {error}", sys.stderr)
        return 1
    _say("\n".join(table(results)))
    return 0


def _say(line: str, stream: TextIO = sys.stdout) -> None:
    stream.write(line + "\n")
    stream.flush()
