"""The row loader: nothing lost, same order on any number of ranks, exact resume."""

from __future__ import annotations

import json
import shutil
import threading
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from parrotlet_tokenizer.specials import END_OF_TEXT_ID, FIM_MIDDLE_ID, QUALITY, SPECIAL_IDS
from parrotlet_training.data import DataError, RowLoader, RowOptions, TrainingData, text_rows
from parrotlet_training.data.sequences import TextSequences, characters_per_token
from parrotlet_training.data.stream import Stream
from parrotlet_training.data.units import ShardUnits, Text, open_units
from parrotlet_training.fim import FimOptions, draft, fill, pieces
from parrotlet_training.recipe import DataOptions

PLAIN = FimOptions(rate=0.0, path_share=0.0, quality_share=0.0)
MIXED = FimOptions(rate=0.6, spm_share=0.5, line_share=0.5, path_share=0.5)


def sequence(tokenizer, text, path, fim, random, quality=None):
    return fill(tokenizer, [draft(text, path, fim, random, quality)])[0].tolist()


def stream(units, tokenizer, fim, piece, window=16, index=0, streams=1):
    sequences = TextSequences(units, tokenizer, fim, 7, piece)
    return Stream(index, sequences, RowOptions(64, streams, 7, window))


def drawn(stream, epoch):
    """The sequences of one epoch of a stream, in its order."""
    found = []
    while stream._next.epoch == epoch:
        stream._read()
    while stream._held and stream._held[0][0].epoch == epoch:
        found.append(tuple(stream._held.popleft()[1].tolist()))
    return found


@pytest.fixture
def loader(corpus, tokenizer_folder, tokenizer):
    """Makes loaders of the corpus and closes them."""
    opened = []

    def make(rank=0, world=1, streams=2, place=corpus, window=16, fim=MIXED, seed=7):
        options = DataOptions(
            str(place), str(tokenizer_folder), streams=streams, window=window, fim=fim
        )
        opened.append(TrainingData.open(options, tokenizer, 64, seed).loader(rank, world))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


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


def test_texts_are_tokenised_together_as_they_are_alone(tokenizer):
    """Each draft's ids stand at their places, special tokens among them."""
    texts = [f"def f{i}(x):\n    return x + {i}\n" * (i % 4) for i in range(40)]

    def drafts():
        return [
            draft(text, f"m{i}.py", MIXED, np.random.default_rng(i), i % 6 if i % 6 < 5 else None)
            for i, text in enumerate(texts)
        ]

    together = fill(tokenizer, drafts())
    for ids, one in zip(together, drafts(), strict=True):
        assert ids.dtype == np.int32
        np.testing.assert_array_equal(ids, fill(tokenizer, [one])[0])
        alone = []
        for token in one.ids:
            alone += tokenizer.encode(one.texts[~token]) if token < 0 else [token]
        assert ids.tolist() == alone


def test_an_unknown_path_is_not_told(tokenizer):
    fim = FimOptions(rate=0.0, path_share=1.0)
    ids = sequence(tokenizer, "x = 1\n", None, fim, np.random.default_rng(0))
    assert ids == [*tokenizer.encode("x = 1\n"), END_OF_TEXT_ID]


def test_levels_come_from_the_shards(corpus):
    units = ShardUnits(corpus, "train")
    levels = {text.quality for unit in range(len(units)) for text in units.read(unit)}
    assert levels
    assert levels <= {0, 1, 2, 3, 4}


class Given:
    """Units that lie in memory."""

    fingerprint, facts, rated, warnings = "", {}, False, ()

    def __init__(self, units):
        self.units = units

    def __len__(self):
        return len(self.units)

    def read(self, unit):
        return [Text(text, "a.py", None) for text in self.units[unit]]


documents = st.lists(
    st.lists(st.text(st.sampled_from("ab =\n1é"), max_size=60), max_size=4), min_size=1, max_size=9
)


