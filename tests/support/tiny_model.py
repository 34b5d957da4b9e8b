"""A tiny GPT-2 that knows the five files below by heart, trained once and kept under .cache/.

Tests of the engine and of the server complete these files, so they see real suggestions of a real
model, the same on each run.
"""

from __future__ import annotations

import hashlib
import random
import secrets
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "tiny-model"

CONTEXT_LENGTH = 512
VOCABULARY_SIZE = 640
WIDTH, LAYERS, HEADS = 96, 2, 3
STEPS, BATCH, RATE = 260, 10, 5e-3

SHAPES = '''\
"""Areas of plane shapes."""

import math


def square_area(side):
    return side * side


def rectangle_area(width, height):
    if width < 0 or height < 0:
        raise ValueError("a side is negative")
    return width * height


def circle_area(radius):
    return math.pi * radius ** 2


def triangle_area(base, height):
    half = base / 2
    return half * height
'''

INVENTORY = '''\
"""What lies in the store."""


class Inventory:
    def __init__(self):
        self.items = {}

    def add(self, name, count=1):
        self.items[name] = self.items.get(name, 0) + count

    def remove(self, name):
        if name not in self.items:
            raise KeyError(name)
        del self.items[name]

    def total(self):
        return sum(self.items.values())


def report(inventory):
    for name, count in sorted(inventory.items.items()):
        print(name, count)
    print("total", inventory.total())
'''

READER = """\
import json
from pathlib import Path


def read_settings(path):
    with open(path, encoding="utf-8") as stream:
        settings = json.load(stream)
    return settings


def write_settings(path, settings):
    text = json.dumps(settings, indent=2)
    Path(path).write_text(text, encoding="utf-8")


def is_enabled(settings, key):
    return bool(settings.get(key, False))
"""

NUMBERS = """\
def is_prime(number):
    if number < 2:
        return False
    for divisor in range(2, number):
        if number % divisor == 0:
            return False
    return True


def primes_below(limit):
    return [number for number in range(limit) if is_prime(number)]


def greatest_common_divisor(first, second):
    while second:
        first, second = second, first % second
    return first
"""

TABS = """\
class Stack:
\tdef __init__(self):
\t\tself.values = []

\tdef push(self, value):
\t\tself.values.append(value)

\tdef pop(self):
\t\tif not self.values:
\t\t\traise IndexError("the stack is empty")
\t\treturn self.values.pop()

\tdef size(self):
\t\treturn len(self.values)
"""

DOCUMENTS = {
    "shapes.py": SHAPES,
    "inventory.py": INVENTORY,
    "reader.py": READER,
    "numbers.py": NUMBERS,
    "tabs.py": TABS,
}
"""Each file's text by its path; the model continues and fills them as they stand."""


def tiny_checkpoint() -> Path:
    """The folder of the trained checkpoint; the first call trains it, about half a minute."""
    tokenizer = ROOT / "tokenizer/parrotlet_tokenizer"
    sources = [
        Path(__file__),
        *(tokenizer / f"{name}.py" for name in ("specials", "train", "prompt")),
    ]
    return _once(f"checkpoint-{_digest(sources)}", _train)


def tiny_bundle() -> Path:
    """The folder of the model bundle made of `tiny_checkpoint`."""
    from parrotlet_server.bundle.export import export_checkpoint

    checkpoint = tiny_checkpoint()
    name = f"bundle-{checkpoint.name.rpartition('-')[2]}-{_digest(exporter())}"
    return _once(name, lambda folder: export_checkpoint(checkpoint, folder))


def exporter() -> list[Path]:
    """What a bundle depends on besides its checkpoint."""
    return sorted((ROOT / "server/parrotlet_server/bundle").glob("*.py"))


def _digest(sources: list[Path]) -> str:
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]


def _once(name, make) -> Path:
    target = CACHE / name
    if not target.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        aside = CACHE / f".{name}.{secrets.token_hex(4)}"
        try:
            make(aside)
            aside.rename(target)
        except OSError:  # another process was first
            if not target.exists():
                raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return target


def _train(folder: Path) -> None:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from parrotlet_tokenizer.train import train_tokenizer

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the matrices are too small to share
    texts = list(DOCUMENTS.values())
    tokenizer = train_tokenizer(texts, VOCABULARY_SIZE)
    torch.manual_seed(0)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCABULARY_SIZE,
            n_positions=CONTEXT_LENGTH,
            n_embd=WIDTH,
            n_layer=LAYERS,
            n_head=HEADS,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=STEPS)
    choose = random.Random(0)
    for _ in range(STEPS):
        rows = [_row(tokenizer, choose) for _ in range(BATCH)]
        length = max(map(len, rows))
        ids = torch.tensor([row + [0] * (length - len(row)) for row in rows])
        labels = torch.tensor([row + [-100] * (length - len(row)) for row in rows])
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
    torch.set_num_threads(threads)
    model.save_pretrained(folder)
    tokenizer.save(folder, CONTEXT_LENGTH)


def _row(tokenizer, choose: random.Random) -> list[int]:
    """A training row: a document as it stands, or without some lines' text, to be filled in."""
    from parrotlet_tokenizer.prompt import Header, plain, spm

    path, text = choose.choice(list(DOCUMENTS.items()))
    header = Header(path=path)
    if choose.random() < 0.3:
        return plain(tokenizer, header, text)
    starts = [0, *(at + 1 for at, sign in enumerate(text) if sign == "\n")]
    first = choose.randrange(len(text))
    last = choose.choice([at for at in starts if at > first][:6])
    if last == len(text):
        return plain(tokenizer, header, text)
    return spm(tokenizer, header, text[:first], text[first:last], text[last:])
