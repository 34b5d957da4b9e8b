"""Publishing checkpoints while training goes on, to a server that speaks the Hub's protocol."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Condition

import pytest
import yaml
from tests.support.upload_hub import READER, TOKEN, UploadHub

from parrotlet_server.cli import main
from parrotlet_training.hub import Patience, Publisher, PushError
from parrotlet_training.hub.publisher import MOST_WAITING, branch_of

NAME = "someone/model"
PATIENT = Patience(first=0.05, longest=0.2, attempt=60, last=120)


def checkpoint(run, step):
    """A checkpoint's files; the weights differ from step to step."""
    folder = run / "checkpoints" / f"step-{step:08d}"
    (folder / "training_state").mkdir(parents=True)
    (folder / "config.json").write_text('{"n_layer": 2, "n_embd": 8, "n_positions": 16}')
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 40 + step.to_bytes(4, "big"))
    (folder / "tokenizer.json").write_text("{}")
    facts = {"run": {"step": step}, "evaluation": {"validation_bits_per_byte": 1.25}}
    (folder / "parrotlet_run.json").write_text(json.dumps(facts))
    (folder / "training_state" / "state.pt").write_bytes(b"state")
    return folder


def published(folder, *more):
    """What the Hub should hold of a checkpoint."""
    files = ("config.json", "model.safetensors", "parrotlet_run.json", "tokenizer.json", *more)
    return {name: (folder / name).read_bytes() for name in files}


class Lines:
    """What a publisher says, to be waited for."""

    def __init__(self):
        self.said: list[str] = []
        self._change = Condition()

    def __call__(self, line):
        assert TOKEN not in line
        assert "\n" not in line
        with self._change:
            self.said.append(line)
            self._change.notify_all()

    def wait(self, *words):
        def found():
            return any(all(word in line for word in words) for line in self.said)

        with self._change:
            assert self._change.wait_for(found, 60), (words, self.said)


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "first run"
    folder.mkdir()
    return folder


@pytest.fixture
def hub():
    with UploadHub("model", NAME) as hub:
        yield hub


