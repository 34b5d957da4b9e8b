"""Tasks and infilling: from a file through a real model and a real sandbox to figures."""

from __future__ import annotations

import gzip
import itertools
import json
import math
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.tiny_model import (
    CONTEXT_LENGTH,
    DOCUMENTS,
    NUMBERS,
    SHAPES,
    tiny_bundle,
    tiny_checkpoint,
)

from parrotlet_server.bundle import open_bundle
from parrotlet_server.cli import main
from parrotlet_server.engine.prompt import Prompt
from parrotlet_server.engine.vocabulary import Vocabulary
from parrotlet_tokenizer import CodeTokenizer
from parrotlet_tokenizer.specials import FIM_MIDDLE_ID, FIM_PREFIX_ID, FIM_SUFFIX_ID
from parrotlet_training.evaluate.completions import Completions, Key, read_completions
from parrotlet_training.evaluate.errors import EvaluationError
from parrotlet_training.evaluate.figures import clustered, difference, proportion, wilson
from parrotlet_training.evaluate.generation import Job, generate
from parrotlet_training.evaluate.passes import pass_at_k, pass_figures
from parrotlet_training.evaluate.problems import FUNCTION_STOPS, Problem, cut, read_problems
from parrotlet_training.evaluate.prompts import prompt_of
from parrotlet_training.evaluate.sandbox import available
from parrotlet_training.evaluate.served import Served

needs_sandbox = pytest.mark.skipif(
    not available(), reason="no sandbox works here: test_sandbox.py tests the refusal"
)


def task(text: str, function: str, test: str, name: str) -> dict[str, str]:
    """A task from one of the tiny model's documents: everything before the body is the prompt."""
    start = text.index("\n", text.index(f"def {function}(")) + 1
    end = text.find("\n\n", start)
    return {
        "task_id": name,
        "prompt": text[:start],
        "canonical_solution": text[start : len(text) if end < 0 else end + 1],
        "test": f"def check(candidate):\n    {test}\n",
        "entry_point": function,
    }


TASKS = [
    task(SHAPES, "square_area", "assert candidate(3) == 9", "tiny/0"),
    task(SHAPES, "triangle_area", "assert candidate(3, 4) == 6", "tiny/1"),
    task(NUMBERS, "is_prime", "assert [candidate(n) for n in (1, 7, 9)] == [0, 1, 0]", "tiny/2"),
    task(NUMBERS, "greatest_common_divisor", "assert candidate(12, 18) == 6", "tiny/3"),
]

MBPP = {
    "task_id": 7,
    "text": "Write a function to double a number.",
    "code": "def double(x):\r\n    return 2 * x\r\n",
    "test_list": ["assert double(2) == 4", "assert double(zero) == 0"],
    "test_setup_code": "zero = double(0)",
}


def gap(text: str, middle: str, function: str, test: str, name: str) -> dict[str, str]:
    before, _, after = text.partition(middle)
    return {
        "task_id": name,
        "prompt": before,
        "suffix": after,
        "canonical_solution": middle,
        "test": f"def check(candidate):\n    {test}\n",
        "entry_point": function,
    }


GAPS = [
    gap(SHAPES, "h.pi * radius ** 2\n", "circle_area", "assert candidate(0) == 0", "gap/0"),
    gap(SHAPES, "rn side * side\n", "square_area", "assert candidate(4) == 16", "gap/1"),
]


def write(folder, records, name="tasks.jsonl"):
    file = folder / name
    text = "".join(json.dumps(record) + "\n" for record in records)
    if name.endswith(".gz"):
        file.write_bytes(gzip.compress(text.encode()))
    else:
        file.write_text(text)
    return file


@pytest.fixture(scope="module")
def tokenizer():
    return CodeTokenizer.load(tiny_checkpoint())


@pytest.fixture(scope="module")
def model():
    from transformers import GPT2LMHeadModel

    return GPT2LMHeadModel.from_pretrained(tiny_checkpoint())


# figures


@settings(deadline=None)
@given(
    st.integers(1, 8).flatmap(
        lambda n: st.tuples(st.lists(st.booleans(), min_size=n, max_size=n), st.integers(1, n))
    )
)
def test_pass_at_k_is_the_share_of_draws_with_a_right_answer(case):
    row, k = case
    draws = list(itertools.combinations(row, k))
    assert math.isclose(pass_at_k(len(row), sum(row), k), sum(map(any, draws)) / len(draws))


