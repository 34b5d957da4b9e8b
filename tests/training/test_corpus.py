"""Corpus building on real files, real git repositories and real installed distributions."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
import sysconfig
from importlib import metadata
from itertools import pairwise
from pathlib import Path

import datasets
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from parrotlet_training import recipe
from parrotlet_training.corpus.build import build_corpus
from parrotlet_training.corpus.filters import (
    has_long_lines,
    is_generated,
    is_not_alphanumeric,
    is_vendored,
)
from parrotlet_training.corpus.holdout import is_held_out, is_validation
from parrotlet_training.corpus.licences import from_metadata, is_permissive
from parrotlet_training.corpus.recipe import CorpusRecipe, NearDedup, load_corpus_recipe
from parrotlet_training.corpus.sources import (
    Distribution,
    Folder,
    GitRepository,
    SourceError,
    open_sources,
    parse_source,
    read_recipe,
    repository_of,
    standard_library,
)
from parrotlet_training.corpus.text import UndecodableError, decode_python

ALL_TRAIN = CorpusRecipe(validation_share=0.0, near_dedup=False, quality=False)
CODE = "def area(width, height):\n    return width * height\n\n\nprint(area(2, 3), area(4, 5))\n"


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def rows(corpus: Path, split: str = "train") -> list[dict[str, str]]:
    """A split as `datasets` streams it: the contract of the corpus format."""
    return list(
        datasets.load_dataset(
            "parquet",
            data_files={split: str(corpus / "data" / f"{split}-*.parquet")},
            split=split,
            streaming=True,
        )
    )


def test_folder_to_shards(tmp_path):
    source = tmp_path / "project"
    (source / "pkg" / "_vendor").mkdir(parents=True)
    (source / ".git").mkdir()
    (source / "pkg" / "a.py").write_text(CODE)
    (source / "pkg" / "copy.py").write_text(CODE.replace("    ", "\t"))
    (source / "pkg" / "latin.py").write_bytes(
        b"# -*- coding: latin-1 -*-\n" + f"NAME = 'é'\n{CODE}".encode("latin-1")
    )
    (source / "pkg" / "crlf.py").write_bytes(f"A = 1\n{CODE}".replace("\n", "\r\n").encode())
    (source / "pkg" / "nul.py").write_bytes(CODE.encode() + b"\0")
    (source / "pkg" / "bad.py").write_bytes(CODE.encode() + b"\xff\xfe")
    (source / "pkg" / "small.py").write_text("x = 1\n")
    (source / "pkg" / "large.py").write_text("x = 1\n" * 300_000)
    (source / "pkg" / "wide.py").write_text("x = '" + "a" * 2000 + "'\n")
    (source / "pkg" / "made.py").write_text("# Automatically generated, do not edit\n" + CODE)
    (source / "pkg" / "art.py").write_text("#" + "-+|" * 30 + "\n#" + "=*=" * 30)
    (source / "pkg" / "_vendor" / "other.py").write_text("B = 2\n" + CODE)
    (source / "pkg" / "notes.txt").write_text(CODE)
    (source / "pkg" / "link.py").symlink_to(source / "pkg" / "a.py")
    manifest = build_corpus([Folder(source)], tmp_path / "out", ALL_TRAIN, progress=False)
    assert manifest.left_out == {
        "duplicate": 1,
        "not decodable": 2,
        "too small": 1,
        "too large": 1,
        "long lines": 1,
        "generated": 1,
        "not alphanumeric": 1,
        "vendored": 1,
    }
    found = {row["path"]: row for row in rows(tmp_path / "out")}
    assert set(found) == {"pkg/a.py", "pkg/latin.py", "pkg/crlf.py"}
    assert "'é'" in found["pkg/latin.py"]["content"]
    assert found["pkg/crlf.py"]["content"] == f"A = 1\n{CODE}"
    assert found["pkg/a.py"]["repository"] == "project"
    written = json.loads((tmp_path / "out" / "corpus.json").read_text())
    assert written["documents"] == {"train": 3}
    assert written["files_seen"] == 12
    for shard in written["shards"]:
        data = (tmp_path / "out" / shard["file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == shard["sha256"]
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.parametrize("bare", [False, True])
def test_git_repository_at_a_commit(tmp_path, bare):
    work = tmp_path / "work"
    work.mkdir()
    git(work, "init", "-q")
    git(work, "remote", "add", "origin", "file:///somewhere/Alice/Kit.git")
    (work / "a b.py").write_text(CODE)
    (work / "é.py").write_text("E = 1\n" + CODE)
    (work / "link.py").symlink_to("a b.py")
    git(work, "add", "-A")
    git(work, "commit", "-qm", "one")
    first = git(work, "rev-parse", "HEAD")
    (work / "late.py").write_text("LATE = 1\n" + CODE)
    git(work, "add", "-A")
    git(work, "commit", "-qm", "two")
    path = work
    if bare:
        path = tmp_path / "bare.git"
        git(tmp_path, "clone", "-q", "--bare", str(work), str(path))
        git(path, "remote", "set-url", "origin", "file:///somewhere/Alice/Kit.git")
    (source,) = parse_source(f"git:{path}@{first}")
    assert (source.repository, source.commit, source.kind) == ("Alice/Kit", first, "git")
    build_corpus([source], tmp_path / "out", ALL_TRAIN, progress=False)
    assert {row["path"] for row in rows(tmp_path / "out")} == {"a b.py", "é.py"}
    assert {row["commit"] for row in rows(tmp_path / "out")} == {first}
    (newest,) = parse_source(str(path))
    assert len(list(newest.files(1 << 20))) == 3


def test_missing_objects_are_counted_and_the_rest_is_read(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "a.py").write_text(CODE)
    (tmp_path / "b.py").write_text("B = 1\n" + CODE)
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "one")
    blob = git(tmp_path, "rev-parse", "HEAD:a.py")
    (tmp_path / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    manifest = build_corpus(
        [GitRepository(tmp_path / ".git")], tmp_path / "out", ALL_TRAIN, progress=False
    )
    assert manifest.left_out == {"unreadable": 1}
    assert manifest.documents["train"] == 1


def test_a_damaged_repository_is_named_and_the_others_go_on(tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    git(broken, "init", "-q")
    (broken / "a.py").write_text(CODE)
    git(broken, "add", "-A")
    git(broken, "commit", "-qm", "one")
    source = GitRepository(broken / ".git")
    tree = git(broken, "rev-parse", "HEAD^{tree}")
    (broken / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    sound = tmp_path / "sound"
    sound.mkdir()
    (sound / "a.py").write_text(CODE)
    manifest = build_corpus([source, Folder(sound)], tmp_path / "out", ALL_TRAIN, progress=False)
    assert "ls-tree failed" in manifest.skipped_sources["broken"]
    assert manifest.documents["train"] == 1


def test_distributions_and_library_carry_their_provenance(tmp_path):
    (source,) = parse_source("dist:attrs")
    assert source.repository == "python-attrs/attrs"
    assert source.commit == metadata.version("attrs")
    assert source.licence == "MIT"
    assert any(raw.path == "attr/_make.py" for raw in source.files(1 << 20))
    library = standard_library()
    paths = {raw.path for raw in library.files(1 << 20)}
    assert "json/decoder.py" in paths
    assert not any("site-packages" in path for path in paths)
    prefix = sysconfig.get_config_var("prefix").encode()
    assert not [raw.path for raw in library.files(1 << 20) if prefix + b"/" in raw.data]
    names = {s.repository for s in parse_source("dist:*")}
    assert "python-attrs/attrs" in names


def test_held_out_distributions_are_left_out_and_said(tmp_path):
    def installed(name: str, link: str, licence: str) -> Distribution:
        folder = tmp_path / "site" / f"{name}-1.0.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n"
            f"License-Expression: {licence}\nProject-URL: Source, {link}\n"
        )
        (folder / "RECORD").write_text(f"{name}.py,,\n")
        (tmp_path / "site" / f"{name}.py").write_text(f"# {name}\n{CODE}")
        return Distribution(metadata.PathDistribution(folder))

    sources = [
        installed("black", "https://github.com/psf/black", "MIT"),
        installed("free", "https://github.com/some/free", "MIT OR GPL-3.0-only"),
        installed("copyleft", "https://github.com/some/copyleft", "GPL-3.0-only"),
    ]
    manifest = build_corpus(sources, tmp_path / "out", ALL_TRAIN, progress=False)
    assert {row["repository"] for row in rows(tmp_path / "out")} == {"some/free"}
    assert manifest.skipped_sources["psf/black"] == "held out for evaluation"
    assert "GPL-3.0-only" in manifest.skipped_sources["some/copyleft"]
    held = build_corpus(
        sources,
        tmp_path / "held",
        CorpusRecipe(holdout=True, near_dedup=False, quality=False),
        progress=False,
    )
    assert {row["repository"] for row in rows(tmp_path / "held", "holdout")} == {"psf/black"}
    assert held.skipped_sources["some/free"] == "not of the hold-out"


@pytest.mark.parametrize(
    "name",
    ["psf/black", "davidhalter/jedi", "python/mypy", "scipy/scipy", "scikit-learn/scikit-learn"]
    + ["mwaskom/seaborn", "SciPy/SciPy", "lepture/authlib", "Authlib/Authlib"],
)
def test_known_held_out_repositories(name):
    assert is_held_out(name)


def test_one_in_twenty_is_held_out_and_the_share_validates():
    names = [f"owner/name{i}" for i in range(4000)]
    assert 0.04 < sum(map(is_held_out, names)) / 4000 < 0.06
    assert 0.08 < sum(is_validation(n, 0.1) for n in names) / 4000 < 0.12
    assert not any(is_validation(n, 0.0) for n in names)


def test_split_is_by_repository(tmp_path):
    sources = []
    for index in range(30):
        folder = tmp_path / f"repo{index}"
        folder.mkdir()
        for part in range(2):
            (folder / f"{part}.py").write_text(f"N = {index}, {part}\n{CODE}")
        sources.append(Folder(folder))
    options = CorpusRecipe(validation_share=0.3, near_dedup=False, quality=False)
    build_corpus(sources, tmp_path / "out", options, progress=False)
    train = {row["repository"] for row in rows(tmp_path / "out")}
    validation = {row["repository"] for row in rows(tmp_path / "out", "validation")}
    assert train
    assert validation
    assert not train & validation
    assert train | validation == {s.repository for s in sources if not is_held_out(s.repository)}


def test_two_builds_give_the_same_bytes(tmp_path):
    source = tmp_path / "project"
    source.mkdir()
    for index in range(40):
        (source / f"m{index}.py").write_text(f"N = {index}\n{CODE * 30}")
    for name in ("one", "two"):
        build_corpus([Folder(source)], tmp_path / name, ALL_TRAIN, progress=False)
    for file in (tmp_path / "one").rglob("*"):
        if file.is_file():
            assert (
                file.read_bytes()
                == (tmp_path / "two" / file.relative_to(tmp_path / "one")).read_bytes()
            )


def test_memory_stays_flat(tmp_path):
    """Peak memory of a build of ten times the text grows by far less than the text."""
    script = (
        "import resource, sys, pathlib\n"
        "from parrotlet_training.corpus.build import build_corpus\n"
        "from parrotlet_training.corpus.recipe import CorpusRecipe\n"
        "from parrotlet_training.corpus.document import RawFile\n"
        "class Many:\n"
        "    kind, repository, commit, licence, own = 'folder', 'many', '', '', True\n"
        "    many, warnings = False, []\n"
        "    def files(self, limit):\n"
        "        for i in range(int(sys.argv[2])):\n"
        "            lines = [b'name_%d_%d = %d\\n' % (i, j, j) for j in range(5000)]\n"
        "            yield RawFile(b''.join(lines), f'{i}.py')\n"
        "from parrotlet_training.corpus.filters import default_filters\n"
        "off = {name: False for name in default_filters()}  # slow, and they keep nothing\n"
        "recipe = CorpusRecipe(\n"
        "    validation_share=0.0, quality=False, redact=False, filters=off)\n"
        "build_corpus([Many()], pathlib.Path(sys.argv[1]), recipe, progress=False)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )

    def peak(count: int) -> int:
        command = [sys.executable, "-c", script, str(tmp_path / str(count)), str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return int(done.stdout) * 1024

    text = 400 * 5000 * 20
    assert peak(400) - peak(40) < text * 0.6


def test_bad_sources_are_refused_clearly(tmp_path):
    with pytest.raises(SourceError, match="no folder"):
        parse_source(str(tmp_path / "absent"))
    with pytest.raises(SourceError, match="no distribution"):
        parse_source("dist:no-such-distribution")
    with pytest.raises(SourceError, match="no git repository"):
        parse_source(f"git:{tmp_path}")
    with pytest.raises(SourceError, match="no document is left"):
        build_corpus([Folder(tmp_path)], tmp_path / "out", ALL_TRAIN, progress=False)
    other = tmp_path / "photos"
    other.mkdir()
    (other / "a.jpg").write_text("x")
    (tmp_path / "a.py").write_text(CODE)
    with pytest.raises(FileExistsError, match="holds no corpus"):
        build_corpus([Folder(tmp_path)], other, ALL_TRAIN, progress=False)
    assert (other / "a.jpg").exists()


def test_recipe_names_repositories_and_their_paths(tmp_path):
    work = tmp_path / "clones" / "alice" / "kit"
    work.mkdir(parents=True)
    git(work, "init", "-q")
    (work / "a.py").write_text(CODE)
    (work / "b.py").write_text("B = 1\n" + CODE)
    git(work, "add", "-A")
    git(work, "commit", "-qm", "one")
    commit = git(work, "rev-parse", "HEAD")
    listed = tmp_path / "recipe.yaml"
    listed.write_text(
        "repositories:\n"
        f"- {{repository: alice/kit, commit: {commit}, licence: MIT, exclude: [b.py]}}\n"
    )
    (source,) = read_recipe(listed, str(tmp_path / "clones/{owner}/{name}"))
    assert [raw.path for raw in source.files(1 << 20)] == ["a.py"]
    assert source.licence == "MIT"
    with pytest.raises(SourceError, match="no clone of alice/kit"):
        read_recipe(listed, str(tmp_path / "elsewhere/{owner}/{name}"))
    listed.write_text("repositories: [{commit: x}]")
    with pytest.raises(SourceError, match="cannot read the corpus recipe"):
        read_recipe(listed, "")


class Failing(Folder):
    """Stops after some files, as an interruption or a full disk does."""

    after = 0
    error: BaseException = KeyboardInterrupt()

    def files(self, max_bytes):
        for number, raw in enumerate(super().files(max_bytes)):
            if number == self.after:
                raise self.error
            yield raw


def projects(folder, count):
    for index in range(count):
        (folder / f"p{index}").mkdir(parents=True)
        for part in range(5):
            (folder / f"p{index}" / f"{part}.py").write_text(f"N = {index}, {part}\n{CODE}")
    return [folder / f"p{index}" for index in range(count)]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "disk full")])
@pytest.mark.parametrize("commit_files", [2, 1000])
def test_an_interrupted_build_goes_on(tmp_path, monkeypatch, error, commit_files):
    """What it did is not done again, and the corpus is that of an undisturbed build."""
    monkeypatch.setattr("parrotlet_training.corpus.collect.COMMIT_FILES", commit_files)
    folders = projects(tmp_path / "sources", 4)
    recipe = CorpusRecipe(validation_share=0.0, quality=False)
    build_corpus(map(Folder, folders), tmp_path / "whole", recipe, progress=False)
    broken = Failing(folders[2])
    broken.after, broken.error = 3, error
    sources = [Folder(folders[0]), Folder(folders[1]), broken, Folder(folders[3])]
    with pytest.raises(type(error)):
        build_corpus(sources, tmp_path / "out", recipe, progress=False)
    assert not (tmp_path / "out").exists()
    read = []

    class Counting(Folder):
        def files(self, max_bytes):
            for raw in super().files(max_bytes):
                read.append(raw.path)
                yield raw

    build_corpus(map(Counting, folders), tmp_path / "out", recipe, progress=False)
    assert len(read) == 10  # the first two sources were not read again
    for file in (tmp_path / "whole").rglob("*"):
        if file.is_file():
            other = tmp_path / "out" / file.relative_to(tmp_path / "whole")
            assert file.read_bytes() == other.read_bytes()
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.parametrize("change", ["content", "new", "later"])
def test_files_that_changed_since_an_interruption(tmp_path, monkeypatch, capsys, change):
    """Those that were read are read again, all of them; others had not been looked at."""
    monkeypatch.setattr("parrotlet_training.corpus.collect.COMMIT_FILES", 1)
    monkeypatch.setattr("parrotlet_training.corpus.process.BATCH", 1)
    folders = projects(tmp_path / "sources", 3)
    recipe = CorpusRecipe(validation_share=0.0, quality=False)
    broken = Failing(folders[1])
    broken.after = 3
    with pytest.raises(KeyboardInterrupt):
        build_corpus(
            [Folder(folders[0]), broken, Folder(folders[2])],
            tmp_path / "out",
            recipe,
            progress=False,
        )
    changed = {
        "content": folders[0] / "0.py",
        "new": folders[1] / "9.py",
        "later": folders[2] / "0.py",
    }
    changed[change].write_text(f"CHANGED = 'since then'\n{CODE}")
    build_corpus(map(Folder, folders), tmp_path / "out", recipe, progress=False)
    assert ("begins anew" in capsys.readouterr().err) == (change != "later")
    build_corpus(map(Folder, folders), tmp_path / "whole", recipe, progress=False)
    for file in (tmp_path / "whole").rglob("*"):
        if file.is_file():
            other = tmp_path / "out" / file.relative_to(tmp_path / "whole")
            assert file.read_bytes() == other.read_bytes()


def test_an_interrupted_build_of_something_else_is_begun_anew(tmp_path):
    folders = projects(tmp_path / "sources", 2)
    with pytest.raises(KeyboardInterrupt):
        build_corpus(
            [Folder(folders[0]), Failing(folders[1])], tmp_path / "out", ALL_TRAIN, progress=False
        )
    build_corpus([Folder(folders[1])], tmp_path / "out", ALL_TRAIN, progress=False)
    assert {row["repository"] for row in rows(tmp_path / "out")} == {"p1"}


@pytest.mark.parametrize("workers", [2])
def test_workers_change_nothing(tmp_path, workers):
    folders = projects(tmp_path / "sources", 30)
    recipe = CorpusRecipe(validation_share=0.2)
    build_corpus(map(Folder, folders), tmp_path / "one", recipe, progress=False)
    build_corpus(map(Folder, folders), tmp_path / "two", recipe, progress=False, workers=workers)
    for file in (tmp_path / "one").rglob("*"):
        if file.is_file():
            other = tmp_path / "two" / file.relative_to(tmp_path / "one")
            assert file.read_bytes() == other.read_bytes()


def test_a_cluster_builds_the_same_corpus(tmp_path):
    """The stages run through datatrove's local executor: three tasks, then one."""
    from functools import partial

    from parrotlet_training.corpus.cluster import Cluster, executors

    words = [str(folder) for folder in projects(tmp_path / "sources", 7)]
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({"sources": words, "validation_share": 0.2}))
    load = partial(cluster_inputs, recipe)
    build_corpus(*load()[:1], tmp_path / "one", load()[1], progress=False)
    executors(load, tmp_path / "many", Cluster(tasks=3, workers=1)).run()
    for file in (tmp_path / "one").rglob("*"):
        if file.is_file():
            other = tmp_path / "many" / file.relative_to(tmp_path / "one")
            assert file.read_bytes() == other.read_bytes()


