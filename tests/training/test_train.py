"""The loop: one process and two, exact resume after a kill, what a run leaves behind."""

from __future__ import annotations

import inspect
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

from parrotlet_tokenizer import CodeTokenizer
from parrotlet_tokenizer.train import train_tokenizer
from parrotlet_training.checkpoint import (
    checkpoint_folder,
    checkpoints,
    newest_checkpoint,
    prune,
)
from parrotlet_training.evaluate.bits import TextScore, score_rows
from parrotlet_training.model import new_model, new_optimizers, rate_factor
from parrotlet_training.muon import Muon, orthogonalised
from parrotlet_training.recipe import (
    ModelOptions,
    OptimizerOptions,
    RecipeError,
    ScheduleOptions,
    load_recipe,
    shipped_recipes,
)

from .conftest import losses


def train(recipe, out, *overrides, processes=1, wait=True, extra=()):
    """Runs the real command, alone or under the real launcher."""
    command = [sys.executable, "-m"]
    if processes > 1:
        command += ["accelerate.commands.launch", "--cpu", "--num_processes", str(processes)]
        command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
        command += ["--main_process_port", "0", "--module"]
    command += ["parrotlet_server", "train", str(recipe), "--out", str(out), *extra]
    for override in overrides:
        command += ["--set", override]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    if not wait:
        return process
    out_text, error_text = process.communicate(timeout=240)
    assert process.returncode == 0, error_text
    return out_text


def weights(run):
    return AutoModelForCausalLM.from_pretrained(checkpoints(run)[-1]).state_dict()


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory, corpus, tokenizer_folder):
    """One uninterrupted run, which others are held against."""
    folder = tmp_path_factory.mktemp("whole")
    recipe = folder / "tiny.yaml"
    content = {
        "name": "tiny",
        "data": {"corpus": str(corpus), "tokenizer": str(tokenizer_folder), "streams": 2},
        "model": {"layers": 2, "width": 32, "heads": 2, "context": 64},
        "loss": {"kind": "sampled", "frequent": 100, "negatives": 100},
        "optimizer": {"name": "muon", "rows_per_stream": 2, "micro_rows": 2},
        "schedule": {"steps": 12, "warmup": 2, "decay": 4},
        "run": {"evaluate_every": 6, "evaluate_bytes": 4000, "checkpoint_every": 4, "keep": 2},
    }
    recipe.write_text(yaml.safe_dump(content))
    output = train(recipe, folder / "run")
    assert "checkpoint:" in output
    return recipe, folder / "run"


def test_a_run_learns_and_leaves_what_it_should(whole_run):
    _, run = whole_run
    curve = losses(run)
    assert len(curve) == 12
    assert curve[-1] < curve[0]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    scores = [line for line in lines if "bits_per_byte" in line]
    assert [line["step"] for line in scores] == [6, 12]
    assert scores[-1]["perplexity"] == pytest.approx(math.exp(scores[-1]["validation_loss"]))
    assert [line["tokens"] for line in lines if "loss" in line][-1] == 12 * 4 * 64
    assert [p.name for p in checkpoints(run)] == ["step-00000008", "step-00000012"]
    facts = json.loads((checkpoints(run)[-1] / "parrotlet_run.json").read_text())
    assert facts["run"]["step"] == 12
    assert facts["evaluation"]["validation_bits_per_byte"] == scores[-1]["bits_per_byte"]
    assert facts["corpus"]["repositories"] > 1
    assert facts["run"]["best_quality"] == 4  # the corpus is rated, so serving asks for the best


def test_a_checkpoint_is_a_plain_hugging_face_folder(whole_run):
    _, run = whole_run
    folder = checkpoints(run)[-1]
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.config.bos_token_id == model.config.eos_token_id == tokenizer.eos_token_id == 0
    inputs = tokenizer("def f(x):\n", return_tensors="pt")
    output = model.generate(**inputs, max_new_tokens=3, do_sample=False, pad_token_id=0)
    assert output.shape[1] > inputs["input_ids"].shape[1]


