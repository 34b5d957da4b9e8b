"""Files in which nothing is suggested."""

from __future__ import annotations

import pytest

from parrotlet_server.lsp.exclusion import check_globs, holds_secrets, is_excluded

from ..support.lsp_client import at, client

LINE = "def square_area(side):\n    return side * "


@pytest.mark.parametrize(
    "path",
    [
        "/home/ada/app/.env",
        ".env.local",
        "prod.env",
        "server.pem",
        "a/b/Private.KEY",
        "id_rsa",
        "id_rsa.pub",
        "id_ed25519_work",
        ".netrc",
        ".pypirc",
        "credentials",
        "credentials.py",
        "google_credentials.py",
        "SECRETS.PY",
        "secrets.toml",
        "/home/ada/.ssh/config",
        "/home/ada/.aws/config.py",
    ],
)
def test_files_of_secrets(path):
    assert holds_secrets(path)


@pytest.mark.parametrize(
    "path",
    [
        "app.py",
        "environment.py",
        "env.py",
        "key.py",
        "monkey.py",
        "pem.py",
        "secretary.py",
        "test_secret_box.py",
        "credential.py",
        "tests/credentials/app.py",
        "",
    ],
)
def test_files_like_others(path):
    assert not holds_secrets(path)


@pytest.mark.parametrize(
    ("path", "globs", "excluded"),
    [
        ("a.py", (), False),
        ("tests/a.py", ("tests/",), True),
        ("lib/tests/a.py", ("tests/",), True),
        ("lib/tests/a.py", ("/tests/",), False),
        ("a_pb2.py", ("*_pb2.py",), True),
        ("deep/er/a_pb2.py", ("*_pb2.py",), True),
        ("deep/er/a.py", ("deep/**/a.py",), True),
        ("a.py", ("*", "!a.py"), False),
        ("b.py", ("*", "!a.py"), True),
        ("a.py", ("", "# a.py"), False),
    ],
)
def test_patterns_are_those_of_gitignore(path, globs, excluded):
    assert is_excluded(path, check_globs(globs)) is excluded


def test_a_pattern_without_sense():
    with pytest.raises(ValueError, match="pattern"):
        check_globs(["*.py", "!"])


def asked(session, uri, language="python"):
    """Whether anything is suggested, as ghost text or in the popup; the model must not run else."""
    session.open(uri, LINE, language)
    runs = session.call("parrotlet/statistics")["runs"]
    inline = session.inline(uri, 1, 18)
    popup = session.call("textDocument/completion", at(uri, 1, 18))["items"]
    ran = session.call("parrotlet/statistics")["runs"] > runs
    assert bool(inline) == bool(popup) == ran
    return ran


def test_nothing_is_suggested_where_secrets_are(shared):
    for name in (".env", "secrets.py", ".ssh/config", "%2Eenv", "id_rsa"):
        assert not asked(shared, f"file:///home/ada/{name}")
    assert asked(shared, "file:///home/ada/other.py")


def test_nothing_is_suggested_in_excluded_files(model):
    settings = {"exclude": ["generated/", "!generated/mine.py", "*_pb2.py"]}
    with client("--model", model, settings=settings) as session:
        session.start(rootUri="file:///home/ada")
        assert not asked(session, "file:///home/ada/generated/a.py")
        assert not asked(session, "file:///home/ada/b_pb2.py")
        assert asked(session, "file:///home/ada/a.py")
        # in no folder of the workspace
        assert not asked(session, "file:///opt/generated/a.py")
        assert not asked(session, "file:///opt/b_pb2.py")
        assert asked(session, "file:///opt/a.py")
        assert session.shut_down() == 0