def cluster_inputs(file):
    recipe = load_corpus_recipe(str(file))
    return open_sources(recipe), recipe


def test_copies_of_the_hold_out_do_not_get_in(tmp_path):
    held = tmp_path / "black"
    held.mkdir()
    body = "".join(f"def function_{i}(argument):\n    return argument * {i}\n" for i in range(40))
    (held / "a.py").write_text(body)
    source = Folder(held, repository="psf/black")
    build_corpus([source], tmp_path / "holdout", CorpusRecipe(holdout=True), progress=False)
    vendoring = tmp_path / "project"
    vendoring.mkdir()
    (vendoring / "black_copy.py").write_text("# copied\n" + body.replace("* 7", "* 70"))
    (vendoring / "own.py").write_text(CODE)
    recipe = CorpusRecipe(
        validation_share=0.0, near_dedup=NearDedup(against=(str(tmp_path / "holdout"),))
    )
    manifest = build_corpus([Folder(vendoring)], tmp_path / "out", recipe, progress=False)
    assert [row["path"] for row in rows(tmp_path / "out")] == ["own.py"]
    assert manifest.left_out == {"near-duplicate": 1}
    assert [source["repository"] for source in manifest.sources] == ["project"]


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_refused(data):
    try:
        text = decode_python(data)
    except UndecodableError:
        return
    text.encode("utf-8")
    assert "\r" not in text
    assert "\0" not in text


