"""`parrotlet bench engine`: the real command, with the candidates that are installed here."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from parrotlet_server.backends.onnx import OnnxBackend
from parrotlet_server.bundle.resolve import resolve_model
from parrotlet_server.cli import main
from parrotlet_server.engine import Engine
from parrotlet_server.engine.states import common_length
from parrotlet_training.benchmarks.engine import server
from parrotlet_training.benchmarks.engine.adapters import own
from parrotlet_training.benchmarks.engine.adapters.host import Clock
from parrotlet_training.benchmarks.engine.adapters.reuse import common
from parrotlet_training.benchmarks.engine.candidates import KINDS
from parrotlet_training.benchmarks.engine.four_bits import BLOCK, pack, write_four_bits
from parrotlet_training.benchmarks.engine.measure import (
    Measured,
    Result,
    Work,
    state_read,
    weights_read,
)
from parrotlet_training.benchmarks.engine.replay import Session, record, sessions
from parrotlet_training.benchmarks.engine.report import musts, p95, table
from parrotlet_training.benchmarks.engine.server import ServerFigures

from ..support.tiny_model import CONTEXT_LENGTH, DOCUMENTS, LAYERS, WIDTH, tiny_bundle


def places():
    for path, text in DOCUMENTS.items():
        yield path, text, text.find("\n    ", len(text) // 2) + 5


@pytest.fixture(scope="module")
def engine():
    return Engine.load(str(tiny_bundle()), 1)


@pytest.fixture(scope="module")
def recorded(engine):
    return record(engine, sessions(places()), 30)


def test_typing_ends_with_a_line_and_leaves_the_rest_of_the_file():
    for session in sessions(places()):
        keys = list(session.keystrokes(0))
        assert session.text[session.end] == "\n"
        assert all(key.prefix == session.text[: len(key.prefix)] for key in keys)
        assert all(key.suffix == session.text[session.end :] for key in keys)
        assert keys[-1].prefix + keys[-1].suffix == session.text


def test_a_file_that_is_known_by_heart_is_mostly_answered_by_the_cache(recorded):
    typed = list(sessions(places()))
    keys = sum(len(list(session.keystrokes(0))) for session in typed)
    assert 0 < len(recorded) < keys / 2
    assert all(one.answer and one.prompt for one in recorded)


def test_each_first_token_is_what_the_model_says(engine, recorded):
    """Where nothing is held back by the text before the cursor."""
    same = 0
    for one in recorded:
        logits = engine.backend.evaluate(engine.backend.new_state(), 0, one.prompt)
        same += int(logits.argmax()) == one.answer[0]
    assert same > len(recorded) / 2


@given(some.lists(some.integers(0, 2)), some.lists(some.integers(0, 2), min_size=1))
def test_all_but_the_last_token_may_be_reused(held, prompt):
    assert common(held, prompt) == min(common_length(held, prompt), len(prompt) - 1)


def test_four_bits_are_read_as_they_were_packed(tmp_path, engine):
    weight = np.random.default_rng(0).normal(size=(5, 3 * BLOCK)).astype(np.float32)
    packed, scales = pack(weight)
    assert packed.shape == (5, 3, BLOCK // 2)
    values = np.stack([packed & 15, packed >> 4], axis=-1).reshape(5, 3, BLOCK).astype(np.float32)
    back = ((values - 8) * scales[..., None]).reshape(weight.shape)
    # the extreme of a block is exact, and a step away from it half a step may be cut off
    steps = np.abs(scales).repeat(BLOCK, axis=1)
    assert (np.abs(back - weight) <= steps * 1.001).all()
    bundle = resolve_model(str(tiny_bundle()))
    assert write_four_bits(bundle.model_file, tmp_path / "four.onnx")
    assert weights_read(tmp_path / "four.onnx") < weights_read(bundle.model_file)
    coarse = OnnxBackend(tmp_path / "four.onnx", 1)
    ids = engine.tokenizer.encode(DOCUMENTS["shapes.py"])[:60]
    theirs = coarse.evaluate_rows(coarse.new_state(), 0, ids, len(ids))
    ours = engine.backend.evaluate_rows(engine.backend.new_state(), 0, ids, len(ids))
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.95
    assert not np.allclose(ours, theirs)


def test_drafts_give_the_same_answers(engine):
    adapter = own.Adapter(str(tiny_bundle()), 1, 256)
    text = DOCUMENTS["shapes.py"]
    for size, fresh in ((300, True), (330, False), (500, False), (120, True)):
        ids = engine.tokenizer.encode(text[:size])
        prompt, answer = ids[:-20], ids[-20:]
        if fresh:
            adapter.forget()
        expected = adapter.suggest(prompt, answer, Clock())
        assert adapter.drafted(prompt, answer, fresh)["chosen"] == expected


def results(ours: float, theirs: float) -> Measured:
    """As if each of our times were `ours` and each of llama.cpp's `theirs`."""
    requests: list = []
    work = Work(requests, [1] * 10, [1] * 4, [], 0, 2, 1, 1.0, 2)
    found = [
        Result(kind, [1.0], [200_000_000], [one] * 2, [one] * 2, [[one] * 3] * 2)
        for kind, one in zip(KINDS[:2], (ours, theirs), strict=True)
    ]
    found[0].served = [[ours] * 3] * 2
    found[0].drafted = [[ours] * 3] * 2
    measured = Measured(work, found, 10_000_000, 0, cached=[1e10] * 2, memory=[1e10] * 2)
    measured.server = [ServerFigures(0.9, 1.1, 0.0, 200_000_000, (0.01,) * 19 + (0.2,))]
    return measured


