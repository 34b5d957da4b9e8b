"""The loop fed from elsewhere than shards: a pretokenised cache, a data set of the Hub."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as parquet
import torch
import yaml

from parrotlet_training.checkpoint import checkpoints
from parrotlet_training.data.pretokenize import pretokenize
from parrotlet_training.recipe import load_recipe
from parrotlet_training.train import train

from ..support.data_hub import COMMIT, DataHub
from .conftest import MODULES, losses, scores


def test_from_a_cache_a_run_is_the_same_to_the_bit(whole_run, tmp_path):
    file, run = whole_run
    recipe = load_recipe(str(file))
    assert pretokenize(recipe, tmp_path / "cache", 1, workers=2).made >= 1
    cached = replace(recipe, data=replace(recipe.data, cache=str(tmp_path / "cache")))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        train(cached, tmp_path / "run")
    finally:
        torch.set_num_threads(threads)
    assert losses(tmp_path / "run") == losses(run)
    assert scores(tmp_path / "run") == scores(run)


def test_from_the_hub_a_run_trains_and_goes_on_without_it(tokenizer_folder, tmp_path):
    texts = [f"def {part}" for m in MODULES for part in inspect.getsource(m).split("\ndef ")]
    rows = [
        {"code": text, "path": f"m{number}.py", "repo_name": f"someone/project{number % 9}"}
        for number, text in enumerate(texts)
    ]
    file = tmp_path / "served" / "data" / "train-00000-of-00001.parquet"
    file.parent.mkdir(parents=True)
    parquet.write_table(pa.Table.from_pylist(rows), file)
    hub = {"text": "code", "train": "train[:80%]", "validation": "train[80%:]"}
    recipe = {
        "name": "hub",
        "data": {
            "corpus": f"hub:someone/code@{COMMIT}",
            "tokenizer": str(tokenizer_folder),
            "streams": 1,
            "hub": hub,
        },
        "model": {"layers": 1, "width": 32, "heads": 2, "context": 64},
        "optimizer": {"learning_rate": 3e-3, "rows_per_stream": 4, "micro_rows": 4},
        "schedule": {"steps": 8, "warmup": 1, "decay": 2},
        "run": {"evaluate_every": 8, "evaluate_bytes": 2000, "checkpoint_every": 4, "keep": 2},
    }
    (tmp_path / "hub.yaml").write_text(yaml.safe_dump(recipe))
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
        "NO_PROXY": "127.0.0.1",
        "OMP_NUM_THREADS": "1",
    }

    def command(**changes):
        words = [sys.executable, "-m", "parrotlet_server", "train", "hub.yaml", "--out", "run"]
        return subprocess.run(
            words,
            env=environment | changes,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=280,
        )

    with DataHub("someone/code", tmp_path / "served") as server:
        done = command(HF_ENDPOINT=server.address)
        assert done.returncode == 0, done.stderr
        assert any(path.endswith(".parquet") for path in server.paths)
    run = tmp_path / "run"
    curve = losses(run)
    assert len(curve) == 8
    assert curve[-1] < curve[0]
    assert scores(run)[0] > 0
    # the last steps again, out of what was fetched: the data set is not needed twice
    newest = checkpoints(run)[-1]
    (newest / "model.safetensors").unlink()
    again = command(HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_OFFLINE="1")
    assert again.returncode == 0, again.stderr
    assert "going on after step 4" in again.stderr
    assert losses(run) == curve
    facts = json.loads((checkpoints(run)[-1] / "parrotlet_run.json").read_text())
    assert facts["run"]["step"] == 8