@pytest.mark.parametrize(
    ("expression", "permissive"),
    [
        ("MIT", True),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("Apache-2.0 AND BSD-3-Clause", True),
        ("(MIT OR X) AND GPL-2.0-only", False),
        ("", False),
        ("LGPL-2.1-only", False),
    ],
)
def test_permissive_expressions(expression, permissive):
    assert is_permissive(expression) == permissive


def test_licence_metadata():
    assert from_metadata("MIT", [], None) == "MIT"
    assert from_metadata(None, ["License :: OSI Approved :: BSD License"], None) == "BSD-3-Clause"
    two = ["License :: OSI Approved :: MIT License", "License :: OSI Approved :: GNU GPLv3"]
    assert not is_permissive(from_metadata(None, two, None))
    assert from_metadata(None, ["License :: OSI Approved"], "Apache 2.0") == "Apache-2.0"
    assert from_metadata(None, [], "see LICENSE") == ""


def test_repository_of_a_distribution_without_links():
    from email.message import Message

    information = Message()
    information["Name"] = "Some_Thing"
    assert repository_of(information) == "some-thing/some-thing"


def test_filters_on_edges():
    assert not has_long_lines("x" * 99 + "\n" + "y" * 99)
    assert is_generated("x\n" * 4 + "# DO NOT EDIT\n")
    assert not is_generated("x\n" * 5 + "# DO NOT EDIT\n")
    assert is_not_alphanumeric("#" * 100)
    assert is_vendored("a/Third_Party/b.py")
    assert not is_vendored("vendor.py")