@pytest.fixture(autouse=True)
def variables(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")  # that store is a service of its own
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def start(monkeypatch, hub, run):
    """Starts publishers, and ends those that a failed test left."""
    begun = []

    def start(address=None, patience=PATIENT, **options):
        monkeypatch.setenv("HF_ENDPOINT", address or hub.address)
        lines = Lines()
        begun.append(Publisher(run, NAME, say=lines, patience=patience, **options))
        return begun[-1], lines

    yield start
    hub.release.set()
    for publisher in begun:
        publisher.close(None)


def until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_commit_a_checkpoint_and_the_final_model_with_its_card(hub, run, start):
    publisher, lines = start(private=True)
    folders = []
    for number, step in enumerate((4, 8), 1):
        folders.append(checkpoint(run, step))
        publisher.offer(folders[-1], step)
        until(lambda number=number: len(hub.titles.get("first-run", [])) == number)
    answer = publisher.close(folders[-1])
    assert hub.private is True
    assert hub.titles == {
        "first-run": ["Step 4", "Step 8"],
        "main": ["Final model of first-run"],
    }
    assert hub.branches["first-run"] == published(folders[-1])
    card = hub.branches["main"].pop("README.md").decode()
    assert hub.branches["main"] == published(folders[-1])
    assert "| Validation, bits per byte | 1.2500 |" in card
    assert card.startswith("---\nlibrary_name: transformers\n")
    assert answer == [f"pushed to {hub.address}/{NAME}: step 8, the final model"]
    assert lines.said[:-1] == []  # nothing but that it is about to end
    assert not (run / ".push").exists()
    assert not (folders[-1] / "README.md").exists()


def test_the_training_state_goes_along_when_asked_for(hub, run, start):
    publisher, _ = start(with_state=True)
    folder = checkpoint(run, 1)
    publisher.offer(folder, 1)
    publisher.close(None)
    assert hub.branches["first-run"] == published(folder, "training_state/state.pt")
    assert hub.branches["main"] == {}


def test_a_slow_network_gets_each_checkpoint_though_they_are_pruned_meanwhile(hub, run, start):
    publisher, _ = start()
    folders = {step: checkpoint(run, step) for step in (1, 2, 3)}
    wanted = published(folders[3])
    hub.hold = hashlib.sha256((folders[1] / "model.safetensors").read_bytes()).hexdigest()
    publisher.offer(folders[1], 1)
    assert hub.held.wait(60)
    publisher.offer(folders[2], 2)
    publisher.offer(folders[3], 3)
    for folder in folders.values():
        shutil.rmtree(folder)
    hub.hold = None
    hub.release.set()  # the connection breaks off; the Hub's library tries a second time
    answer = publisher.close(None)
    assert hub.titles["first-run"] == ["Step 1", "Step 2", "Step 3"]
    assert hub.branches["first-run"] == wanted
    assert answer == [f"pushed to {hub.address}/{NAME}: step 3"]


def test_an_upload_that_failed_in_the_middle_is_tried_again(hub, run, start):
    publisher, lines = start()
    folder = checkpoint(run, 1)
    hub.fail_uploads = True
    publisher.offer(folder, 1)
    lines.wait("step 1 not pushed, training goes on, trying again later", "Error while uploading")
    assert hub.branches["first-run"] == {}
    hub.fail_uploads = False
    lines.wait("step 1 pushed")
    assert publisher.close(None) == [f"pushed to {hub.address}/{NAME}: step 1"]
    assert hub.branches["first-run"] == published(folder)


def test_a_dead_network_is_waited_for(run, start):
    with UploadHub("model", NAME) as gone:
        port, address = gone.port, gone.address
    publisher, lines = start(address)
    folder = checkpoint(run, 1)
    publisher.offer(folder, 1)
    lines.wait("step 1 not pushed, training goes on", "cannot be reached")
    with UploadHub("model", NAME, port) as hub:
        lines.wait("step 1 pushed")
        assert publisher.close(None) == [f"pushed to {address}/{NAME}: step 1"]
        assert hub.branches["first-run"] == published(folder)
    assert len(lines.said) == 2  # however often it was tried


def test_a_server_that_hangs_is_left_after_a_while(hub, run, start):
    publisher, lines = start(patience=Patience(0.05, 0.2, attempt=2, last=60))
    hub.hang = True
    publisher.offer(checkpoint(run, 1), 1)
    lines.wait("the Hub did not answer in 2 seconds", "trying again later")
    (answer,) = publisher.close(None)
    assert answer.startswith(f"not pushed to {NAME}: step 1 (the Hub did not answer in 2 seconds)")


def test_the_end_waits_no_longer_than_it_may(hub, run, start):
    publisher, _ = start(patience=Patience(attempt=60, last=1))
    hub.hang = True
    publisher.offer(checkpoint(run, 7), 7)
    assert hub.held.wait(60)
    answer = publisher.close(run / "checkpoints" / "step-00000007")
    assert answer == [
        f"not pushed to {NAME}: step 7, the final model (not done in 1 seconds); "
        f"later: parrotlet push '{run}' {NAME}"
    ]
    assert not (run / ".push").exists()


@pytest.mark.parametrize(
    ("token", "message"),
    [("hf_unknown", "the Hub refuses the token"), (READER, f"may not write to {NAME}")],
)
def test_a_refused_token_is_said_once_and_no_more_is_tried(
    hub, run, start, monkeypatch, token, message
):
    monkeypatch.setenv("HF_TOKEN", token)
    publisher, lines = start()
    publisher.offer(checkpoint(run, 1), 1)
    lines.wait("step 1 not pushed, training goes on, no further attempts", message)
    tried = len(hub.requests)
    final = checkpoint(run, 2)
    publisher.offer(final, 2)
    (answer,) = publisher.close(final)
    assert answer.startswith(f"not pushed to {NAME}: step 1, step 2, the final model (")
    assert message in answer
    assert "later: parrotlet push" in answer
    assert token not in answer
    assert len(hub.requests) == tried
    assert len(lines.said) == 1


def test_a_checkpoint_that_cannot_be_taken_aside_stops_nothing(hub, run, start):
    publisher, lines = start()
    publisher.offer(run / "checkpoints" / "step-00000001", 1)  # it is not there
    assert "step 1 will not be pushed, training goes on" in lines.said[0]
    folder = checkpoint(run, 2)
    publisher.offer(folder, 2)
    pushed, missed = publisher.close(None)
    assert pushed == f"pushed to {hub.address}/{NAME}: step 2"
    assert missed.startswith(f"not pushed to {NAME}: step 1; later: parrotlet push")


def test_of_too_many_that_wait_the_oldest_makes_way(hub, run, start):
    publisher, lines = start(patience=Patience(attempt=60, last=1))
    hub.hang = True
    folder = checkpoint(run, 1)
    publisher.offer(folder, 1)
    assert hub.held.wait(60)
    for step in range(2, MOST_WAITING + 3):
        publisher.offer(folder, step)
    assert lines.said == [f"step 2 is not pushed: more than {MOST_WAITING} wait"]
    # one on its way, and those that wait
    assert len(list((run / ".push").iterdir())) == 1 + MOST_WAITING
    (answer,) = publisher.close(None)
    last = ", ".join(f"step {step}" for step in range(3, MOST_WAITING + 3))
    assert answer.startswith(f"not pushed to {NAME}: 2 earlier ones, {last} (")
    assert not (run / ".push").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from parrotlet_training.hub import Publisher
run = Path(sys.argv[1])
publisher = Publisher(run, sys.argv[2])
for step in (1, 2):
    publisher.offer(run / "checkpoints" / f"step-{step:08d}", step)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_run_had_not_sent_is_sent_by_the_next(hub, run, start):
    folders = [checkpoint(run, step) for step in (1, 2, 3)]
    hub.hang = True
    command = [sys.executable, "-c", KILLED, str(run), NAME]
    done = subprocess.run(command, env=environment(hub), capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    hub.hang = False
    hub.release.set()
    (run / ".push" / "0123abcd").mkdir()  # taken by half
    for folder in folders[:2]:
        shutil.rmtree(folder)  # pruned
    publisher, _ = start()
    publisher.offer(folders[2], 3)
    assert publisher.close(None) == [f"pushed to {hub.address}/{NAME}: step 3"]
    # the upload that was on its way may have ended by itself
    assert list(dict.fromkeys(hub.titles["first-run"])) == ["Step 1", "Step 2", "Step 3"]
    assert not (run / ".push").exists()


def test_no_token_and_a_malformed_name_are_refused_at_once(run, monkeypatch):
    with pytest.raises(PushError, match="give owner/name"):
        Publisher(run, "nobody")
    monkeypatch.setenv("HF_TOKEN", "")
    with pytest.raises(PushError, match="run `hf auth login`"):
        Publisher(run, NAME)


INTERRUPTED = """
import sys
from pathlib import Path
from parrotlet_training.hub import Publisher
run = Path(sys.argv[1])
publisher = Publisher(run, sys.argv[2])
publisher.offer(run / "checkpoints" / "step-00000001", 1)
print("\\n".join(publisher.close(None)))
"""


def environment(hub):
    paths = os.pathsep.join(filter(None, sys.path))
    return {**os.environ, "HF_ENDPOINT": hub.address, "PYTHONPATH": paths}


def test_ctrl_c_ends_the_wait_at_the_end(hub, run):
    checkpoint(run, 1)
    hub.hang = True
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(run), NAME],
        env=environment(hub),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert hub.held.wait(60)
    line = process.stderr.readline()
    assert "Ctrl+C leaves it" in line
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert output.startswith(f"not pushed to {NAME}: step 1 (interrupted); later: parrotlet push")


def push_later(hub, run, *options):
    command = [sys.executable, "-m", "parrotlet_server", "push", str(run), NAME, *options]
    return subprocess.run(command, env=environment(hub), capture_output=True, text=True)


def test_what_was_not_pushed_goes_later(hub, run):
    recipe = {"name": "r", "data": {"corpus": "c", "tokenizer": "t"}, "schedule": {"steps": 500}}
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    folders = {step: checkpoint(run, step) for step in (100, 200)}
    done = push_later(hub, run)
    assert done.stdout == f"pushed to {hub.address}/{NAME}: step 100, step 200\n", done.stderr
    assert hub.titles["first-run"] == ["Step 100", "Step 200"]
    assert hub.branches["main"] == {}  # training has not ended
    assert push_later(hub, run).stdout.startswith("nothing to do: branch first-run")
    shutil.rmtree(folders[100])
    final = checkpoint(run, 500)
    (final / "README.md").write_text("# Mine\n")
    done = push_later(hub, run)
    assert done.stdout == f"pushed to {hub.address}/{NAME}: step 500, the final model\n"
    assert hub.titles["first-run"] == ["Step 100", "Step 200", "Step 500"]
    assert hub.branches["main"] == published(final, "README.md")
    assert not [path for path in run.iterdir() if path.name.startswith(".push")]


def test_weights_in_another_cut_replace_the_old_ones(hub, run, start):
    publisher, _ = start()
    folder = checkpoint(run, 1)
    publisher.offer(folder, 1)
    until(lambda: hub.titles.get("first-run") == ["Step 1"])
    later = checkpoint(run, 2)
    (later / "model.safetensors").rename(later / "model-00001-of-00001.safetensors")
    publisher.offer(later, 2)
    publisher.close(None)
    assert "model.safetensors" not in hub.branches["first-run"]
    assert "model-00001-of-00001.safetensors" in hub.branches["first-run"]


def test_a_folder_without_checkpoints_and_a_dead_hub_are_said_in_one_line(hub, run):
    done = push_later(hub, run)
    assert done.returncode == 1
    assert done.stderr == (
        f"parrotlet: {run} holds no checkpoint: give the folder of a run of `parrotlet train`\n"
    )
    checkpoint(run, 1)
    hub.tokens.clear()
    done = push_later(hub, run)
    assert done.returncode == 1
    assert done.stderr.startswith("parrotlet: the Hub refuses the token")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "branch"),
    [("cpu-9m", "cpu-9m"), ("my run", "my-run"), ("main", "run-main"), ("a..b.lock", "a-b-lock")]
    + [("é", "run-"), ("-x-", "x")],
)
def test_a_run_names_a_branch_that_git_takes(name, branch):
    assert branch_of(Path("/runs") / name) == branch


