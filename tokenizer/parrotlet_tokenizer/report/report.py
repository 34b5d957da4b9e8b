"""One report on a vocabulary: what is measured, on what, against which others."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..corpus import held_out_texts
from ..tokenizer import CodeTokenizer, TokenizerError
from ..train import train_tokenizer
from .measures import Compression, Coverage, Entries, coverage, encode_speed, entries, measure
from .noise import NOISE
from .peers import PEERS, PeersError, Subject, load_peers, own

SAMPLE_BYTES = 4_000_000
SPEED_BYTES = 500_000
_NOISE_BYTES = 500_000


@dataclass(frozen=True)
class Sample:
    """The text measured.

    Attributes:
        corpus: name of its folder.
        documents: number of them.
        bytes: by repository.
    """

    corpus: str
    documents: int
    bytes: dict[str, int]


@dataclass(frozen=True)
class Report:
    """All figures on one vocabulary; the first of each list is the vocabulary itself.

    Attributes:
        sample: the text measured.
        compression: of each tokenizer.
        ratios: bytes per token of the vocabulary, divided by each other's.
        coverage: by tokenizer and kind of name.
        entries: tokens of the vocabulary worth a look.
        noise: by tokenizer and kind: tokens per byte of the changed text, divided by those of the
            text as it was.
        encode_speed: megabytes per second of one thread.
        train_speed: megabytes per second that learning a vocabulary of this size takes in.
        machine: processor and cores.
        notes: what could not be measured, and why.
    """

    sample: Sample
    compression: list[Compression]
    ratios: dict[str, float]
    coverage: dict[str, dict[str, Coverage]]
    entries: Entries
    noise: dict[str, dict[str, float]]
    encode_speed: dict[str, float]
    train_speed: float | None
    machine: str
    notes: list[str] = field(default_factory=list)

    def json(self) -> str:
        """The report as JSON text."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"


def build_report(
    tokenizer: CodeTokenizer,
    name: str,
    corpus: Path,
    against: Sequence[str] = tuple(PEERS),
    max_bytes: int = SAMPLE_BYTES,
    train: bool = True,
) -> Report:
    """Measures `tokenizer` on about `max_bytes` of `corpus`, spread evenly over its repositories.

    Args:
        tokenizer: the vocabulary.
        name: what the report calls it.
        corpus: a folder of `parrotlet corpus build`, or one with Python files.
        against: keys of `PEERS`, or folders of other vocabularies of ours.
        max_bytes: of text to measure on.
        train: whether to time the training of such a vocabulary on the sample.

    Raises:
        TokenizerError: if the corpus or a vocabulary cannot be read.
    """
    notes: list[str] = []
    texts = held_out_texts(corpus, max_bytes)
    subjects = [own(tokenizer, name), *_others(against, notes)]
    flat = [text for contents in texts.values() for text in contents]
    measured = [measure(subject, texts) for subject in subjects]
    compression = [figures for figures, _ in measured]
    counts = measured[0][1]
    first = compression[0]
    return Report(
        sample=Sample(
            corpus=corpus.resolve().name,
            documents=len(flat),
            bytes={name: sum(len(t.encode()) for t in ts) for name, ts in texts.items()},
        ),
        compression=compression,
        ratios={c.name: first.bytes_per_token / c.bytes_per_token for c in compression[1:]},
        coverage={subject.name: coverage(subject) for subject in subjects},
        entries=entries(subjects[0], counts),
        noise=_noise(subjects, some(flat, _NOISE_BYTES)),
        encode_speed={s.name: encode_speed(s, some(flat, SPEED_BYTES)) for s in subjects},
        train_speed=_train_speed(tokenizer, flat, notes) if train else None,
        machine=machine(),
        notes=notes,
    )


def _others(against: Sequence[str], notes: list[str]) -> list[Subject]:
    subjects = []
    names = [name for name in against if name in PEERS]
    if names:
        try:
            subjects += load_peers(names)
        except PeersError as error:
            notes.append(f"not compared with {', '.join(names)}: {error}")
    for folder in against:
        if folder not in PEERS:
            subjects.append(own(CodeTokenizer.load(Path(folder)), folder))
    return subjects


def some(texts: Sequence[str], size: int) -> list[str]:
    """Every n-th text, so that they hold about `size` bytes."""
    total = sum(map(len, texts))
    return list(texts[:: max(1, total // size)])


def _noise(subjects: Sequence[Subject], texts: Sequence[str]) -> dict[str, dict[str, float]]:
    def tokens_per_byte(subject: Subject, change: Callable[[str], str]) -> float:
        changed = [change(text) for text in texts]
        size = sum(len(text.encode()) for text in changed)
        return sum(len(subject.encode(text)) for text in changed) / max(size, 1)

    result = {}
    for subject in subjects:
        clean = tokens_per_byte(subject, str)
        result[subject.name] = {
            kind: tokens_per_byte(subject, change) / max(clean, 1e-12)
            for kind, change in NOISE.items()
        }
    return result


def _train_speed(tokenizer: CodeTokenizer, texts: Sequence[str], notes: list[str]) -> float | None:
    start = time.perf_counter()
    try:
        train_tokenizer(texts, tokenizer.vocabulary_size)
    except TokenizerError as error:
        notes.append(f"training was not timed: {error}")
        return None
    return sum(len(text.encode()) for text in texts) / 1e6 / (time.perf_counter() - start)


def machine() -> str:
    """Processor and cores of this computer."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        pass
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"
