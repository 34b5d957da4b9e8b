"""Which size of vocabulary: what each costs in parameters and saves in tokens."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..files import write_aside
from ..train import DEFAULT_SPLIT, train_tokenizer
from .measures import encode_speed, measure
from .peers import own
from .report import SPEED_BYTES, machine, some

SWEEP_FILE = "sweep.json"


@dataclass(frozen=True)
class Size:
    """One vocabulary of a sweep.

    Attributes:
        entries: special tokens included.
        bytes_per_token: on text that none of them has learnt from.
        p95_length: bytes; 95 % of the tokens are no longer.
        fertility: tokens that a mean identifier touches.
        unused: entries that do not occur in the text measured.
        embedding_parameters: entries times the model's width; embedding and output share them.
        encode_tokens_per_second: of one thread.
        encode_speed: the same in megabytes per second.
        train_seconds: that learning it took.
    """

    entries: int
    bytes_per_token: float
    p95_length: int
    fertility: float
    unused: int
    embedding_parameters: int
    encode_tokens_per_second: float
    encode_speed: float
    train_seconds: float


def sweep(
    texts: Callable[[], Iterable[str]],
    held_out: dict[str, list[str]],
    sizes: Sequence[int],
    out: Path,
    width: int,
    split: str = DEFAULT_SPLIT,
) -> Iterator[Size]:
    """Learns a vocabulary of each size from the same text and measures it on `held_out`.

    Each is written to ``out/ENTRIES`` at once, and all figures so far to ``out/sweep.json``.

    Args:
        texts: gives the text to learn from, anew for each size.
        held_out: text to measure on, by repository.
        sizes: entries, special tokens included.
        out: folder of the results.
        width: embedding width of the model that would use them.
        split: key of `SPLITS`.

    Raises:
        TokenizerError: if the text is too little for a size.
    """
    results: list[Size] = []
    flat = [text for contents in held_out.values() for text in contents]
    for entries in sizes:
        start = time.perf_counter()
        tokenizer = train_tokenizer(texts(), entries, split)
        seconds = time.perf_counter() - start
        tokenizer.save(out / str(entries))
        subject = own(tokenizer, str(entries))
        figures, _ = measure(subject, held_out)
        speed = encode_speed(subject, some(flat, SPEED_BYTES))
        results.append(
            Size(
                entries=entries,
                bytes_per_token=figures.bytes_per_token,
                p95_length=figures.p95_length,
                fertility=figures.fertility,
                unused=figures.unused,
                embedding_parameters=entries * width,
                encode_tokens_per_second=speed * 1e6 / figures.bytes_per_token,
                encode_speed=speed,
                train_seconds=seconds,
            )
        )
        content = {
            "split": split,
            "width": width,
            "machine": machine(),
            "held_out_bytes": figures.bytes,
            "sizes": [asdict(result) for result in results],
        }
        write_aside(out / SWEEP_FILE, json.dumps(content, indent=1) + "\n")
        yield results[-1]
