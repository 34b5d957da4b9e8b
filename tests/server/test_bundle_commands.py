import argparse

import pytest

from parrotlet_server.bundle import open_bundle
from parrotlet_server.bundle.commands import register


def run(*arguments):
    parser = argparse.ArgumentParser(prog="parrotlet")
    register(parser.add_subparsers(required=True))
    options = parser.parse_args([str(argument) for argument in arguments])
    return options.run(options)


def test_a_checkpoint_becomes_a_bundle_and_a_checkpoint_again(random_checkpoint, tmp_path, capsys):
    assert run("export", random_checkpoint, tmp_path / "bundle", "--licence", "0BSD") == 0
    assert "MB written to" in capsys.readouterr().out
    assert open_bundle(tmp_path / "bundle").manifest.licence == "0BSD"
    assert run("restore", tmp_path / "bundle", tmp_path / "restored") == 0
    assert run("export", tmp_path / "restored", tmp_path / "bundle", "--overwrite") == 0
    assert open_bundle(tmp_path / "bundle").manifest.licence == "0BSD"


def test_32_bits_can_be_asked_for(random_checkpoint, tmp_path):
    assert run("export", random_checkpoint, tmp_path / "bundle", "--bits", 32) == 0
    assert open_bundle(tmp_path / "bundle").manifest.bits == 32
    with pytest.raises(SystemExit):
        run("export", random_checkpoint, tmp_path / "bundle", "--bits", 5)


@pytest.mark.parametrize(
    ("command", "source", "message"),
    [
        ("export", "nowhere", "config.json is missing"),
        ("restore", "nowhere", "there is no folder"),
        ("restore", "", "is not a model bundle"),
    ],
)
def test_errors_are_one_line(tmp_path, capsys, command, source, message):
    assert run(command, tmp_path / source, tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert said.startswith("parrotlet: ")
    assert message in said
    assert said.count("\n") == 1
