"""Answers to problems, from a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from parrotlet_server.bundle.resolve import resolve_model

from .completions import Completions, Key
from .errors import EvaluationError
from .named import NamedModel, best_quality
from .problems import Problem
from .prompts import prompt_of

Progress = Callable[[int], object]


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn.

    Attributes:
        temperatures: 0 is greedy.
        samples: to each task at each temperature above 0.
        top_p: share of the probability that is drawn from.
        max_tokens: of an answer.
        seed: of the draws.
        batch: answers that are written together.
    """

    temperatures: tuple[float, ...]
    samples: int
    top_p: float
    max_tokens: int
    seed: int
    batch: int

    def keys(self, problems: Sequence[Problem]) -> list[Key]:
        """Which answers are wanted, in the order of `problems`."""
        return [
            Key(problem.task_id, temperature, sample)
            for problem in problems
            for temperature in self.temperatures
            for sample in range(self.samples if temperature else 1)
        ]


def served_answers(
    model: NamedModel,
    problems: Sequence[Problem],
    sampling: Sampling,
    store: Completions,
    progress: Progress,
) -> None:
    """Adds the greedy answers that `store` lacks, as the served engine's decoder writes them.

    Raises:
        BundleError: if the model cannot be served.
        EvaluationError: see `prompt_of`.
    """
    from .served import Served

    missing = [problem for problem in problems if Key(problem.task_id, 0.0, 0) not in store.texts]
    if not missing:
        return
    bundle = resolve_model(str(model.folder))
    served = Served(bundle)
    for problem in missing:
        prompt = prompt_of(
            bundle.tokenizer,
            problem,
            served.context,
            sampling.max_tokens,
            bundle.manifest.best_quality,
        )
        store.add([(Key(problem.task_id, 0.0, 0), served.answer(prompt))])
        progress(1)


def checkpoint_answers(
    model: NamedModel,
    problems: Sequence[Problem],
    sampling: Sampling,
    store: Completions,
    progress: Progress,
) -> None:
    """Adds the answers that `store` lacks, of the weights in torch, on a GPU if there is one.

    Raises:
        ModelError: if the model cannot be loaded.
        EvaluationError: see `prompt_of`.
    """
    missing = [key for key in sampling.keys(problems) if key not in store.texts]
    if not missing:
        return  # without torch, which need not be there then
    import torch

    from parrotlet_server.engine.vocabulary import Vocabulary
    from parrotlet_tokenizer import CodeTokenizer

    from .generation import Job, generate
    from .loading import load_model

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with load_model(str(model.folder)) as (weights, folder):
        tokenizer = CodeTokenizer.load(folder)
        vocabulary = Vocabulary(tokenizer)
        context, quality = weights.config.n_positions, best_quality(folder)
        asked = {
            problem.task_id: (
                prompt_of(tokenizer, problem, context, sampling.max_tokens, quality),
                problem.stops,
            )
            for problem in problems
        }
        jobs = [Job(key, *asked[key.task_id], seed=sampling.seed) for key in missing]
        jobs.sort(key=lambda job: len(job.prompt.ids))  # for little padding; the sort is stable
        weights.to(device)
        for start in range(0, len(jobs), sampling.batch):
            batch = jobs[start : start + sampling.batch]
            texts = generate(weights, vocabulary, batch, sampling.top_p, device)
            store.add((job.key, text) for job, text in zip(batch, texts, strict=True))
            progress(len(batch))


def check_complete(problems: Sequence[Problem], texts: dict[Key, str]) -> None:
    """Refuses answers that leave problems out or belong to others.

    Raises:
        EvaluationError: if they do.
    """
    named = {key.task_id for key in texts}
    without = [problem.task_id for problem in problems if problem.task_id not in named]
    if without:
        raise EvaluationError(
            f"there are no answers to {len(without)} of {len(problems)} tasks, such as {without[0]}"
        )
