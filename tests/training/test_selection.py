"""Which documents stay: the outcome depends on the documents, not on their order or spools."""

from __future__ import annotations

import hashlib
import random

import pytest

from parrotlet_training.corpus.near import Signatures
from parrotlet_training.corpus.selection import (
    DUPLICATE,
    KEPT,
    NEAR_DUPLICATE,
    OVER_SHARE,
    REASONS,
    SIGNATURES,
    select,
)
from parrotlet_training.corpus.spool import Entry, Origin, Spool, key_of


def words(seed, count=400):
    draw = random.Random(seed)
    return [f"name{draw.randrange(10_000)} = call{draw.randrange(10_000)}(x)" for _ in range(count)]


def text(seed, changed=0):
    lines = words(seed)
    for index in range(changed):
        lines[index * 7] = f"other{index} = {index}"
    return "\n".join(lines) + "\n"


def origin(name, split="train", source="git"):
    return Origin(name, "1", "MIT", source, split)


def run(tmp_path, documents, spools=1, threshold=0.7, limit=None):
    """Reason by (repository, path) of documents (origin, path, text, quality)."""
    made = []
    for place in range(spools):
        spool = Spool(tmp_path / f"spool-{place}")
        with Signatures(spool.folder / SIGNATURES) as rows:
            for where, path, content, quality in documents[place::spools]:
                digest = hashlib.sha256("".join(content.split()).encode()).digest()
                spool.add(Entry(where, path, content, digest, quality))
                rows.add(content)
        made.append(spool)
    selection = select(made, threshold, limit)
    names = [entry for place in range(spools) for entry in documents[place::spools]]
    outcome = {
        (where.repository, where.split, path): REASONS[reason]
        for (where, path, _, _), reason in zip(names, selection.reasons, strict=True)
    }
    for spool in made:
        spool.close()
    return outcome, selection


DOCUMENTS = [
    (origin("a/a"), "one.py", text(1), 2),
    (origin("b/b"), "copy.py", text(1) + "\n\n", 2),  # white space aside the same
    (origin("c/c"), "near.py", text(1, changed=3), 4),  # better
    (origin("d/d"), "two.py", text(2), 1),
    (origin("e/e", "validation"), "near.py", text(2, changed=2), 1),
    (origin("f/f"), "three.py", text(3), 0),
    (origin("g/g"), "far.py", text(3, changed=50), 0),  # too many lines differ
    (origin("h/h", "reference"), "held.py", text(4), None),
    (origin("i/i"), "held_copy.py", text(4), 4),
    (origin("j/j"), "held_near.py", text(4, changed=2), 4),
]


def test_copies_go_and_the_best_stays(tmp_path):
    outcome, selection = run(tmp_path, DOCUMENTS)
    assert outcome["c/c", "train", "near.py"] == KEPT
    assert outcome["e/e", "validation", "near.py"] == KEPT
    assert outcome["d/d", "train", "two.py"] == NEAR_DUPLICATE
    assert {outcome["a/a", "train", "one.py"], outcome["b/b", "train", "copy.py"]} == {
        DUPLICATE,
        NEAR_DUPLICATE,
    }
    assert outcome["f/f", "train", "three.py"] == outcome["g/g", "train", "far.py"] == KEPT
    assert selection.near["dropped"] == 3


def test_copies_of_a_reference_go_and_it_is_not_taken(tmp_path):
    outcome, _ = run(tmp_path, DOCUMENTS)
    assert outcome["h/h", "reference", "held.py"] == "reference"
    assert outcome["i/i", "train", "held_copy.py"] == DUPLICATE
    assert outcome["j/j", "train", "held_near.py"] == NEAR_DUPLICATE


@pytest.mark.parametrize("spools", [1, 2, 3])
def test_order_and_number_of_spools_do_not_matter(tmp_path, spools):
    expected, _ = run(tmp_path / "a", DOCUMENTS)
    shuffled = random.Random(spools).sample(DOCUMENTS, len(DOCUMENTS))
    outcome, _ = run(tmp_path / "b", shuffled, spools)
    assert outcome == expected


def test_without_a_threshold_only_copies_go(tmp_path):
    outcome, selection = run(tmp_path, DOCUMENTS, threshold=None)
    assert selection.near == {}
    assert sorted(outcome.values()).count(DUPLICATE) == 2
    assert NEAR_DUPLICATE not in outcome.values()


def test_no_repository_is_above_its_share(tmp_path):
    documents = [(origin("big/one"), f"{i}.py", text(100 + i), 1) for i in range(10)]
    documents += [(origin("Big/One", source="pypi"), f"{i}.py", text(200 + i), 1) for i in range(5)]
    documents += [(origin("small/one"), f"{i}.py", text(300 + i), 1) for i in range(3)]
    size = max(len(content) for _, _, content, _ in documents)
    limit = 6 * size
    outcome, selection = run(tmp_path, documents, limit=limit)
    over = [name for name, reason in outcome.items() if reason == OVER_SHARE]
    assert {name[0].lower() for name in over} == {"big/one"}
    kept = [
        row for row, reason in zip(selection.rows, selection.reasons, strict=True) if not reason
    ]
    big = [r for r in kept if selection.origins[int(r["origin"])].repository.lower() == "big/one"]
    assert 5 * size < sum(int(row["bytes"]) for row in big) <= limit
    # chosen by key, not by order
    keys = sorted(key_of(where, path) for where, path, _, _ in documents[:15])
    assert {int(row["key"]) for row in big} <= set(keys[: len(big) + 1])
