"""The spool between the stages of a build: nothing lost, cut back to its last commit."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parrotlet_training.corpus.spool import BUCKETS, Entry, Origin, Spool, key_of

HERE = Origin("a/one", "1", "MIT", "git", "train")
THERE = Origin("b/two", "2", "ISC", "git", "validation")


def entry(path, text, origin=HERE, quality=None):
    return Entry(origin, path, text, hashlib.sha256(text.encode()).digest(), quality)


texts = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), max_size=30)


@settings(deadline=None, max_examples=30)
@given(texts, st.randoms(use_true_random=False))
def test_texts_come_back_by_number(tmp_path_factory, contents, random):
    spool = Spool(tmp_path_factory.mktemp("spool") / "s")
    numbers = [spool.add(entry(f"{i}.py", text)) for i, text in enumerate(contents)]
    assert numbers == list(range(len(contents)))
    order = random.sample(numbers, len(numbers))
    assert spool.texts(order) == [contents[number] for number in order]
    assert len(spool) == len(contents)
    rows = spool.index()
    assert rows["bytes"].tolist() == [len(text.encode()) for text in contents]
    assert rows["key"].tolist() == [key_of(HERE, f"{i}.py") for i in range(len(contents))]
    spool.close()


def test_buckets_hold_each_document_once(tmp_path):
    spool = Spool(tmp_path / "s")
    for number in range(300):
        spool.add(entry(f"{number}.py", f"x = {number}\n", (HERE, THERE)[number % 2], number % 5))
    buckets = spool.index()["key"] >> np.uint64(56)
    assert len(set(buckets.tolist())) > BUCKETS // 3  # well spread
    found = {}
    for bucket in range(BUCKETS):
        own = np.flatnonzero(buckets == bucket)
        if len(own):
            for number, path, text in spool.bucket(bucket, own):
                found[number] = (path, text)
    assert found == {number: (f"{number}.py", f"x = {number}\n") for number in range(300)}
    assert spool.origins() == [HERE, THERE]
    assert spool.index()["quality"].tolist() == [number % 5 for number in range(300)]
    spool.close()


@pytest.mark.parametrize("clean", [True, False])
def test_what_came_after_the_last_commit_is_cut_off(tmp_path, clean):
    spool = Spool(tmp_path / "s")
    for number in range(50):
        spool.add(entry(f"{number}.py", f"x = {number}\n"))
    spool.commit({"source": 3})
    for number in range(50, 80):
        spool.add(entry(f"{number}.py", f"x = {number}\n", THERE))
    if clean:
        spool.close()
    else:  # as after a kill: some of it reached the disk, the end is torn
        spool._flush()
        with (tmp_path / "s" / "index.bin").open("ab") as file:
            file.write(b"torn")
        spool.close()
    again = Spool(tmp_path / "s")
    assert again.progress == {"source": 3}
    assert len(again) == 50
    assert again.origins() == [HERE]
    again.add(entry("new.py", "y = 1\n", THERE))
    again.commit({"source": 4})
    again.close()
    third = Spool(tmp_path / "s")
    assert third.texts(range(51)) == [f"x = {number}\n" for number in range(50)] + ["y = 1\n"]
    assert third.origins() == [HERE, THERE]
    third.close()


def test_a_spool_that_was_never_committed_is_empty(tmp_path):
    spool = Spool(tmp_path / "s")
    spool.add(entry("a.py", "x = 1\n"))
    spool.close()
    assert len(Spool(tmp_path / "s")) == 0