def test_pass_at_k_refuses_what_cannot_be_drawn():
    for n, c, k in ((2, 1, 3), (2, 3, 1), (2, 0, 0)):
        with pytest.raises(ValueError, match="can be drawn"):
            pass_at_k(n, c, k)


def test_only_the_ks_that_all_tasks_have_answers_for():
    figures = pass_figures([[True, False], [False, False, False]], [1, 2, 3], "x ")
    assert [(f.name, f.value) for f in figures] == [("x pass@1", 0.25), ("x pass@2", 0.5)]


def test_wilsons_interval():
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3
    for right, n, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
    ):
        assert wilson(right / n, n) == pytest.approx((low, high), abs=5e-5)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0, 1)), min_size=1, max_size=40))
def test_intervals_hold_the_value_and_do_not_vary(items):
    groups, values = zip(*items, strict=True)
    figure = clustered("x", values, groups, "lines", "files")
    assert figure == clustered("x", values, groups, "lines", "files")
    assert 0 <= figure.low <= figure.high <= 1
    assert figure.n == len(items)
    whole = proportion("x", values, "lines")
    assert whole.low - 1e-9 <= whole.value <= whole.high + 1e-9


def test_whole_groups_are_drawn():
    values = [1.0] * 50 + [0.0] * 50
    few = clustered("x", values, [at // 50 for at in range(100)], "lines", "files")
    many = clustered("x", values, list(range(100)), "lines", "files")
    assert few.high - few.low > 2 * (many.high - many.low)


def test_a_paired_difference_is_narrower_than_two_intervals():
    before = [(at * 37 % 100) / 100 for at in range(100)]
    after = [min(1.0, value + 0.05) for value in before]
    change = difference("x", before, after, list(range(100)), "lines", "files")
    assert 0.04 < change.low <= change.value <= change.high <= 0.05 + 1e-9


# problems


@settings(deadline=None)
@given(st.text("ab\n d#", max_size=30), st.sampled_from(["", "\ndef g():", "\nprint(1)"]))
def test_an_answer_is_cut_at_the_first_stop_or_not_at_all(text, stop):
    whole = cut(text + stop, FUNCTION_STOPS)
    assert (text + stop).startswith(whole)
    assert not any(sign in whole for sign in FUNCTION_STOPS)
    if not any(sign in text + stop for sign in FUNCTION_STOPS):
        assert whole == text + stop  # CodeParrot's splitter gives "" here


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no tasks"),
        ("[1]", "one JSON object"),
        ("{", "line 1"),
        ('{"task_id": "x"}', "canonical_solution"),
        (json.dumps({**TASKS[0], "prompt": 1}), "prompt is a text"),
        (json.dumps({**TASKS[0], "suffix": ""}), "evaluate infilling"),
        (json.dumps({**MBPP, "test_list": []}), "test_list"),
        (json.dumps(TASKS[0]) + "\n\n" + json.dumps(TASKS[0]), "same task_id"),
    ],
)
def test_a_malformed_file_is_one_clear_error(tmp_path, content, said):
    file = tmp_path / "tasks.jsonl"
    file.write_text(content)
    with pytest.raises(EvaluationError, match=said):
        read_problems(file)


def test_files_that_cannot_be_read(tmp_path):
    for name, content in (("x.gz", gzip.compress(b"{}" * 99)[:-9]), ("y", b"\xff"), ("z", None)):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(EvaluationError, match="cannot read"):
            read_problems(tmp_path / name)
    file = write(tmp_path, TASKS)
    with pytest.raises(EvaluationError, match="evaluate tasks"):
        read_problems(file, infilling=True)


# prompts


def test_an_infilling_prompt_holds_the_whole_suffix_first(tokenizer):
    problem = Problem("x", "def f(self):\n    retu", "lf.x\n\ny = 1\n", "", "", "", ())
    prompt = prompt_of(tokenizer, problem, CONTEXT_LENGTH, 64, None)
    assert prompt.ids[:2] == [FIM_PREFIX_ID, FIM_SUFFIX_ID]
    middle = prompt.ids.index(FIM_MIDDLE_ID)
    assert tokenizer.decode(prompt.ids[2:middle]) == problem.suffix
    assert tokenizer.decode(prompt.ids[middle + 1 :]) + prompt.rest.decode() == problem.prompt
    assert prompt.rest == b"retu"