def test_neighbours_come_from_different_repositories(tmp_path):
    """The order has nothing to do with the sources, nor with the order in which they are named."""
    sources = []
    for index in range(10):
        folder = tmp_path / f"repo{index}"
        folder.mkdir()
        for part in range(10):
            (folder / f"{part}.py").write_text(f"N = {index}, {part}\n{CODE}")
        sources.append(Folder(folder))
    sources = [source for source in sources if not is_held_out(source.repository)]
    build_corpus(sources, tmp_path / "one", ALL_TRAIN, progress=False)
    build_corpus(sources[::-1], tmp_path / "two", ALL_TRAIN, progress=False)
    order = [(row["repository"], row["path"]) for row in rows(tmp_path / "one")]
    assert order == [(row["repository"], row["path"]) for row in rows(tmp_path / "two")]
    assert len(set(order)) == len(order) == 10 * len(sources)
    same = sum(a[0] == b[0] for a, b in pairwise(order))
    assert same < len(order) / 4


def test_odd_file_names_do_not_end_a_build(tmp_path):
    source = tmp_path / "project"
    source.mkdir()
    Path(os.fsdecode(bytes(source) + b"/caf\xe9.py")).write_text(CODE)
    os.mkfifo(source / "pipe.py")
    manifest = build_corpus([Folder(source)], tmp_path / "out", ALL_TRAIN, progress=False)
    assert [row["path"] for row in rows(tmp_path / "out")] == ["caf\ufffd.py"]
    assert manifest.left_out == {"unreadable": 1}