def test_killed_at_any_moment_it_goes_on_to_the_bit(whole_run, tmp_path):
    recipe, reference = whole_run
    run = tmp_path / "run"
    for target in (3, 6):
        process = train(recipe, run, wait=False)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            metrics = run / "metrics.jsonl"
            if metrics.is_file() and len(losses_or_none(run)) >= target:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    train(recipe, run)
    assert losses(run) == losses(reference)
    expected = weights(reference)
    for name, value in weights(run).items():
        assert torch.equal(value, expected[name]), name


def losses_or_none(run):
    try:
        return losses(run)
    except ValueError:  # a line half written
        return []


def test_a_signal_saves_and_the_same_command_goes_on(whole_run, tmp_path):
    recipe, reference = whole_run
    run = tmp_path / "run"
    process = train(recipe, run, "run.checkpoint_every=1000", wait=False)
    while process.poll() is None and not (
        (run / "metrics.jsonl").is_file() and len(losses_or_none(run)) >= 2
    ):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert checkpoints(run)[-1].name < "step-00000012"
    train(recipe, run)
    assert losses(run) == losses(reference)


def test_two_ranks_give_the_losses_of_one_and_resume_as_one(whole_run, tmp_path):
    recipe, reference = whole_run
    run = tmp_path / "run"
    train(recipe, run, "schedule.steps=8", "schedule.decay=0", processes=2)
    one = tmp_path / "one"
    train(recipe, one, "schedule.steps=8", "schedule.decay=0")
    assert losses(run) == pytest.approx(losses(one), abs=2e-4)
    assert losses(run) == pytest.approx(losses(reference)[:8], abs=2e-4)
    train(recipe, run)
    assert losses(run) == pytest.approx(losses(reference), abs=1e-3)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    other = [json.loads(line) for line in (reference / "metrics.jsonl").read_text().splitlines()]
    bits = [line["bits_per_byte"] for line in lines if "bits_per_byte" in line]
    expected = [line["bits_per_byte"] for line in other if "bits_per_byte" in line]
    assert bits[0] == pytest.approx(expected[0], abs=1e-3)


def test_micro_batches_do_not_change_the_step(whole_run, tmp_path):
    """With the whole vocabulary; a sampled softmax draws anew for each micro-batch."""
    recipe, _ = whole_run
    for rows in (2, 3):
        run = tmp_path / str(rows)
        train(recipe, run, f"optimizer.micro_rows={rows}", "loss.kind=full", "schedule.steps=8")
    assert losses(tmp_path / "3") == pytest.approx(losses(tmp_path / "2"), abs=1e-3)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(whole_run, tmp_path, caplog):
    _, reference = whole_run
    run = tmp_path / "run"
    shutil.copytree(reference, run)
    state = checkpoints(run)[-1] / "training_state" / "state.pt"
    state.write_bytes(state.read_bytes()[:1000])
    from accelerate import PartialState

    PartialState()
    folder, _, _ = next(newest_checkpoint(run))
    assert folder.name == "step-00000008"
    assert "damaged" in caplog.text


