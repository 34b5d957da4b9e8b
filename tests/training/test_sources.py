"""Sources on real repositories, wheels, archives and data files, sound and damaged."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from identify.vendor.licenses import LICENSES

from parrotlet_training.corpus import git as git_module
from parrotlet_training.corpus.document import TOO_LARGE, UNREADABLE
from parrotlet_training.corpus.recipe import CorpusRecipe, GitEntry, RepositoryEntry
from parrotlet_training.corpus.sources import (
    Archive,
    BigQueryExport,
    Folder,
    GitRepository,
    HubDataset,
    SourceError,
    Wheel,
    download_release,
    open_sources,
    parse_source,
)
from parrotlet_training.corpus.sources.base import (
    DETECT,
    MALFORMED,
    NOT_PYTHON,
    TRUNCATED,
    UNREADABLE_FOLDER,
    UNSAFE_PATH,
    python_bytes,
)
from parrotlet_training.corpus.text import decode_python

CODE = "def area(width, height):\n    return width * height\n"
LIMIT = 1 << 20
MIT = dict(LICENSES)["MIT"]


def git(folder, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    command = ["git", *identity, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    """Two commits; returns the work tree and the first one's hash."""
    work = tmp_path / "alice" / "kit"
    work.mkdir(parents=True)
    git(work, "init", "-q")
    (work / "LICENSE").write_text(MIT)
    (work / "a.py").write_text(CODE)
    (work / "image.png").write_bytes(os.urandom(200_000))
    (work / "sub").mkdir()
    (work / "sub" / "b.py").write_text("B = 1\n" + CODE)
    git(work, "add", "-A")
    git(work, "commit", "-qm", "one")
    first = git(work, "rev-parse", "HEAD")
    (work / "late.py").write_text(CODE)
    git(work, "add", "-A")
    git(work, "commit", "-qm", "two")
    return work, first


def found(source, limit=LIMIT):
    """Path → text, or → the problem."""
    files = list(source.files(limit))
    assert files == list(source.files(limit))  # whatever the source, the order is fixed
    return {raw.path: raw.problem or raw.data.decode() for raw in files}


