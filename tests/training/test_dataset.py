"""The row loader: nothing lost, same order on any number of ranks, exact resume."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parrotlet_tokenizer.specials import END_OF_TEXT_ID, FIM_MIDDLE_ID, QUALITY, SPECIAL_IDS
from parrotlet_training.dataset import (
    DataError,
    RowLoader,
    RowOptions,
    Stream,
    Units,
    characters_per_token,
    text_rows,
)
from parrotlet_training.fim import FimOptions, pieces, sequence

PLAIN = FimOptions(rate=0.0, path_share=0.0, quality_share=0.0)
MIXED = FimOptions(rate=0.6, spm_share=0.5, line_share=0.5, path_share=0.5)


def loader(corpus, tokenizer, rank=0, world=1, streams=2, fim=MIXED):
    return RowLoader(corpus, tokenizer, RowOptions(64, streams, 7, fim), rank, world)


@given(st.text(st.sampled_from("ab\n é"), max_size=300), st.integers(1, 50))
def test_pieces_lose_nothing(text, limit):
    parts = list(pieces(text, limit))
    assert "".join(parts) == text
    assert all(0 < len(part) <= limit for part in parts)


@given(st.text(st.sampled_from("def x():\n    é"), min_size=1, max_size=80), st.integers(0, 99))
@settings(deadline=None)
def test_every_form_holds_the_whole_text(tokenizer, text, seed):
    ids = sequence(tokenizer, text, "a.py", MIXED, np.random.default_rng(seed))
    assert ids[-1] == END_OF_TEXT_ID
    body = ids[:-1]
    if FIM_MIDDLE_ID in body:
        head, tail = body[: body.index(FIM_MIDDLE_ID)], body[body.index(FIM_MIDDLE_ID) + 1 :]
        decoded = sorted(tokenizer.decode(head) + tokenizer.decode(tail))
        missing = sorted(decoded)
        for character in text:
            missing.remove(character)
        assert "".join(missing) in ("", "".join(sorted("a.py\n")))
    else:
        assert tokenizer.decode(body).endswith(text)


def test_shares_are_kept(tokenizer):
    fim = FimOptions(rate=0.5, spm_share=1.0, line_share=1.0, path_share=0.0)
    text = "alpha = 1\nbeta = 2\ngamma = 3\ndelta = 4\n" * 4
    forms = [sequence(tokenizer, text, "a.py", fim, np.random.default_rng(i)) for i in range(300)]
    split = [ids for ids in forms if FIM_MIDDLE_ID in ids]
    assert 0.3 < len(split) / len(forms) < 0.6
    for ids in split:  # each suffix begins at a line start
        suffix = tokenizer.decode(ids[2 : ids.index(FIM_MIDDLE_ID)])
        assert text.endswith("\n" + suffix)


def test_quality_is_told_for_a_share_of_the_rated_documents(tokenizer):
    fim = FimOptions(rate=0.5, path_share=0.0, quality_share=0.6)
    text = "alpha = 1\nbeta = 2\n" * 4
    first = SPECIAL_IDS[QUALITY[0]]

    def forms(quality):
        return [
            sequence(tokenizer, text, "a.py", fim, np.random.default_rng(i), quality)
            for i in range(300)
        ]

    told = [ids for ids in forms(3) if ids[0] == first + 3]
    assert 0.5 < len(told) / 300 < 0.7
    assert any(FIM_MIDDLE_ID in ids for ids in told)
    assert not any(first <= ids[0] < first + len(QUALITY) for ids in forms(None))


def test_levels_come_from_the_shards(corpus):
    units = Units(corpus, "train")
    levels = {text.quality for unit in range(len(units)) for text in units.read(unit)}
    assert levels
    assert levels <= {0, 1, 2, 3, 4}


def test_one_epoch_holds_each_document_once(corpus, tokenizer):
    """Rows overlap by one token and, so joined, are the documents in full."""
    units = Units(corpus, "train")
    stream = Stream(0, units, tokenizer, RowOptions(64, 1, 7, PLAIN), 10_000_000)
    expected = [content for unit in range(len(units)) for content, _, _ in units.read(unit)]
    total = sum(len(ids) + 1 for ids in tokenizer.encode_batch(expected))
    joined: list[int] = []
    while len(joined) < total:
        row = stream.next_row()
        assert row.shape == (65,)
        assert row.dtype == np.int32
        if joined:
            assert joined[-1] == row[0]
            row = row[1:]
        joined += row.tolist()
    found, current = [], []
    for token in joined[:total]:
        if token == END_OF_TEXT_ID:
            found.append(tokenizer.decode(current))
            current = []
        else:
            current.append(token)
    assert sorted(found) == sorted(expected)


def test_epochs_reshuffle(corpus, tokenizer):
    units = Units(corpus, "train")
    stream = Stream(0, units, tokenizer, RowOptions(64, 1, 7, PLAIN), 10_000)
    orders = []
    for epoch in range(2):
        order = []
        while stream.state()["epoch"] == epoch:
            order.append(tuple(stream._next_piece()))
        orders.append(order)
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]


def test_a_window_mixes_the_pieces_of_its_units(corpus, tokenizer):
    """The wider the window, the more often a piece of another file comes next; none is lost."""
    units = Units(corpus, "train")
    assert len(units) >= 4
    owner = {
        tuple(sequence(tokenizer, text, path, PLAIN, np.random.default_rng(0))): unit
        for unit in range(len(units))
        for content, path, _ in units.read(unit)
        for text in pieces(content, 200)
    }
    changes, found = [], []
    for window in (1, 3, 10_000):
        stream = Stream(0, units, tokenizer, RowOptions(64, 1, 7, PLAIN, window), 200)
        order = []
        while stream.state()["epoch"] == 0:
            order.append(tuple(stream._next_piece()))
        found.append(sorted(order))
        changes.append(sum(owner[a] != owner[b] for a, b in pairwise(order)))
    assert found[0] == found[1] == found[2]
    assert changes[0] < changes[1] < changes[2]


def test_global_batches_do_not_depend_on_the_number_of_ranks(corpus, tokenizer):
    whole = loader(corpus, tokenizer)
    ranks = [loader(corpus, tokenizer, rank, 2) for rank in range(2)]
    for _ in range(5):
        rows = whole.next_rows(2)
        halves = [rank.next_rows(2) for rank in ranks]
        interleaved = np.stack([halves[i % 2][i // 2] for i in range(4)])
        np.testing.assert_array_equal(rows, interleaved)


@pytest.mark.parametrize("stop", [0, 1, 3, 7])
def test_resume_is_exact_also_on_another_number_of_ranks(corpus, tokenizer, stop):
    reference = loader(corpus, tokenizer)
    for _ in range(stop):
        reference.next_rows(1)
    state = json.loads(json.dumps(reference.state()))
    expected = [reference.next_rows(1) for _ in range(4)]
    again = loader(corpus, tokenizer)
    again.restore(state)
    ranks = [loader(corpus, tokenizer, rank, 2) for rank in range(2)]
    for rank in ranks:
        rank.restore(state)
    for rows in expected:
        np.testing.assert_array_equal(again.next_rows(1), rows)
        np.testing.assert_array_equal(np.concatenate([r.next_rows(1) for r in ranks]), rows)


def test_characters_per_token_is_measured(corpus, tokenizer):
    assert 1.2 < characters_per_token(Units(corpus, "train"), tokenizer) < 6


def test_evaluation_rows_hold_plain_text(corpus, tokenizer):
    rows = list(text_rows(corpus, "validation", tokenizer, 64, 3000))
    assert all(row.shape == (65,) for row in rows)
    joined = [int(rows[0][0])] + [int(t) for row in rows for t in row[1:]]
    assert max(joined) < 600
    text = tokenizer.decode(joined)
    assert len(text.encode()) >= 2000
    units = Units(corpus, "validation")
    assert any(content in text for unit in range(len(units)) for content, _, _ in units.read(unit))


def test_bad_data_is_refused_clearly(corpus, tokenizer, tmp_path):
    with pytest.raises(DataError, match="multiple of the number of processes"):
        loader(corpus, tokenizer, streams=2, world=3)
    with pytest.raises(DataError, match=r"set data\.streams to at most"):
        loader(corpus, tokenizer, streams=5000)
    with pytest.raises(DataError, match="holds no train shards"):
        loader(tmp_path, tokenizer)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train-00000.parquet").write_bytes(b"PAR1 cut short")
    with pytest.raises(DataError, match="cannot be read"):
        loader(tmp_path, tokenizer)
