"""pass@k on tasks with tests: answers, then their verdicts in the sandbox, then figures."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tqdm import tqdm

from parrotlet_server.bundle.manifest import sha256

from .answers import Sampling, check_complete, checkpoint_answers, served_answers
from .completions import Completions, Key, read_completions
from .errors import OptionError
from .execution import run_programs
from .figures import Figure, proportion
from .named import named_model
from .passes import pass_figures
from .problems import Problem, read_problems
from .report import Report
from .sandbox import Limits, Sandbox, Verdict, find_sandbox

_SHOWN = 5  # names of failing references


def measure(options: argparse.Namespace, infilling: bool) -> Report | None:
    """Runs `parrotlet evaluate tasks` or `infilling`.

    Returns:
        The results; None where answers were only written, not run.

    Raises:
        EvaluationError: for options or files that will not do.
        SandboxError: if code is to be run and cannot be contained.
    """
    wanted = read_problems(options.file, infilling)
    problems = _evenly(wanted, options.limit)
    if not options.run_generated_code and (options.reference or options.score):
        raise OptionError("this runs code from a file: say so with --run-generated-code")
    if not options.run_generated_code and not options.completions:
        raise OptionError(
            "nothing to do: --run-generated-code runs the answers in a sandbox, --completions FILE "
            "keeps them unscored"
        )
    # before hours of generating, not after
    sandbox = find_sandbox() if options.run_generated_code else None
    limits = Limits.of(options.cpu_seconds, options.memory)
    texts, model, made_with = _texts(options, problems, infilling)
    if sandbox is None:
        return None
    verdicts = _verdicts(problems, texts, sandbox, limits, options.workers)
    title = f"{'infilling' if infilling else 'tasks'}: {options.file.name}"
    told = {
        **({"limit": options.limit} if options.limit else {}),
        **made_with,
        "cpu_seconds": limits.cpu_seconds,
        "memory_mib": options.memory,
        "sandbox": str(sandbox),
    }
    if options.reference:
        return _reference_report(title, verdicts, told)
    by_task = _by_task(problems, verdicts)
    figures: list[Figure] = []
    for temperature, rows in sorted(by_task.items()):
        ks = sorted(set(options.k))
        figures += pass_figures(
            [[v.passed for v in row] for row in rows], ks, _label(temperature, len(by_task))
        )
    reasons = Counter(_kind(verdict) for verdict in verdicts.values())
    return Report(
        title,
        model,
        told,
        figures,
        [f"answers: {', '.join(f'{n} {reason}' for reason, n in reasons.most_common(8))}"],
        {"answers": [{**asdict(key), **asdict(value)} for key, value in verdicts.items()]},
    )


def _texts(
    options: argparse.Namespace, problems: Sequence[Problem], infilling: bool
) -> tuple[dict[Key, str], dict[str, str], dict[str, Any]]:
    """The answers, the model that gave them and how."""
    if options.reference:
        return (
            {Key(problem.task_id, 0.0, 0): problem.reference for problem in problems},
            {"name": "the references"},
            {},
        )
    if options.score:
        header, texts = read_completions(options.score)
        check_complete(problems, texts)
        made_with = {key: value for key, value in header.items() if key not in ("format", "model")}
        return texts, header.get("model", {"name": options.score.name}), made_with
    sampling = Sampling(
        tuple(dict.fromkeys(options.temperature)),
        options.samples,
        options.top_p,
        options.max_tokens,
        options.seed,
        options.batch,
    )
    named = named_model(options.model)
    made_with = {
        "tasks_sha256": sha256(options.file)[:16],
        "max_tokens": sampling.max_tokens,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
    }
    store = Completions(options.completions, {"model": named.identity, **made_with})
    keys = sampling.keys(problems)
    known = sum(key in store.texts for key in keys)
    with tqdm(total=len(keys), initial=known, desc="answers", disable=None) as bar:
        if infilling and 0.0 in sampling.temperatures:
            served_answers(named, problems, sampling, store, bar.update)
        checkpoint_answers(named, problems, sampling, store, bar.update)
    told = {**made_with, "temperatures": list(sampling.temperatures), "samples": sampling.samples}
    return {key: store.texts[key] for key in keys}, named.identity, told


def _verdicts(
    problems: Sequence[Problem],
    texts: dict[Key, str],
    sandbox: Sandbox,
    limits: Limits,
    workers: int,
) -> dict[Key, Verdict]:
    by_name = {problem.task_id: problem for problem in problems}
    keys = sorted(key for key in texts if key.task_id in by_name)
    programs = [by_name[key.task_id].program(texts[key]) for key in keys]
    with tqdm(total=len(set(programs)), desc="programs", disable=None) as bar:
        found = run_programs(programs, sandbox, limits, workers, lambda done: bar.update())
    return dict(zip(keys, found, strict=True))


def _by_task(
    problems: Sequence[Problem], verdicts: dict[Key, Verdict]
) -> dict[float, list[list[Verdict]]]:
    """For each temperature the verdicts of each task, in the order of `problems`."""
    temperatures = {key.temperature for key in verdicts}
    rows = {
        temperature: {problem.task_id: list[Verdict]() for problem in problems}
        for temperature in temperatures
    }
    for key, verdict in verdicts.items():
        rows[key.temperature][key.task_id].append(verdict)
    return {temperature: list(tasks.values()) for temperature, tasks in rows.items()}


def _reference_report(title: str, verdicts: dict[Key, Verdict], told: dict[str, Any]) -> Report:
    failing = [(key.task_id, v.reason) for key, v in verdicts.items() if not v.passed]
    notes = [f"{name} fails: {reason}" for name, reason in failing[:_SHOWN]]
    if len(failing) > _SHOWN:
        notes.append(f"and {len(failing) - _SHOWN} more")
    passed = [float(verdict.passed) for verdict in verdicts.values()]
    return Report(
        title,
        {"name": "the references"},
        told,
        [proportion("references that pass", passed, "tasks")],
        notes,
        {"failing": dict(failing)},
    )


def _label(temperature: float, number: int) -> str:
    if number == 1:
        return "" if temperature else "greedy "
    return f"T={temperature:g} " if temperature else "greedy "


def _kind(verdict: Verdict) -> str:
    """A verdict's reason without what is particular: the exception's name."""
    return verdict.reason.partition(":")[0].partition(" (")[0]


def _evenly(problems: list[Problem], number: int | None) -> list[Problem]:
    if number is None or number >= len(problems):
        return problems
    return [problems[at * len(problems) // number] for at in range(number)]