def test_four_bits_have_a_floor_of_their_own():
    measured = results(1e-3, 1e-3)
    measured.results.append(Result(KINDS[-1], decode=[2e-3] * 2))
    measured.weights_4bit, measured.state_4bit = 4_000_000, 6_000_000
    judged = {one.what: one for one in musts(measured)}
    floor = judged["a token at 4 bits beside reading its weights and its state"]
    assert (floor.value, floor.bound) == (pytest.approx(2), 1.9)


@given(some.floats(1e-4, 1), some.floats(0.2, 5))
def test_bounds_are_judged_by_the_ratios(ours, ratio):
    judged = {one.what: one for one in musts(results(ours, ours * ratio))}
    speed = judged["decoding, against llama.cpp Q8_0"]
    assert speed.value == pytest.approx(ratio)
    assert speed.reached == (speed.value >= 1.15)
    typing = judged["replayed typing, as served: time beside llama.cpp Q8_0"]
    assert typing.value == pytest.approx(1 / ratio)
    assert typing.reached == (typing.value <= 0.7)
    # 10 MB at 10 GB/s are a millisecond
    floor = judged["a token beside reading its weights and its state"]
    assert floor.value == pytest.approx(ours / 1e-3)
    assert "a token beside reading its weights alone" in judged
    assert "a token at 4 bits beside reading its weights and its state" not in judged
    assert judged["server ready after its start"].reached
    rest = judged["at rest after a cancelled request, p95"]
    assert rest.reached == (rest.value <= 0.05)
    assert 0.01 < rest.value < 0.2
    assert f"{ratio:.2f} |" in table(results(ours, ours * ratio))[-1]


@pytest.mark.skipif(sys.platform != "linux", reason="the processor's use is read from /proc")
def test_requests_are_taken_back_from_a_real_server(monkeypatch):
    monkeypatch.setattr(server, "CANCELLED", 4)
    monkeypatch.setattr(server, "LATEST", 0.0)  # the tiny model answers soon
    figures = server.measure_server(str(tiny_bundle()), 0.1)
    assert 0 < len(figures.cancelled) <= 4
    assert all(0 <= seconds <= server.WATCHED for seconds in figures.cancelled)
    assert 0 < figures.ready < figures.suggested
    assert server.measure_server(str(tiny_bundle()), 0).cancelled == ()


