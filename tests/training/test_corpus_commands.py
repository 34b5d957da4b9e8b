"""The real commands on a small corpus: build, report, cursors, and what they refuse."""

from __future__ import annotations

import gzip
import inspect
import json
import subprocess
import sys
import textwrap

import pytest
import yaml

CODE = "def area(width, height):\n    return width * height\n\n\nprint(area(2, 3), area(4, 5))\n"


def parrotlet(*words):
    command = [sys.executable, "-m", "parrotlet_server", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=280)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A recipe of folders and a BigQuery export, built by the command."""
    root = tmp_path_factory.mktemp("commands")
    for index, module in enumerate((argparse_source(), inspect.getsource(textwrap), CODE * 20)):
        (root / f"p{index}").mkdir()
        (root / f"p{index}" / "a.py").write_text(module)
    (root / "p0" / "key.py").write_text(CODE + "MAIL = 'someone.real@gmail.com'\n")
    (root / "p0" / "task.py").write_text(CODE + SOLUTION)
    (root / "tasks.py").write_text(SOLUTION)
    rows = [
        {"repo_name": "psf/black", "path": "a.py", "content": CODE + "A = 1\n", "license": "mit"},
        {"repo_name": "some/kit", "path": "a.py", "content": other("kit"), "license": "mit"},
        {"repo_name": "some/lib", "path": "b.py", "content": other("lib"), "license": "gpl-3.0"},
    ]
    (root / "export").mkdir()
    with gzip.open(root / "export" / "python-000.json.gz", "wt") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows))
    recipe = root / "recipe.yaml"
    recipe.write_text(
        yaml.safe_dump(
            {
                "sources": [
                    *(str(root / f"p{index}") for index in range(3)),
                    {"bigquery": str(root / "export")},
                ],
                "decontaminate": [str(root / "tasks.py")],
                "validation_share": 0.0,
                "filters": {"data": True},
            }
        )
    )
    out = root / "corpus"
    done = parrotlet("corpus", "build", "--recipe", recipe, "--out", out, "--workers", 1)
    assert done.returncode == 0, done.stderr
    return done, out


def argparse_source():
    import argparse

    return inspect.getsource(argparse)


def other(name):
    return f"class {name.title()}:\n    def run(self, argument):\n        return argument\n" * 5


SOLUTION = '''
def weigh_the_parrots(cages, scales, minimum_weight):
    """Weighs every parrot of every cage on the scales and gives those over the minimum weight,
    heaviest first, each with the number of its cage and the place on its perch.
    """
    weighed = []
    for number, cage in enumerate(cages):
        for place, parrot in enumerate(cage):
            weight = scales.weigh(parrot, settle_seconds=3)
            if weight > minimum_weight:
                weighed.append((weight, number, place, parrot))
    return sorted(weighed, key=lambda entry: (-entry[0], entry[1], entry[2]))
'''


def test_a_build_says_what_it_did(built):
    done, out = built
    manifest = json.loads((out / "corpus.json").read_text())
    names = {source["repository"] for source in manifest["sources"] if source["documents"]}
    assert names == {"p0", "p1", "p2", "some/kit"}
    assert manifest["left_out"]["held out for evaluation"] == 1
    assert manifest["left_out"]["evaluation text"] == 1
    assert sum(manifest["decontaminated"].values()) == 1
    assert any("GPL" in reason for reason in manifest["left_out"])
    assert set(manifest["redacted"]) == {"email"}  # that of key.py, and the library's authors'
    assert sum(manifest["quality"].values()) == sum(manifest["documents"].values()) == 5
    assert manifest["options"]["near_dedup"]
    assert manifest["options"]["decontaminate"] == ["tasks.py"]
    assert str(out.parent) not in json.dumps(manifest)  # which may be published
    assert "left out, evaluation text: 1" in done.stdout
    text = b"".join(file.read_bytes() for file in (out / "data").iterdir())
    assert b"someone.real" not in text


def test_the_report_is_one_page_and_a_card(built):
    _, out = built
    done = parrotlet("corpus", "report", out, "--sample", 5)
    assert done.returncode == 0, done.stderr
    page = (out / "report.html").read_text()
    assert page.lower().startswith("<!doctype html>")
    assert "some/kit" in page
    card = (out / "README.md").read_text()
    assert card.startswith("---\n")
    assert "some/kit" in card


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["corpus", "build", "--out", "OUT"], "no source given"),
        (["corpus", "build", "--out", "OUT", "/no/such"], "no folder"),
        (["corpus", "build", "--out", "OUT", "--recipe", "absent"], "corpus-default"),
        (["corpus", "build", "--out", "OUT", "--recipe", "BAD"], "no filter"),
        (["corpus", "build", "--out", "OUT", "--against", "/no/such", "HERE"], "no corpus"),
        (["corpus", "build", "--out", "OUT", "--decontaminate", "/no/such", "HERE"], "/no/such"),
        (["corpus", "report", "HERE"], "corpus"),
        (["corpus", "push", "HERE", "owner/name"], "corpus"),
        (["holdout", "cursors", "HERE", "--out", "OUT"], "corpus"),
    ],
)
def test_what_cannot_be_done_is_one_line(tmp_path, words, message):
    (tmp_path / "a.py").write_text(CODE)
    (tmp_path / "bad.yaml").write_text("sources: [stdlib]\nfilters: {beauty: true}\n")
    places = {"OUT": tmp_path / "out", "HERE": tmp_path, "BAD": tmp_path / "bad.yaml"}
    done = parrotlet(*(places.get(word, word) for word in words))
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