def test_paths_with_a_tilde_or_an_at_sign(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    work = tmp_path / "me@work"
    work.mkdir()
    git(work, "init", "-q")
    (work / "a.py").write_text(CODE)
    git(work, "add", "-A")
    git(work, "commit", "-qm", "one")
    for word in ("git:~/me@work", "git:~/me@work@HEAD", "~/me@work"):
        (source,) = parse_source(word)
        assert source.repository == "me@work"
        assert source.kind == "git"
    (folder,) = parse_source("folder:~/me@work")
    assert folder.kind == "folder"


def test_a_folder_inside_a_held_out_repository_is_held_out(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text(CODE)
    git(tmp_path, "init", "-q")
    git(tmp_path, "remote", "add", "origin", "git@somewhere:psf/black.git")
    (source,) = parse_source(f"folder:{tmp_path / 'src'}")
    assert source.repository == "psf/black"
    assert is_held_out(source.repository)


def test_a_new_build_replaces_an_old_one_also_through_a_link(tmp_path):
    source = tmp_path / "project"
    source.mkdir()
    (source / "a.py").write_text(CODE)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for text in ("A = 1\n", "B = 2\n"):
        (source / "a.py").write_text(text + CODE)
        build_corpus([Folder(source)], tmp_path / "link", ALL_TRAIN, progress=False)
        (row,) = rows(tmp_path / "elsewhere")
        assert row["content"].startswith(text)


@pytest.mark.parametrize("name", ["corpus-default", "corpus-holdout"])
def test_shipped_corpus_recipes_keep_the_rules(name):
    file = Path(recipe.__file__).parent / "recipes" / f"{name}.yaml"
    entries = yaml.safe_load(file.read_text())["repositories"]
    assert len(entries) > 5
    for entry in entries:
        assert is_held_out(entry["repository"]) == (name == "corpus-holdout")
        assert is_permissive(entry["licence"])
        assert len(entry["commit"]) == 40