def test_the_slow_tail_is_told():
    assert p95(list(range(101))) == 95
    assert p95([3.0]) == 3.0


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The command over files of the standard library, since there is no hold-out."""
    folder = tmp_path_factory.mktemp("bench")
    command = [sys.executable, "-m", "parrotlet_server", "bench", "engine", "--threads", "1"]
    command += ["--model", str(tiny_bundle()), "--holdout", str(folder / "nothing")]
    command += ["--requests", "8", "--rounds", "2", "--loads", "1", "--texts", "2"]
    command += ["--seconds", "0.4", "--only", "transformers", "parrotlet-onnx", "parrotlet-4bit"]
    command += ["--json", str(folder / "out.json"), "--markdown", str(folder / "out.md")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "out.json").read_text()), (folder / "out.md").read_text(), done


@pytest.mark.timeout(1800)
def test_all_candidates_do_the_same_work(measured):
    values, _, done = measured
    assert "the standard library is typed instead" in done.stdout
    names = [one["name"] for one in values["results"]]
    assert names == ["parrotlet", "transformers", "parrotlet-onnx", "parrotlet-4bit"]
    assert any("at 4 bits" in bound["what"] for bound in values["bounds"])
    for one in values["results"]:
        assert [len(times) for times in one["replayed"]] == [8, 8]
        assert all(seconds > 0 for times in one["replayed"] for seconds in times)
        assert min(*one["read"], *one["decode"], *one["load"]) > 0
        assert one["memory"][0] > 20e6
    ours, theirs, onnx, coarse = values["results"]
    assert [len(times) for times in ours["served"]] == [8, 8]
    assert [len(times) for times in ours["drafted"]] == [8, 8]
    # both run the same weights: one in 8 bits' arithmetic, one in float32
    assert ours["chose_ours"] > 0.6
    assert theirs["chose_ours"] > ours["chose_ours"] - 0.2
    assert ours["bits_per_byte"] == pytest.approx(onnx["bits_per_byte"], rel=0.05)
    assert ours["bits_per_byte"] != coarse["bits_per_byte"]


def test_bytes_that_a_token_reads_are_counted(measured):
    values, _, _ = measured
    assert values["weights_bytes"] == weights_read(tiny_bundle() / "model.onnx")
    shape = resolve_model(str(tiny_bundle())).manifest.architecture
    assert state_read(shape, 10, 4) == 2 * 4 * LAYERS * WIDTH * 10
    assert values["state_bytes"] < state_read(shape, CONTEXT_LENGTH, 4)
    assert min(values["bandwidth"]) > 1e8
    pairs = zip(values["bandwidth"], values["bandwidth_at_best"], strict=True)
    assert all(typical <= best for typical, best in pairs)


def test_the_server_is_watched(measured):
    values, table, _ = measured
    (server,) = values["server"]
    assert 0 < server["ready"] < server["suggested"]
    assert server["memory"] > 20e6
    assert "server ready after its start" in table
    assert "| Parrotlet, 8 bits, as served |" in table
    assert "| Parrotlet, 8 bits, with drafts |" in table
    assert set(values["processor_use"]) == {
        "Parrotlet, 8 bits",
        "Parrotlet on ONNX Runtime, 8 bits",
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "vllm"], "no candidate 'vllm'"),
        (["--rounds", "0"], "at least 1"),
        (["--model", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_gives_one_line(words, message, capsys):
    assert main(["bench", "engine", *words]) == 1
    error = capsys.readouterr().err
    assert error.startswith("parrotlet: ")
    assert message in error
    assert error.count("\n") == 1


def test_a_candidate_that_is_not_installed_is_left_out_with_a_remedy(monkeypatch, tmp_path):
    from parrotlet_training.benchmarks.engine.candidates import installed

    monkeypatch.setenv("PARROTLET_PEERS_PYTHON", str(tmp_path / "python"))
    reasons = {kind.name: reason for kind, reason in installed(KINDS)}
    assert reasons["parrotlet"] is None
    assert "make bench-engine" in reasons["llama.cpp"]


def test_a_session_of_one_long_line_is_none():
    assert list(sessions([("a.py", "x = 1\n" + "y" * 100 + "\n", 6)])) == []
    assert list(sessions([("a.py", "x = 1\ny = 2\n", 6)])) == [
        Session("a.py", "x = 1\ny = 2\n", 6, 11)
    ]
