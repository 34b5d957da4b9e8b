"""The command line: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from importlib import metadata, resources

import pytest

import parrotlet_server.cli
from parrotlet_server.backends.native.backend import levels
from parrotlet_server.backends.processor import KERNELS
from parrotlet_server.cli import main
from parrotlet_server.commands import request_at
from parrotlet_server.demo import CURSORS, request_for
from parrotlet_server.engine import Engine

from ..support.completion_server import serving
from ..support.tiny_model import DOCUMENTS, tiny_bundle

OWN = ("serve", "complete", "demo", "export", "restore")


@pytest.fixture(scope="module")
def model():
    return str(tiny_bundle())


@pytest.fixture
def inventory(tmp_path, monkeypatch):
    """A file that the model knows, in the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inventory.py").write_text(DOCUMENTS["inventory.py"], encoding="utf-8")
    return "inventory.py"


def run(*arguments, **options):
    """Runs the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "parrotlet_server", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        **options,
    )


def without(tmp_path, *modules):
    """An environment whose interpreter does not find some modules, as if never installed."""
    (tmp_path / "sitecustomize.py").write_text(
        f"""\
import sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {modules!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Finder())
"""
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path}


def one_line(text):
    assert text.startswith("parrotlet: ")
    assert text.count("\n") == 1
    return text


# the command itself


def test_version(capsys):
    with pytest.raises(SystemExit) as exit:
        main(["--version"])
    assert exit.value.code == 0
    assert capsys.readouterr().out == f"parrotlet {metadata.version('parrotlet')}\n"


def test_help_names_all_commands(capsys):
    with pytest.raises(SystemExit) as exit:
        main(["--help"])
    assert exit.value.code == 0
    output = capsys.readouterr().out
    for command in (*OWN, "tokenizer", "corpus", "train", "evaluate"):
        assert f"\n    {command}" in output


def test_no_command(capsys):
    assert main([]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert "serve" in output.err


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["sevre"], "did you mean 'serve'"),
        (["frobnicate"], "no command 'frobnicate'"),
    ],
)
def test_unknown_commands(capsys, arguments, part):
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert part in one_line(output.err)
    assert output.out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--frobnicate"],
        ["serve", "--frobnicate"],
        ["serve", "too", "many"],
        ["serve", "--log-level", "loud"],
        ["complete"],
        ["complete", "--model"],
        ["demo", "3"],
        ["export"],
    ],
)
def test_wrong_use(capsys, arguments):
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    assert exit.value.code == 2
    one_line(capsys.readouterr().err)


def test_own_commands_need_no_metadata(capsys, monkeypatch):
    """As where the sources run without an installation."""
    monkeypatch.setattr(parrotlet_server.cli, "entry_points", lambda group: ())
    with pytest.raises(SystemExit):
        main(["--help"])
    output = capsys.readouterr().out
    assert all(f"\n    {command}" in output for command in OWN)
    assert main(["train"]) == 2


def test_the_module_is_the_command():
    result = run("--version")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("parrotlet ")


# what is not installed


def test_commands_of_a_part_that_cannot_be_loaded(tmp_path):
    environment = without(tmp_path, "parrotlet_training")
    result = run("train", "recipe.yaml", env=environment)
    assert result.returncode == 2
    assert 'pip install "parrotlet[train]"' in one_line(result.stderr)
    result = run("--help", env=environment)
    assert result.returncode == 0
    assert "serve" in result.stdout
    assert "train a model" not in result.stdout


@pytest.mark.parametrize("command", [["train", "recipe.yaml"], ["corpus", "build", "--out", "x"]])
def test_training_without_its_packages(tmp_path, command):
    environment = without(tmp_path, "torch", "transformers", "datasets", "pyarrow", "yaml")
    result = run(*command, env=environment)
    assert result.returncode == 2
    assert 'pip install "parrotlet[train]"' in one_line(result.stderr)


def test_completing_without_its_packages(tmp_path, model, inventory):
    result = run(
        "complete",
        f"{inventory}:1",
        "--model",
        model,
        env=without(tmp_path, "onnxruntime") | {KERNELS: "0"},
    )
    assert result.returncode == 2
    assert "onnxruntime" in one_line(result.stderr)
    assert "[train]" not in result.stderr


def test_serving_imports_nothing_of_training(model):
    program = (
        "import sys\n"
        "from parrotlet_server.cli import main\n"
        f"main(['serve', '--model', {model!r}])\n"
        "print(*sys.modules, file=sys.stderr)\n"
    )
    bodies = (
        b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"capabilities":{}}}',
        b'{"jsonrpc":"2.0","method":"initialized","params":{}}',
    )
    messages = b"".join(b"Content-Length: %d\r\n\r\n%b" % (len(body), body) for body in bodies)
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdin.write(messages)
    process.stdin.flush()
    received = b""
    while b'"ready"' not in received:
        received += (byte := process.stdout.read(1))
        assert byte
    _, modules = process.communicate(timeout=30)
    loaded = {name.partition(".")[0] for name in modules.decode().split()}
    assert {"pygls", "numpy", "parrotlet_server"} <= loaded
    assert ("onnxruntime" in loaded) == (not levels())  # either takes some of the start
    assert "onnx" not in loaded
    assert not loaded & {
        "parrotlet_training",
        "torch",
        "transformers",
        "datasets",
        "accelerate",
        "pyarrow",
        "yaml",
        "tqdm",
    }


# errors


def test_an_unexpected_error_takes_one_line(capsys, monkeypatch, inventory):
    def fail(*_):
        raise KeyError("some key")

    monkeypatch.setattr(Engine, "load", fail)
    assert main(["complete", f"{inventory}:1"]) == 1
    assert "KeyError: 'some key'" in one_line(capsys.readouterr().err)
    monkeypatch.setenv("PARROTLET_DEBUG", "1")
    assert main(["complete", f"{inventory}:1"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_interruption():
    process = subprocess.Popen(
        [sys.executable, "-m", "parrotlet_server", "serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # a shell starts what it runs in the background with the signal ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    body = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"capabilities":{}}}'
    process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
    process.stdin.flush()
    process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, b"")


@pytest.mark.parametrize(
    ("place", "part", "code"),
    [
        ("nosuch.py:1:1", "cannot read nosuch.py: No such file", 1),
        ("folder:1:1", "cannot read folder", 1),
        ("latin.py:1", "latin.py is not UTF-8", 1),
        ("inventory.py", "FILE:LINE:COLUMN", 2),
        ("inventory.py:x", "FILE:LINE:COLUMN", 2),
        ("inventory.py:1:", "FILE:LINE:COLUMN", 2),
        (":1:1", "FILE:LINE:COLUMN", 2),
        ("", "FILE:LINE:COLUMN", 2),
        ("inventory.py:-1", "FILE:LINE:COLUMN", 2),
        ("inventory.py:0", "no line 0", 2),
        ("inventory.py:9999", "no line 9999", 2),
        ("inventory.py:1:0", "no column 0", 2),
        ("inventory.py:1:9999", "no column 9999", 2),
    ],
)
def test_places_that_are_not_there(capsys, inventory, tmp_path, place, part, code):
    (tmp_path / "folder").mkdir()
    (tmp_path / "latin.py").write_bytes(b"# caf\xe9\n")
    assert main(["complete", place]) == code
    output = capsys.readouterr()
    assert part in one_line(output.err)
    assert output.out == ""


def test_a_model_that_is_not_there(capsys, inventory, tmp_path):
    for command in (["complete", f"{inventory}:1"], ["demo"]):
        assert main([*command, "--model", str(tmp_path / "missing")]) == 1
        assert "missing" in one_line(capsys.readouterr().err)


# complete


def test_lines_and_columns_count_from_1_in_characters(inventory, tmp_path):
    (tmp_path / "a.py").write_bytes('\ufeff😀 = "é"\r\nx = 1\rend'.encode())
    request = request_at("a.py:1:2")
    assert (request.prefix, request.suffix) == ("😀", ' = "é"\nx = 1\nend')
    assert request_at("a.py:1").prefix == '😀 = "é"'
    assert request_at("a.py:2:1").prefix == '😀 = "é"\n'
    assert request_at("a.py:3").suffix == ""
    (tmp_path / "b:1.py").write_text("one\ntwo")
    assert request_at("b:1.py:2:3").prefix == "one\ntw"


def test_the_model_is_told_the_path(inventory, tmp_path, monkeypatch):
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "a.py").write_text("")
    assert request_at("inside/a.py:1").path == "inside/a.py"
    assert request_at(str(tmp_path / "inside" / "a.py") + ":1").path == "inside/a.py"
    monkeypatch.chdir(tmp_path / "inside")
    assert request_at("../inventory.py:1").path == "inventory.py"


def place_of(before):
    """Line and column after `before` in the inventory."""
    lines = (DOCUMENTS["inventory.py"].split(before)[0] + before).split("\n")
    return f"{len(lines)}:{len(lines[-1]) + 1}"


def test_complete_prints_the_suggestion(capsys, inventory, model, tmp_path):
    text = DOCUMENTS["inventory.py"]
    begun = "        self.items[name] = self.items"
    (tmp_path / inventory).write_text(text.replace(f"{begun}.get(name, 0) + count", begun))
    place = place_of(begun)
    for spelling in (place, place.split(":")[0]):
        assert main(["complete", f"{inventory}:{spelling}", "--model", model]) == 0
        output = capsys.readouterr()
        assert output.out == ".get(name, 0) + count\n"
        assert output.err == ""


def test_complete_as_json(capsys, inventory, model, tmp_path):
    text = DOCUMENTS["inventory.py"]
    begun = "        return sum("
    (tmp_path / inventory).write_text(text.replace("sum(self.items.values())", "sum()"))
    assert main(["complete", f"{inventory}:{place_of(begun)}", "--json", "--model", model]) == 0
    output = json.loads(capsys.readouterr().out)
    expected = Engine.load(model).complete(request_at(f"{inventory}:{place_of(begun)}"))
    assert output.pop("milliseconds") > 0
    assert output == {
        "text": expected.suggestion.text,
        "overwrite": expected.suggestion.overwrite,
        "score": expected.suggestion.score,
        "others": [],
        "reason": expected.reason,
        "promptTokens": expected.prompt_tokens,
        "evaluatedTokens": expected.evaluated_tokens,
        "generatedTokens": expected.generated_tokens,
        "passes": expected.passes,
        "draftedTokens": expected.drafted_tokens,
        "acceptedTokens": expected.accepted_tokens,
    }


def test_complete_with_several_and_other_backends(capsys, tmp_path, monkeypatch, model):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.py").write_text("x = ")
    place = ["complete", "a.py:1", "--model", model]
    assert main([*place, "--candidates", "3"]) == 0
    several = capsys.readouterr().out
    assert main([*place, "--json", "--candidates", "3"]) == 0
    output = json.loads(capsys.readouterr().out)
    texts = [output["text"], *(other["text"] for other in output["others"])]
    assert several == "".join(text + "\n" for text in texts)
    assert len(set(texts)) == len(texts) > 1
    assert main([*place, "--backend", "torch", "--device", "cpu"]) == 0
    assert capsys.readouterr().out == texts[0] + "\n"
    with serving(tiny_bundle()) as server:
        assert main([*place, "--backend", "openai", "--url", server.url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["reason"] != "cancelled"
    assert main([*place, "--backend", "openai", "--url", "http://127.0.0.1:9/v1"]) == 1
    assert "127.0.0.1:9/v1/completions cannot be used" in one_line(capsys.readouterr().err)
    assert main([*place, "--backend", "openai"]) == 1
    assert "is no address" in one_line(capsys.readouterr().err)


def test_no_suggestion(capsys, inventory, model):
    place = f"{inventory}:{place_of('        self.items[na')}"  # in the middle of a word
    assert main(["complete", place, "--model", model]) == 0
    output = capsys.readouterr()
    assert output.out == ""
    assert "no suggestion" in one_line(output.err)
    assert main(["complete", place, "--model", model, "--json"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert output["text"] is output["overwrite"] is output["score"] is None
    assert output["reason"].startswith("skipped:")


# demo


def test_the_sample_has_each_place_once():
    sample = resources.files("parrotlet_server") / "samples" / "inventory.py"
    text = sample.read_text(encoding="utf-8")
    compile(text, "inventory.py", "exec")
    assert 6 <= len(CURSORS) <= 8
    for cursor in CURSORS:
        request = request_for(text, cursor)
        assert request.prefix + cursor.unwritten + request.suffix == text


def test_demo_in_plain_text(model):
    result = run("demo", "--model", model)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"{model}, loaded in ")
    for number in range(1, len(CURSORS) + 1):
        assert f" {number}/{len(CURSORS)} " in result.stdout
    assert result.stdout.count("»") == result.stdout.count("«") == len(CURSORS)
    assert "\x1b" not in result.stdout
    assert result.stdout.rstrip().endswith(
        f"code --install-extension dist/parrotlet-{metadata.version('parrotlet')}.vsix"
    )


@pytest.mark.parametrize("coloured", [True, False])
def test_demo_in_a_terminal(model, coloured):
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    if not coloured:
        environment["NO_COLOR"] = "1"
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "parrotlet_server", "demo", "--model", model],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        env=environment,
    )
    os.close(theirs)
    output = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not data:
            break
        output += data
    os.close(ours)
    assert process.wait(30) == 0
    assert (b"\x1b[1;32m" in output) is coloured
    assert ("»".encode() in output) is not coloured


def test_a_reader_that_goes_away(model):
    process = subprocess.Popen(
        [sys.executable, "-m", "parrotlet_server", "demo", "--model", model],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    assert process.wait(60) == 1
    assert process.stderr.read() == b""
    process.stderr.close()


def test_serve_says_what_it_is_for_in_a_terminal():
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "parrotlet_server", "serve"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    os.close(theirs)
    line = process.stderr.readline()
    time.sleep(0.1)
    os.close(ours)
    process.communicate(timeout=30)
    assert b"editor" in line