@given(documents, st.integers(1, 4), st.integers(1, 5), st.integers(9, 40), st.integers(0, 9))
@settings(deadline=None, max_examples=40)
def test_an_epoch_holds_each_piece_once_over_all_streams(
    tokenizer, units, streams, window, row, seed
):
    """Nothing lost, nothing doubled; rows joined are the sequences joined, to the token."""
    streams = min(streams, len(units))
    assume(all(any(map(any, units[i::streams])) for i in range(streams)))
    sequences = TextSequences(Given(units), tokenizer, PLAIN, seed, 17)
    options = RowOptions(row - 1, streams, seed, window)
    everything = sequences.window(range(len(units)), 0)
    expected = sorted(ids.tolist() for ids in everything.ids(range(len(everything))))
    found = []
    for index in range(streams):
        try:
            walk = Stream(index, sequences, options)
            joined = walk.next_row().tolist()
            while walk.state()["epoch"] < 1:
                following = walk.next_row().tolist()
                assert following[0] == joined[-1]
                joined += following[1:]
        except DataError:  # the permutation gave it units without text alone
            assume(False)
        walked = drawn(Stream(index, sequences, options), 0)
        whole = [token for ids in walked for token in ids]
        assert joined[: len(whole)] == whole[: len(joined)]
        assert len(joined) >= len(whole)
        found += map(list, walked)
    assert sorted(found) == expected