def refused(recipe, run, *arguments):
    """The one line with which a run is refused."""
    command = [sys.executable, "-m", "parrotlet_server", "train", str(recipe), "--out", str(run)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_a_changed_corpus_or_tokenizer_stops_the_resume(whole_run, tmp_path, corpus):
    """Cursors and token ids would mean something else."""
    recipe, _ = whole_run
    data, tokens = tmp_path / "corpus", tmp_path / "tokenizer"
    shutil.copytree(corpus, data)
    shutil.copytree(yaml.safe_load(recipe.read_text())["data"]["tokenizer"], tokens)
    places = [f"data.corpus={data}", f"data.tokenizer={tokens}"]
    run = tmp_path / "run"
    train(recipe, run, *places, "schedule.steps=4", "schedule.decay=0")
    arguments = [word for place in places for word in ("--set", place)]
    train_tokenizer([inspect.getsource(inspect)], 600).save(tokens)
    assert "tokenizer has changed" in refused(recipe, run, *arguments)
    CodeTokenizer.load(checkpoints(run)[-1]).save(tokens)
    (data / "corpus.json").write_text("{}")
    assert "was built anew" in refused(recipe, run, *arguments)


def test_a_corpus_without_validation_is_refused_at_once(recipe_file, tmp_path, corpus):
    shutil.copytree(corpus, tmp_path / "corpus")
    for shard in (tmp_path / "corpus" / "data").glob("validation-*"):
        shard.unlink()
    run = tmp_path / "run"
    line = refused(recipe_file, run, "--set", f"data.corpus={tmp_path / 'corpus'}")
    assert "no validation split" in line
    assert not run.exists()


def test_the_best_checkpoint_outlives_the_others(tmp_path):
    for step in (1, 2, 3, 4):
        checkpoint_folder(tmp_path, step).mkdir(parents=True)
    prune(tmp_path, 2, best_step=1)
    assert [path.name[-1] for path in checkpoints(tmp_path)] == ["1", "3", "4"]


def test_another_recipe_does_not_take_over_a_run(whole_run):
    recipe, run = whole_run
    line = refused(recipe, run, "--set", "model.layers=3")
    assert line.startswith("parrotlet: ")
    assert "choose another --out" in line


def test_a_run_can_begin_with_given_weights(whole_run, tmp_path):
    recipe, reference = whole_run
    start = ["--init-from", str(checkpoints(reference)[-1])]
    run = tmp_path / "run"
    overrides = ["schedule.steps=1", "schedule.warmup=0", "schedule.decay=0"]
    train(recipe, run, *overrides, extra=start)
    assert losses(run)[0] < losses(reference)[3]
    facts = json.loads((checkpoints(run)[-1] / "parrotlet_run.json").read_text())
    assert facts["run"]["tokens_before"] == 12 * 4 * 64
    done = subprocess.run(
        [sys.executable, "-m", "parrotlet_server", "train", str(recipe), *start]
        + ["--out", str(tmp_path / "other"), "--set", "model.layers=3"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "another shape than the recipe" in done.stderr


def test_a_small_model_overfits(tmp_path, corpus, tokenizer_folder, recipe_file):
    """Loss on a corpus of one document goes nearly to nothing."""
    from parrotlet_training.corpus.build import build_corpus
    from parrotlet_training.corpus.recipe import CorpusRecipe
    from parrotlet_training.corpus.sources import Folder

    source = tmp_path / "one"
    source.mkdir()
    (source / "a.py").write_text("def area(width, height):\n    return width * height\n" * 3)
    out = tmp_path / "corpus"
    build_corpus([Folder(source)], out, CorpusRecipe(validation_share=0.0), progress=False)
    (out / "data" / "validation-00000.parquet").write_bytes(
        (out / "data" / "train-00000.parquet").read_bytes()
    )
    run = tmp_path / "run"
    train(
        recipe_file,
        run,
        f"data.corpus={out}",
        "data.streams=1",
        "data.fim={rate: 0.0, path_share: 0.0}",
        "schedule.steps=250",
        "schedule.decay=100",
        "run.checkpoint_every=1000",
        "run.evaluate_every=1000",
    )
    assert losses(run)[-1] < 0.1


def test_weight_decay_spares_biases_norms_and_embeddings():
    model = new_model(ModelOptions(layers=1, width=32, heads=2, context=16), 300, seed=1)
    (optimizer,) = new_optimizers(model, OptimizerOptions(), fused=False)
    names = {id(weight): name for name, weight in model.named_parameters()}
    decayed = {
        names[id(weight)]
        for group in optimizer.param_groups
        for weight in group["params"]
        if group["weight_decay"]
    }
    assert decayed == {
        f"transformer.h.0.{name}.weight"
        for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    }
    count = sum(len(group["params"]) for group in optimizer.param_groups)
    assert count == len(list(model.parameters()))


def test_fresh_weights_depend_on_the_seed_alone():
    options = ModelOptions(layers=1, width=32, heads=2, context=16)
    one, two, other = (new_model(options, 300, seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.transformer.wte.weight, other.transformer.wte.weight)


def test_schedule_rises_stays_and_falls():
    options = ScheduleOptions(steps=100, warmup=10, decay=40, floor=0.1)
    rates = [rate_factor(step, options) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:60] == [1.0] * 51
    assert all(a > b for a, b in pairwise(rates[60:]))
    assert rates[99] == pytest.approx(0.1)
    cosine = ScheduleOptions(steps=100, warmup=0, decay=100, shape="cosine")
    assert rate_factor(49, cosine) == pytest.approx(0.5)


@pytest.mark.parametrize("shape", [(8, 32), (32, 8), (16, 16)])
def test_orthogonalised_has_singular_values_near_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(orthogonalised(matrix, 5))
    assert values.min() > 0.6
    assert values.max() < 1.3


def test_muon_takes_fused_weights_apart():
    torch.manual_seed(1)
    start, gradient = torch.randn(8, 24), torch.randn(8, 24)
    fused = torch.nn.Parameter(start.clone())
    fused.grad = gradient.clone()
    Muon([{"params": [fused], "parts": 3}], lr=0.1, weight_decay=0.0).step()
    for part, before, slope in zip(
        fused.chunk(3, 1), start.chunk(3, 1), gradient.chunk(3, 1), strict=True
    ):
        single = torch.nn.Parameter(before.clone())
        single.grad = slope.clone()
        Muon([single], lr=0.1, weight_decay=0.0).step()
        torch.testing.assert_close(part, single)
    with pytest.raises(ValueError, match="matrices alone"):
        Muon([torch.nn.Parameter(torch.zeros(3))], lr=0.1)


def test_score_counts_text_and_not_specials(tokenizer: CodeTokenizer):
    import numpy as np

    model = new_model(ModelOptions(layers=1, width=32, heads=2, context=16), 600, seed=1)
    ids = [0, *tokenizer.encode("x = 'é'\n"), 0]
    row = np.asarray(ids + [0] * (17 - len(ids)), np.int32)
    score = score_rows(model, [row], tokenizer, torch.device("cpu"))
    assert score.bytes == len("x = 'é'\n".encode())
    assert score.tokens == len(ids) - 2
    with torch.no_grad():
        logits = model(torch.tensor(row[None, :-1], dtype=torch.long)).logits[0]
    chosen = logits.log_softmax(-1)[range(16), row[1:]][: len(ids) - 2]
    assert score.nats == pytest.approx(-float(chosen.sum()), rel=1e-5)


def test_perplexity_overflows_to_infinity():
    assert TextScore(nats=1e6, tokens=1, bytes=1).perplexity == math.inf


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_are_sound(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.model.context == 1024


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "no mapping"),
        ("name: x", "data is missing"),
        ("{name: x, data: {corpus: a, tokenizer: b}, modle: {}}", "unknown field modle"),
        ("{name: x, data: {corpus: a, tokenizer: b}, model: {layers: two}}", "model.layers is of"),
        ("{name: x, data: {corpus: a, tokenizer: b}, model: {width: 30}}", "no multiple of heads"),
        (
            "{name: x, data: {corpus: a, tokenizer: b}, optimizer: {name: sgd}}",
            "one of adamw, muon",
        ),
        ("{name: x, data: {corpus: a, tokenizer: b, fim: {rate: 2}}}", "share between 0 and 1"),
        ("{name: x, data: {corpus: a, tokenizer: b}, schedule: {steps: 5}}", "exceed steps"),
        ("a: [", "cannot read the recipe"),
    ],
)
def test_bad_recipes_are_refused_clearly(tmp_path, text, message):
    file = tmp_path / "r.yaml"
    file.write_text(text)
    with pytest.raises(RecipeError, match=message):
        load_recipe(str(file))


def test_unknown_recipe_names_the_known_ones():
    with pytest.raises(RecipeError, match="cpu-9m"):
        load_recipe("nonesuch")