@settings(deadline=None)
@given(st.text(max_size=3000), st.text(max_size=3000))
def test_a_prompt_leaves_room_for_its_answer(tokenizer, prefix, suffix):
    problem = Problem("x", prefix, suffix, "", "", "", ())
    prompt = prompt_of(tokenizer, problem, 256, 64, 4)
    assert 1 <= len(prompt.ids) <= 256 - 64
    assert prefix.encode("utf-8", "replace").endswith(prompt.rest)


def test_answers_too_long_for_the_context_are_refused(tokenizer):
    with pytest.raises(EvaluationError, match="--max-tokens"):
        prompt_of(tokenizer, Problem("x", "a", "", "", "", "", ()), 256, 250, None)


# generation


def jobs(tokenizer, temperatures=(0.0,), samples=1, stops=FUNCTION_STOPS):
    """Answers in documents of several lengths, cursors also inside of words."""
    found = []
    for name, text in DOCUMENTS.items():
        for at in (len(text) // 4, len(text) // 2):
            problem = Problem(f"{name}/{at}", text[:at], "", "", "", "", stops)
            prompt = prompt_of(tokenizer, problem, CONTEXT_LENGTH, 16, None)
            for temperature, sample in itertools.product(temperatures, range(samples)):
                key = Key(problem.task_id, temperature, sample)
                found.append((key, prompt, stops, 1))
    return found


def answers(model, tokenizer, wanted, size):
    import torch

    vocabulary = Vocabulary(tokenizer)
    made = [Job(*one) for one in wanted]
    for start in range(0, len(made), size):
        generate(model, vocabulary, made[start : start + size], 0.95, torch.device("cpu"))
    return made


def test_batches_give_the_greedy_tokens_of_single_answers(model, tokenizer):
    wanted = jobs(tokenizer)
    assert len({len(prompt.ids) for _, prompt, _, _ in wanted}) > 5  # so they are padded
    single = [job.written for job in answers(model, tokenizer, wanted, 1)]
    assert single == [job.written for job in answers(model, tokenizer, wanted, len(wanted))]
    assert len(set(single)) > 5


def test_greedy_answers_are_those_of_the_model_without_a_cache(model, tokenizer):
    import torch

    wanted = jobs(tokenizer, stops=())
    for job in answers(model, tokenizer, wanted, 8)[::4]:
        vocabulary = Vocabulary(tokenizer)
        ids, rest, written = list(job.prompt.ids), job.prompt.rest, b""
        while len(written) < len(job.written):
            logits = model(torch.tensor([ids])).logits[0, -1].detach().numpy().copy()
            if rest:
                allowed = vocabulary.continuing(rest)
                token = int(allowed[logits[allowed].argmax()])
            else:
                vocabulary.ban_specials(logits)
                token = int(logits.argmax())
            ids.append(token)
            written += vocabulary.bytes[token][len(rest) :]
            rest = rest[len(vocabulary.bytes[token]) :]
        assert written == job.written


def test_samples_depend_on_their_seed_alone(model, tokenizer):
    wanted = jobs(tokenizer, (0.8, 1.5), 2)
    first = [job.text for job in answers(model, tokenizer, wanted, len(wanted))]
    again = {job.key: job.text for job in answers(model, tokenizer, wanted[::-1], 7)}
    assert first == [again[key] for key, *_ in wanted]
    assert len(set(first)) > len(wanted) // 2
    other = [(key, prompt, stops, 2) for key, prompt, stops, _ in wanted]
    assert first != [job.text for job in answers(model, tokenizer, other, len(wanted))]


def test_sampling_follows_the_models_distribution(model, tokenizer):
    import torch

    prompt = Prompt(tokenizer.encode("def "), b"", 1)
    wanted = [(Key("x", 2.0, sample), prompt, (), 0) for sample in range(400)]
    drawn = [job.written for job in answers(model, tokenizer, wanted, 400)]
    logits = model(torch.tensor([prompt.ids])).logits[0, -1].detach().numpy().copy()
    Vocabulary(tokenizer).ban_specials(logits)
    shares, order = torch.softmax(torch.from_numpy(logits).double() / 2, 0).sort(descending=True)
    nucleus = int((shares.cumsum(0) < 0.95).sum()) + 1
    kept = [tokenizer.token_bytes[token] for token in order[:nucleus]]
    assert nucleus > 3
    assert set(drawn) <= {*kept, b""}
    for text, share in zip(kept[:5], (shares / shares[:nucleus].sum()).tolist(), strict=False):
        spread = math.sqrt(share * (1 - share) / len(drawn))
        assert abs(drawn.count(text) / len(drawn) - share) < 5 * spread


def test_the_served_decoder_and_the_checkpoint_answer_alike(model, tokenizer):
    served = Served(open_bundle(tiny_bundle()), 1)
    made = answers(model, tokenizer, jobs(tokenizer, stops=()), 8)
    same = sum(served.answer(job.prompt) == job.text for job in made)
    assert same >= len(made) - 2  # 8 bits may tip a near tie


# completions


def test_answers_are_kept_and_a_cut_line_is_dropped(tmp_path):
    file = tmp_path / "deep" / "answers.jsonl"
    keys = [Key("a", 0.0, 0), Key("a", 0.8, 1), Key("ä", 0.8, 0)]
    store = Completions(file, {"seed": 1})
    store.add((key, f"text\n{key.task_id}\u2028\r") for key in keys)
    with file.open("a") as stream:
        stream.write('{"task_id": "b", "temp')
    again = Completions(file, {"seed": 1})
    assert again.texts == store.texts
    again.add([(Key("b", 0.0, 0), "x")])
    header, texts = read_completions(file)
    assert header["seed"] == 1
    assert list(texts) == [*keys, Key("b", 0.0, 0)]


def test_answers_made_otherwise_are_not_mixed(tmp_path):
    file = tmp_path / "answers.jsonl"
    Completions(file, {"seed": 1, "top_p": 0.9})
    with pytest.raises(EvaluationError, match="another seed:"):
        Completions(file, {"seed": 2, "top_p": 0.9})
    before = write(tmp_path, TASKS).read_text()
    with pytest.raises(EvaluationError, match="no answer"):
        Completions(tmp_path / "tasks.jsonl", {})
    assert (tmp_path / "tasks.jsonl").read_text() == before


# the commands


def run(capsys, *words):
    code = main(["evaluate", *map(str, words)])
    out, err = capsys.readouterr()
    return code, out, err


@needs_sandbox
@pytest.mark.parametrize("name", ["tasks.jsonl", "tasks.jsonl.gz"])
def test_references_pass(tmp_path, capsys, name):
    file = write(tmp_path, [*TASKS, MBPP], name)
    code, out, _ = run(capsys, "tasks", file, "--reference", "--run-generated-code")
    assert code == 0
    assert "100.00 % [56.55, 100.00]" in out
    wrong = write(tmp_path, [*TASKS, {**MBPP, "code": "def double(x): return x"}])
    code, out, _ = run(capsys, "tasks", wrong, "--reference", "--run-generated-code")
    assert code == 1
    assert "MBPP/7 fails: AssertionError" in out


@needs_sandbox
def test_a_model_that_knows_the_tasks_solves_them(tmp_path, capsys):
    file = write(tmp_path, TASKS)
    kept = tmp_path / "answers.jsonl"
    words = ["tasks", file, "--model", tiny_checkpoint(), "--max-tokens", 64, "--completions", kept]
    words += ["--temperature", 0, 0.2, "--samples", 3, "--k", 1, 3, 9]
    code, out, _ = run(capsys, *words)  # not run without the flag
    assert code == 0
    assert "answers written" in out
    lines = kept.read_text().splitlines(keepends=True)
    assert len(lines) == 1 + 4 + 12
    kept.write_text("".join(lines[:9]) + lines[9][:20])  # interrupted

    results, table = tmp_path / "r" / "results.json", tmp_path / "table.md"
    words += ["--run-generated-code", "--json", results, "--markdown", table]
    code, out, _ = run(capsys, *words)
    assert code == 0
    assert sorted(kept.read_text().splitlines()[1:]) == sorted("".join(lines).splitlines()[1:])
    values = json.loads(results.read_text())
    names = [figure["name"] for figure in values["figures"]]
    assert names == ["greedy pass@1", "T=0.2 pass@1", "T=0.2 pass@3"]
    assert values["figures"][0]["value"] == 1.0
    assert all(f["low"] <= f["value"] <= f["high"] for f in values["figures"])
    assert values["options"]["seed"] == 0
    assert len(values["model"]["weights_sha256"]) == 64
    assert values["parrotlet"]
    assert len(values["answers"]) == 16
    assert "| greedy pass@1 | 100.00 % [51.01, 100.00] | 4 tasks |" in table.read_text()

    # scored again, without the model
    code, again, _ = run(capsys, "tasks", file, "--score", kept, "--run-generated-code")
    assert code == 0
    assert "greedy pass@1  100.00 %" in again


@needs_sandbox
def test_foreign_answers_are_scored(tmp_path, capsys):
    file = write(tmp_path, TASKS)
    right = [{"task_id": t["task_id"], "completion": t["canonical_solution"]} for t in TASKS]
    wrong = [{**one, "completion": "    return None\n"} for one in right]
    samples = write(tmp_path, [*right, *wrong], "samples.jsonl")
    code, out, _ = run(
        capsys, "tasks", file, "--score", samples, "--run-generated-code", "--k", 1, 2
    )
    assert code == 0
    assert "pass@1  50.00 %" in out
    assert "pass@2  100.00 %" in out
    few = write(tmp_path, right[:1], "few.jsonl")
    code, _, err = run(capsys, "tasks", file, "--score", few, "--run-generated-code")
    assert code == 1
    assert "no answers to 3 of 4 tasks" in err


@needs_sandbox
@pytest.mark.parametrize("temperature", [0, 0.1])
def test_gaps_are_filled(tmp_path, capsys, temperature):
    file = write(tmp_path, GAPS, "gaps.jsonl.gz")
    code, out, _ = run(capsys, "infilling", file, "--reference", "--run-generated-code")
    assert code == 0
    assert "100.00 %" in out
    words = ["infilling", file, "--model", tiny_bundle(), "--max-tokens", 64]
    words += ["--temperature", temperature, "--run-generated-code"]
    code, out, _ = run(capsys, *words)
    assert code == 0
    assert "pass@1  100.00 %" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--reference"], "--run-generated-code"),
        ([], "--run-generated-code"),
        (["--completions", "{tmp}/a", "--model", "{tmp}/none"], "there is no model"),
        (["--temperature", "-1"], "no number from 0 to 10"),
        (["--top-p", "nan"], "no number"),
        (["--samples", "x"], "samples"),
        (["--reference", "--model", "x"], "not allowed"),
    ],
)
def test_wrong_use_is_one_line(tmp_path, capsys, words, said):
    file = write(tmp_path, TASKS)
    try:
        code = main(["evaluate", "tasks", str(file), *(w.format(tmp=tmp_path) for w in words)])
    except SystemExit as error:
        code = error.code
    err = capsys.readouterr().err
    assert code in (1, 2)
    assert said in err
    assert err.count("\n") == 1