@given(st.integers(0, 30), st.integers(1, 3), st.sampled_from([1, 2, 4]), st.integers(1, 4))
@settings(deadline=None, max_examples=12)
def test_a_resume_anywhere_is_exact_on_any_number_of_ranks(
    corpus, tokenizer, stop, again, world, window
):
    """The state is that of the rows handed out, whatever was read ahead."""
    sequences = TextSequences(ShardUnits(corpus, "train"), tokenizer, MIXED, 7, 200)
    options = RowOptions(64, 4, 7, window)
    with RowLoader(sequences, options, ahead=again) as reference:
        for _ in range(stop):
            reference.next_rows(again)
        state = json.loads(json.dumps(reference.state()))
        expected = [reference.next_rows(2) for _ in range(3)]
    ranks = [RowLoader(sequences, options, rank, world, again) for rank in range(world)]
    for rank in ranks:
        rank.next_rows(1)  # and so reads ahead before it is told where to go on
        rank.restore(state)
        assert rank.state() == [s for s in state if s["index"] % world == ranks.index(rank)]
    for rows in expected:
        shares = [rank.next_rows(2) for rank in ranks]
        own = 4 // world
        for number, row in enumerate(rows):
            turn, index = divmod(number, 4)
            np.testing.assert_array_equal(shares[index % world][turn * own + index // world], row)
    for rank in ranks:
        rank.close()


def test_a_closed_loader_goes_on_where_its_rows_ended(loader):
    whole, paused = loader(), loader()
    for _ in range(3):
        np.testing.assert_array_equal(paused.next_rows(1), whole.next_rows(1))
        before = paused.state()
        paused.close()
        assert paused.state() == before


def test_no_thread_is_left(loader):
    before = set(threading.enumerate())
    one, two = loader(), loader()
    one.next_rows(1)
    two.next_rows(1)
    readers = set(threading.enumerate()) - before
    assert [thread.name for thread in readers] == ["read-ahead"] * 2
    one.close()
    two.close()
    assert not any(thread.is_alive() for thread in readers)


def test_what_fails_in_the_background_is_raised_where_rows_are_asked_for(corpus, loader, tmp_path):
    """A page is damaged on the disk while training runs: one line says which shard."""
    folder = tmp_path / "corpus"
    shutil.copytree(corpus, folder)
    shard = next((folder / "data").glob("train-*.parquet"))
    one = loader(place=folder, window=1)
    with shard.open("r+b") as file:
        file.seek(4)
        file.write(b"\xff" * (shard.stat().st_size // 2))
    for _ in range(2):  # and again, if one asks again
        with pytest.raises(DataError, match=f"the shard .*{shard.name} cannot be read") as caught:
            one.next_rows(500)
        assert "\n" not in str(caught.value)


def test_rows_are_those_of_one_stream_after_the_other(corpus, tokenizer, loader):
    units = ShardUnits(corpus, "train")
    rows = loader(fim=PLAIN).next_rows(3)
    assert rows.shape == (6, 65)
    assert rows.dtype == np.int32
    np.testing.assert_array_equal(rows[0][-1], rows[2][0])
    np.testing.assert_array_equal(rows[3][-1], rows[5][0])
    length = max(64, int(characters_per_token(units, tokenizer) * 64 * 0.9))
    walk = stream(units, tokenizer, PLAIN, length, index=1, streams=2)
    np.testing.assert_array_equal([walk.next_row() for _ in range(3)], rows[1::2])


def test_epochs_reshuffle(corpus, tokenizer):
    walk = stream(ShardUnits(corpus, "train"), tokenizer, PLAIN, 10_000)
    orders = [drawn(walk, epoch) for epoch in range(2)]
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]


def test_epochs_draw_anew(corpus, tokenizer):
    """Fill-in-the-middle takes other places, and other documents tell their level and path."""
    walk = stream(ShardUnits(corpus, "train"), tokenizer, MIXED, 10_000)
    first, second = (set(drawn(walk, epoch)) for epoch in range(2))
    assert len(first & second) < 0.5 * len(first)


def test_a_window_mixes_the_pieces_of_its_units(corpus, tokenizer):
    """The wider the window, the more often a piece of another file comes next; none is lost."""
    units = ShardUnits(corpus, "train")
    assert len(units) >= 4
    owner = {
        tuple(sequence(tokenizer, text, path, PLAIN, np.random.default_rng(0))): unit
        for unit in range(len(units))
        for content, path, _ in units.read(unit)
        for text in pieces(content, 200)
    }
    changes, found = [], []
    for window in (1, 3, 10_000):
        order = drawn(stream(units, tokenizer, PLAIN, 200, window), 0)
        found.append(sorted(order))
        changes.append(sum(owner[a] != owner[b] for a, b in pairwise(order)))
    assert found[0] == found[1] == found[2]
    assert changes[0] < changes[1] < changes[2]


def test_global_batches_do_not_depend_on_the_number_of_ranks(loader):
    whole = loader()
    ranks = [loader(rank, 2) for rank in range(2)]
    for _ in range(5):
        rows = whole.next_rows(2)
        halves = [rank.next_rows(2) for rank in ranks]
        interleaved = np.stack([halves[i % 2][i // 2] for i in range(4)])
        np.testing.assert_array_equal(rows, interleaved)


def test_units_without_text_are_passed_over(tokenizer):
    units = Given([[], ["x = 1\n" * 20], [""], ["y = 2\n" * 20], []])
    walk = stream(units, tokenizer, PLAIN, 100, window=1)
    for _ in range(20):
        assert walk.next_row().shape == (65,)
    assert walk.state()["epoch"] > 1
    with pytest.raises(DataError, match="hold no text"):
        stream(Given([[], [""]]), tokenizer, PLAIN, 100).next_row()


def test_characters_per_token_is_measured(corpus, tokenizer):
    assert 1.2 < characters_per_token(ShardUnits(corpus, "train"), tokenizer) < 6


def test_evaluation_rows_hold_plain_text(corpus, tokenizer):
    rows = list(text_rows(corpus, "validation", tokenizer, 64, 3000))
    assert all(row.shape == (65,) for row in rows)
    joined = [int(rows[0][0])] + [int(t) for row in rows for t in row[1:]]
    assert max(joined) < 600
    text = tokenizer.decode(joined)
    assert len(text.encode()) >= 2000
    units = ShardUnits(corpus, "validation")
    assert any(content in text for unit in range(len(units)) for content, _, _ in units.read(unit))


def test_evaluation_sees_all_that_it_is_allowed(corpus, tokenizer):
    rows = list(text_rows(str(corpus), "validation", tokenizer, 64, 10**9))
    joined = [int(rows[0][0])] + [int(t) for row in rows for t in row[1:]]
    units = ShardUnits(corpus, "validation")
    texts = [content for unit in range(len(units)) for content, _, _ in units.read(unit)]
    assert sorted(tokenizer.decode(joined)) == sorted("".join(texts))


def test_bad_data_is_refused_clearly(corpus, loader, tmp_path):
    with pytest.raises(DataError, match="multiple of the number of processes"):
        loader(streams=2, world=3)
    with pytest.raises(DataError, match=r"set data\.streams to at most"):
        loader(streams=5000)
    with pytest.raises(DataError, match="there is no corpus"):
        loader(place=tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no holdout shards: build it with --holdout"):
        open_units(corpus, "holdout")
    folder = tmp_path / "corpus"
    shutil.copytree(corpus, folder)
    for shard in (folder / "data").glob("validation-*"):
        shard.rename(folder / shard.name)
    with pytest.raises(DataError, match=r"validation shards: .* --validation-share"):
        loader(place=folder)
    shard = next((folder / "data").glob("train-*"))
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(DataError, match=f"the shard .*{shard.name} cannot be read"):
        loader(place=folder)


def test_states_that_do_not_fit_are_refused(loader):
    one = loader()
    state = one.state()
    with pytest.raises(DataError, match="no state of stream 1"):
        one.restore(state[:1])
    with pytest.raises(DataError, match="another version"):
        one.restore([{**s, "buffer": []} for s in state])
    with pytest.raises(DataError, match="given to stream 0"):
        one._streams[0].restore(state[1])