def size(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


@pytest.mark.parametrize("partial", [True, False])
def test_a_url_is_cloned_once_at_its_commit(tmp_path, repository, partial):
    work, first = repository
    if partial:
        git(work, "config", "uploadpack.allowFilter", "true")
        git(work, "config", "uploadpack.allowAnySHA1InWant", "true")
    cache = tmp_path / "cache"
    word = f"git:file://{work}@{first}"
    (source,) = parse_source(word, cache)
    assert (source.repository, source.commit) == ("alice/kit", first)
    assert found(source) == {"a.py": CODE, "sub/b.py": "B = 1\n" + CODE}
    assert (size(cache) < 150_000) == partial  # a partial clone has no picture
    assert [item.name for item in (cache / "git").glob("*/*")] == [f"{first}.git"]
    shutil.rmtree(work)
    (again,) = parse_source(word, cache)
    assert found(again) == found(source)


def test_a_url_needs_a_full_commit_that_is_there(tmp_path, repository):
    work, _ = repository
    url = f"file://{work}"
    with pytest.raises(SourceError, match="full hash"):
        parse_source(f"git:{url}", tmp_path / "cache")
    with pytest.raises(SourceError, match="has no commit"):
        parse_source(f"git:{url}@{'0' * 40}", tmp_path / "cache")
    with pytest.raises(SourceError, match="name a cache folder"):
        parse_source(f"git:{url}@{'0' * 40}")
    absent = f"file://user:secret@{tmp_path}/absent"
    with pytest.raises(SourceError, match="cannot clone") as caught:
        parse_source(f"git:{absent}@{'0' * 40}", tmp_path / "cache")
    assert "secret" not in str(caught.value)
    assert not [f for f in (tmp_path / "cache").rglob("*") if f.is_file()]


def test_without_git_the_message_says_so(repository, monkeypatch):
    work, _ = repository
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(SourceError, match="git is not installed"):
        GitRepository(work / ".git")


def test_a_damaged_object_costs_one_file(repository):
    work, first = repository
    blob = git(work, "rev-parse", f"{first}:a.py")
    file = work / ".git" / "objects" / blob[:2] / blob[2:]
    file.chmod(0o644)
    data = bytearray(file.read_bytes())
    data[len(data) // 2 :] = b"\0" * (len(data) - len(data) // 2)
    file.write_bytes(data)
    files = found(GitRepository(work / ".git", commit=first))
    assert files == {"a.py": UNREADABLE, "sub/b.py": "B = 1\n" + CODE}


def test_large_files_stand_in_the_order_of_the_tree(repository):
    work, first = repository
    files = list(GitRepository(work / ".git", commit=first).files(len(CODE)))
    assert [(raw.path, raw.problem) for raw in files] == [("a.py", None), ("sub/b.py", TOO_LARGE)]


def test_licence_of_a_repository_is_detected_when_the_recipe_has_none(repository):
    work, first = repository
    recipe = CorpusRecipe(sources=(GitEntry(str(work), commit=first),))
    (source,) = open_sources(recipe)
    assert (source.licence, source.own) == ("MIT", False)
    (given,) = open_sources(CorpusRecipe(sources=(GitEntry(str(work), licence="ISC"),)))
    assert given.licence == "ISC"
    assert Folder(work, licence=DETECT).licence == "MIT"
    assert Folder(work).licence == ""


def test_exclusions_cover_folders_and_say_what_they_miss(repository):
    work, _ = repository
    for kind in (
        lambda e: GitRepository(work / ".git", excluded=e),
        lambda e: Folder(work, excluded=e),
    ):
        source = kind(("sub/", "a.py", "absent.py", "lat"))
        assert list(found(source)) == ["late.py"]
        assert [line.rpartition(" ")[2] for line in source.warnings] == ["absent.py", "lat"]


def test_the_compact_list_finds_clones_by_path_or_url(tmp_path, repository):
    _, first = repository
    entry = RepositoryEntry("alice/kit", first, exclude=("a.py",))
    recipe = CorpusRecipe(repositories=(entry,))
    absent = CorpusRecipe(repositories=(entry, RepositoryEntry("bob/none", "0" * 40)))
    for pattern in (str(tmp_path / "{owner}/{name}"), f"file://{tmp_path}/{{owner}}/{{name}}"):
        told = []
        (source,) = open_sources(
            recipe, pattern, tmp_path / "cache", lambda *counts, told=told: told.append(counts)
        )
        assert told == [(1, 1)]
        assert (source.repository, source.licence) == ("alice/kit", "MIT")
        assert list(found(source)) == ["sub/b.py"]
        with pytest.raises(SourceError, match="bob/none"):
            open_sources(absent, pattern, tmp_path / "cache")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_an_unreadable_folder_is_counted(tmp_path):
    (tmp_path / "shut").mkdir()
    (tmp_path / "a.py").write_text(CODE)
    (tmp_path / "shut").chmod(0)
    try:
        assert found(Folder(tmp_path)) == {"a.py": CODE, "shut": UNREADABLE_FOLDER}
    finally:
        (tmp_path / "shut").chmod(0o700)


def test_a_folder_that_vanishes_is_counted(tmp_path):
    """The same way through the code as an unreadable one, for those who are root."""
    for name in ("gone", "stays"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "b.py").write_text(CODE)
    (tmp_path / "a.py").write_text(CODE)
    seen = {}
    for raw in Folder(tmp_path).files(LIMIT):
        seen[raw.path] = raw.problem
        shutil.rmtree(tmp_path / "gone", ignore_errors=True)
    assert seen == {"a.py": None, "stays/b.py": None, "gone": UNREADABLE_FOLDER}


def test_distributions_of_another_environment(tmp_path):
    folder = tmp_path / "site" / "kit-2.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: Kit\nVersion: 2.0\nLicense-Expression: mit\n"
    )
    (folder / "RECORD").write_text("kit.py,,\n../../bin/x.py,,\n")
    (tmp_path / "site" / "kit.py").write_text(CODE)
    for name in ("*", "kit"):
        (source,) = parse_source(f"dist:{name}@{tmp_path / 'site'}")
        assert (source.repository, source.commit, source.licence) == ("kit/kit", "2.0", "MIT")
        assert found(source) == {"kit.py": CODE}
    with pytest.raises(SourceError, match="no distribution other"):
        parse_source(f"dist:other@{tmp_path / 'site'}")
    with pytest.raises(SourceError, match="no folder"):
        parse_source(f"dist:*@{tmp_path / 'absent'}")


def wheel(folder, metadata="License-Expression: MIT\n", extra=()):
    folder.mkdir(exist_ok=True)
    path = folder / "kit-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("kit/__init__.py", CODE)
        archive.writestr("kit-1.0.data/purelib/kit/extra.py", "E = 1\n" + CODE)
        archive.writestr("kit-1.0.data/scripts/run.py", CODE)
        for name, data in extra:
            archive.writestr(name, data)
        archive.writestr(
            "kit-1.0.dist-info/METADATA",
            f"Metadata-Version: 2.4\nName: kit\nVersion: 1.0\n{metadata}"
            "Project-URL: Source, https://github.com/alice/kit\n",
        )
        archive.writestr(
            "kit-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr("kit-1.0.dist-info/RECORD", "")
    return path


def test_a_release_is_downloaded_once_and_read_in_place(tmp_path, monkeypatch):
    wheel(tmp_path / "index")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    cache = tmp_path / "cache"
    (source,) = parse_source("pypi:kit==1.0", cache)
    assert (source.repository, source.commit, source.licence) == ("alice/kit", "1.0", "MIT")
    assert (source.kind, source.own) == ("pypi", False)
    assert found(source) == {"kit/__init__.py": CODE, "kit/extra.py": "E = 1\n" + CODE}
    shutil.rmtree(tmp_path / "index")
    assert download_release("Kit==1.0", cache) == source.file
    with pytest.raises(SourceError, match=r"cannot download kit==2.0 as a wheel"):
        parse_source("pypi:kit==2.0", cache)
    assert [item.name for item in (cache / "pypi").iterdir()] == ["kit-1.0"]
    for word in ("kit", "kit>=1", "--index-url=x", "kit==1.0 -r x"):
        with pytest.raises(SourceError, match="NAME==VERSION"):
            parse_source(f"pypi:{word}", cache)


def test_a_source_distribution_is_not_built(tmp_path, monkeypatch):
    """Its setup.py would run on the user's machine."""
    (tmp_path / "index").mkdir()
    trap = f"open({str(tmp_path / 'ran')!r}, 'w')\n".encode()
    with tarfile.open(tmp_path / "index" / "kit-1.0.tar.gz", "w:gz") as archive:
        info = tarfile.TarInfo("kit-1.0/setup.py")
        info.size = len(trap)
        archive.addfile(info, io.BytesIO(trap))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    with pytest.raises(SourceError, match="only wheels are taken"):
        parse_source("pypi:kit==1.0", tmp_path / "cache")
    assert not (tmp_path / "ran").exists()


def test_a_wheel_without_licence_metadata_shows_its_licence_file(tmp_path):
    path = wheel(tmp_path, metadata="", extra=[("kit-1.0.dist-info/licenses/LICENSE", MIT)])
    assert Wheel(path).licence == "MIT"
    (source,) = parse_source(str(path))
    assert source.kind == "pypi"


@pytest.mark.parametrize("name", ["../up.py", "/root.py", "a/../../b.py", "..\\up.py"])
def test_paths_that_leave_an_archive_are_counted(tmp_path, name):
    files = found(Wheel(wheel(tmp_path, extra=[(name, CODE)])))
    assert UNSAFE_PATH in files.values()
    assert files["kit/__init__.py"] == CODE


def test_zip_bombs_are_refused_or_counted(tmp_path):
    bomb = b"#" * (8 << 20)
    path = wheel(tmp_path, extra=[("kit/bomb.py", bomb)])
    assert found(Wheel(path))["kit/bomb.py"] == TOO_LARGE
    many = [(f"kit/b{i}.py", bomb[: LIMIT - 1]) for i in range(80)]
    path = wheel(tmp_path, extra=many)
    assert path.stat().st_size < 1 << 18
    with pytest.raises(SourceError, match="zip bomb"):
        list(Wheel(path).files(LIMIT))


def test_a_wrong_size_in_a_header_does_not_unpack_more(tmp_path):
    path = wheel(tmp_path, extra=[("kit/liar.py", b"#" * (4 << 20))])
    data = bytearray(path.read_bytes())
    for place in (data.find(b"kit/liar.py"), data.rfind(b"kit/liar.py")):
        start = place - (30 if data[place - 30 : place - 26] == b"PK\3\4" else 46)
        offset = 22 if data[start : start + 4] == b"PK\3\4" else 24
        data[start + offset : start + offset + 4] = (100).to_bytes(4, "little")
    path.write_bytes(data)
    assert found(Wheel(path))["kit/liar.py"] == UNREADABLE


def test_damaged_wheels(tmp_path):
    path = wheel(tmp_path)
    whole = path.read_bytes()
    place = whole.find(CODE.encode()[:4])
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match="truncated or no archive"):
        Wheel(path)
    broken = bytearray(whole)
    place = whole.find(b"kit/__init__.py") + len(b"kit/__init__.py") + 5
    broken[place] ^= 0xFF
    path.write_bytes(broken)
    assert found(Wheel(path))["kit/__init__.py"] == UNREADABLE
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.py", CODE)
    with pytest.raises(SourceError, match="no METADATA"):
        Wheel(path)


@pytest.mark.parametrize("form", ["zip", "tar.gz", "tar"])
def test_archives_of_git_carry_commit_and_licence(tmp_path, repository, form):
    work, first = repository
    file = tmp_path / f"kit-main.{form}"
    git(work, "archive", f"--format={form}", "--prefix=kit-main/", f"--output={file}", first)
    source = Archive(file, licence=DETECT)
    assert (source.commit, source.licence, source.repository) == (first, "MIT", "kit-main")
    assert found(source) == {"a.py": CODE, "sub/b.py": "B = 1\n" + CODE}
    assert found(source, len(CODE))["sub/b.py"] == TOO_LARGE
    (named,) = parse_source(str(file))
    assert named.kind == "archive"
    some = Archive(file, excluded=("sub", "x"))
    assert list(found(some)) == ["a.py"]
    assert len(some.warnings) == 1
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(SourceError, match="truncated"):
        Archive(file)


def test_links_and_devices_in_a_tar_are_not_read(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, kind in (("link.py", tarfile.SYMTYPE), ("pipe.py", tarfile.FIFOTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        info = tarfile.TarInfo("../up.py")
        info.size = len(CODE)
        archive.addfile(info, io.BytesIO(CODE.encode()))
    assert set(found(Archive(tmp_path / "a.tar")).values()) == {UNSAFE_PATH}


ROWS = [
    {"content": CODE, "path": "pkg/a.py", "repo_name": "alice/kit", "license": "mit"},
    {"content": CODE, "path": "a.py", "repo_name": "bob/gnu", "license": "gpl-2.0"},
    {"content": CODE, "path": "../a.py", "repo_name": "bob/gnu", "license": "mit"},
    {"content": "#" * 3000, "path": "b.py", "repo_name": "bob/big", "license": "mit"},
    {"content": CODE, "path": "notes.txt", "repo_name": "bob/big", "license": "mit"},
    {"content": None, "path": "c.py", "repo_name": "bob/big", "license": "mit"},
    {"content": CODE, "path": "d.py", "repo_name": "carol/free", "license": None},
]
OUTCOME = [
    ("alice/kit", "MIT", None),
    ("bob/gnu", "GPL-2.0-only", None),
    ("bob/gnu", "MIT", UNSAFE_PATH),
    ("bob/big", "MIT", TOO_LARGE),
    ("bob/big", "MIT", NOT_PYTHON),
    (None, None, MALFORMED),
    ("carol/free", "", None),
]


def outcome(source):
    files = list(source.files(2000))
    assert files == list(source.files(2000))
    return [(raw.repository, raw.licence, raw.problem) for raw in files]


@pytest.mark.parametrize("form", ["parquet", "jsonl", "jsonl.gz"])
def test_a_data_set_of_many_repositories(tmp_path, form):
    folder = tmp_path / "data"
    folder.mkdir()
    for part, rows in enumerate((ROWS[:3], ROWS[3:])):
        file = folder / f"train-{part}.{form}"
        if form == "parquet":
            parquet.write_table(pa.Table.from_pylist([{**r, "copies": 1} for r in rows]), file)
        else:
            data = "".join(json.dumps(row) + "\n" for row in rows).encode()
            file.write_bytes(gzip.compress(data) if form.endswith("gz") else data)
    source = HubDataset(str(folder))
    assert source.many
    assert outcome(source) == OUTCOME


def test_columns_of_a_data_set_have_the_names_of_the_recipe(tmp_path):
    row = {"text": CODE, "file": "a.py", "repo": "alice/kit", "licences": ["mit", "bsd-3-clause"]}
    parquet.write_table(pa.Table.from_pylist([row]), tmp_path / "train.parquet")
    names = {"text": "text", "path": "file", "repository_column": "repo"}
    source = HubDataset(str(tmp_path), licence_column="licences", **names)
    assert outcome(source) == [("alice/kit", "BSD-3-Clause AND MIT", None)]
    plain = HubDataset(
        str(tmp_path), text="text", path="", repository_column="", licence_column="", licence="MIT"
    )
    assert not plain.many
    assert outcome(plain) == [(tmp_path.name, "MIT", None)]
    with pytest.raises(SourceError, match="no column content, path, repo_name, license; it has"):
        outcome(HubDataset(str(tmp_path)))


def test_bad_data_sets(tmp_path):
    with pytest.raises(SourceError, match="pin the data set"):
        HubDataset("owner/name")
    (tmp_path / "train.parquet").write_bytes(b"PAR1 and not much more")
    with pytest.raises(SourceError, match="data set"):
        outcome(HubDataset(str(tmp_path)))
    (tmp_path / "train.parquet").unlink()
    with pytest.raises(SourceError, match="cannot open the data set"):
        outcome(HubDataset(str(tmp_path)))


def shard(folder, number, data, compress=True):
    folder.mkdir(exist_ok=True)
    file = folder / f"python-{number:012d}.json{'.gz' if compress else ''}"
    file.write_bytes(gzip.compress(data) if compress else data)
    return file


def lines(rows):
    return "".join(
        json.dumps({key: value for key, value in row.items() if value is not None}) + "\n"
        for row in rows
    ).encode()


@pytest.mark.parametrize("compress", [True, False])
def test_an_export_of_bigquery(tmp_path, compress):
    shard(tmp_path, 1, lines(ROWS[3:]), compress)
    shard(tmp_path, 0, lines(ROWS[:3]), compress)
    sources = parse_source(f"bigquery:{tmp_path}")  # one for each shard, for machines to share
    assert [(source.kind, source.many) for source in sources] == [("bigquery", True)] * 2
    assert [line for source in sources for line in outcome(source)] == OUTCOME
    assert outcome(BigQueryExport(tmp_path)) == OUTCOME


def test_bad_lines_and_shards_of_an_export_cost_themselves_alone(tmp_path):
    bad = b'{"content": \n[1, 2]\n\xff\xfe\n' + b'{"a":' * 100_000 + b"\n"
    shard(tmp_path, 0, lines(ROWS[:1]) + bad + lines(ROWS[1:2]))
    file = shard(tmp_path, 1, lines(ROWS[:2]) + os.urandom(100_000))
    file.write_bytes(file.read_bytes()[:-50_000])
    file = shard(tmp_path, 2, lines(ROWS[:1]))
    file.write_bytes(b"no gzip at all")
    shard(tmp_path, 3, lines(ROWS[1:2]))
    problems = [raw.problem for raw in BigQueryExport(tmp_path).files(2000)]
    # the deeply nested line is longer than any file of 2,000 bytes can make it
    assert problems[:6] == [None, MALFORMED, MALFORMED, MALFORMED, TOO_LARGE, None]
    assert problems[6:8] == [None, None]
    assert problems[-3:] == [TRUNCATED, TRUNCATED, None]


def test_a_shard_without_the_columns_is_said(tmp_path):
    shard(tmp_path, 0, b'{"repo_name": "a/b", "path": "a.py", "text": "x"}\n')
    with pytest.raises(SourceError, match="no column content; it has path, repo_name, text"):
        list(BigQueryExport(tmp_path).files(LIMIT))
    with pytest.raises(SourceError, match="holds no shard"):
        BigQueryExport(_empty(tmp_path))


def _empty(folder):
    (folder / "empty").mkdir()
    return folder / "empty"


def test_a_line_without_end_does_not_fill_the_memory(tmp_path):
    """100 MB on one line, 0.1 MB compressed."""
    with gzip.open(tmp_path / "a.json.gz", "wb") as file:
        file.write(lines(ROWS[:1]) + b'{"content": "')
        for _ in range(100):
            file.write(b"#" * 1_000_000)
        file.write(b'"}\n' + lines(ROWS[1:2]))
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from parrotlet_training.corpus.sources import BigQueryExport\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print([raw.problem for raw in BigQueryExport(Path(sys.argv[1])).files(1 << 20)])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    problems, grown = done.stdout.splitlines()
    assert problems == f"[None, {TOO_LARGE!r}, None]"
    assert int(grown) < 50_000  # kB


@pytest.mark.parametrize("text", ["# -*- coding: latin-1 -*-\nNAME = 'é'\n", "NAME = 'é'\n"])
def test_text_with_a_coding_cookie_survives(text):
    assert decode_python(python_bytes(text)) == text


def test_words_that_name_nothing(tmp_path):
    for word in ("folder:", "git:", "bigquery:"):
        with pytest.raises(SourceError, match="names nothing after the colon"):
            parse_source(word)
    with pytest.raises(SourceError, match="no archive"):
        parse_source(f"archive:{tmp_path / 'x.zip'}")
    with pytest.raises(SourceError, match="no folder"):
        parse_source(f"bigquery:{tmp_path / 'x'}")


def test_passwords_do_not_reach_messages():
    with pytest.raises(git_module.GitError) as caught:
        git_module.clone_at("https://me:secret@host/a/b.git", "main", Path("unused"))
    assert "secret" not in str(caught.value)


def test_sources_come_in_the_recipe_s_order_however_long_each_takes(tmp_path, repository):
    work, first = repository
    for index in range(12):
        (tmp_path / f"f{index}").mkdir()
    entries = [str(tmp_path / f"f{index}") for index in range(12)]
    entries.insert(3, GitEntry(f"file://{work}", commit=first))  # cloned, so slower
    sources = open_sources(CorpusRecipe(sources=tuple(entries)), cache=tmp_path / "cache")
    names = [source.repository for source in sources]
    assert [name for name in names if name in {f"f{i}" for i in range(12)}] == [
        f"f{index}" for index in range(12)
    ]
    assert names.index("f3") == 4