def test_training_publishes_as_it_goes_and_ends_without_the_hub(
    hub, recipe_file, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
    words = ["train", str(recipe_file), "--push-to", NAME, "--private", "--out"]
    assert main([*words, str(tmp_path / "a")]) == 0
    output = capsys.readouterr().out
    assert f"pushed to {hub.address}/{NAME}: step 12, the final model" in output
    last = tmp_path / "a" / "checkpoints" / "step-00000012"
    files = {file.name: file.read_bytes() for file in last.iterdir() if file.is_file()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "parrotlet_run.json"} < set(files)
    assert hub.branches["a"] == files
    card = hub.branches["main"].pop("README.md").decode()
    assert hub.branches["main"] == files
    assert "| Steps | 12 |" in card
    assert hub.titles["a"][-1] == "Step 12"
    assert hub.private is True

    hub.tokens.clear()
    assert main([*words, str(tmp_path / "b")]) == 0
    output, errors = capsys.readouterr()
    assert (tmp_path / "b" / "checkpoints" / "step-00000012").is_dir()
    wanted = f"later: parrotlet push {tmp_path / 'b'} {NAME} --private"
    assert wanted in output
    assert (output + errors).count("the Hub refuses the token") in (1, 2)  # by the end, or before
    assert TOKEN not in output + errors