def test_bits_have_an_interval(tmp_path, capsys, corpus):
    results = tmp_path / "bits.json"
    words = ["bits", tiny_checkpoint(), "--corpus", corpus, "--split", "validation"]
    code, out, _ = run(capsys, *words, "--max-bytes", 60_000, "--json", results)
    assert code == 0
    figure = json.loads(results.read_text())["figures"][0]
    assert 0 < figure["low"] <= figure["value"] <= figure["high"]
    assert figure["n"] > 5_000
    assert "bits/byte" in out


def test_bits_of_a_shorter_context(tmp_path, capsys, corpus):
    words = ["bits", tiny_checkpoint(), "--corpus", corpus, "--split", "validation"]
    results, values = tmp_path / "bits.json", []
    for context in ([], ["--context", CONTEXT_LENGTH], ["--context", 16]):
        code, _, _ = run(capsys, *words, *context, "--json", results)
        assert code == 0
        found = json.loads(results.read_text())
        assert found["options"]["context"] == (context or [CONTEXT_LENGTH])[-1]
        values.append(found["figures"][0]["value"])
    assert values[0] == values[1] != values[2]
    code, _, err = run(capsys, *words, "--context", 100_000)
    assert code == 1
    assert "--context is 100000; this model reads 2 to" in err


def test_what_the_served_engine_answers_needs_no_torch(tmp_path):
    gaps, tasks, code = write(tmp_path, GAPS, "gaps.jsonl"), write(tmp_path, TASKS), tmp_path / "a"
    code.mkdir()
    (code / "shapes.py").write_text(SHAPES)
    model = ["--model", str(tiny_bundle())]
    commands = [
        ["infilling", str(gaps), *model, "--completions", str(tmp_path / "gaps")],
        ["lines", "--folder", str(code), *model, "--limit", "2"],
        ["tasks", str(tasks), *model, "--completions", str(tmp_path / "tasks")],
    ]
    program = (
        "import json, sys\n"
        "sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from parrotlet_server.cli import main\n"
        "codes = [main(['evaluate', *words]) for words in json.loads(sys.argv[1])]\n"
        "assert codes == [0, 0, 2], codes\n"
    )
    words = [sys.executable, "-c", program, json.dumps(commands)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "needs torch, transformers" in done.stderr
    assert len((tmp_path / "gaps").read_text().splitlines()) == 1 + len(GAPS)
