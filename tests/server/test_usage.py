"""The file of events, `parrotlet stats` and `parrotlet doctor`."""

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from parrotlet_server import usage
from parrotlet_server.usage import Event, append, by_day, read

DAY = datetime(2026, 3, 1, 12, tzinfo=UTC)


def parrotlet(*arguments, **env):
    command = [sys.executable, "-m", "parrotlet_server", *arguments]
    return subprocess.run(
        command, env={**os.environ, **env}, capture_output=True, text=True, check=False
    )


def test_events_are_read_as_they_were_written(tmp_path):
    events = [
        Event("shown", DAY, 10, 2, 12.5, True),
        Event("accepted", DAY, 10, 2),
    ]
    file = tmp_path / "a" / "usage.jsonl"
    append(file, events[:1])
    append(file, events[1:])
    assert list(read(file)) == events


def test_other_lines_are_passed_over(tmp_path):
    file = tmp_path / "usage.jsonl"
    append(file, [Event("shown", DAY, 1)])
    with file.open("ab") as stream:
        stream.write(b'{"event": "shown"}\n[]\n\xff\n{"event": "eaten", "time": 3}\n{"time"')
    assert list(read(file)) == [Event("shown", DAY, 1)]
    assert list(read(tmp_path / "none")) == []


def test_the_file_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(usage, "LARGEST", 5_000)
    file = tmp_path / "usage.jsonl"
    for number in range(300):
        append(file, [Event("shown", DAY, number)])
    assert file.stat().st_size <= 5_000
    kept = [event.characters for event in read(file)]
    assert kept == list(range(kept[0], 300))
    assert [name.name for name in tmp_path.iterdir()] == ["usage.jsonl"]


def test_days_are_summed_up():
    other = DAY.replace(day=2)
    events = [Event("shown", DAY, 4, 1, value) for value in (10, 20, 30, 40)]
    events += [Event("accepted", DAY, 4), Event("shown", other, 1, 1, 5.0)]
    days = by_day(reversed(events))
    assert list(days) == ["2026-03-01", "2026-03-02"]
    assert days["2026-03-01"].to_json() == {
        "shown": 4,
        "accepted": 1,
        "rate": 0.25,
        "charactersSaved": 4,
        "medianMilliseconds": 25,
        "p95Milliseconds": 38.5,
    }
    assert days["2026-03-02"].to_json()["p95Milliseconds"] is None


def test_stats_are_shown_and_deleted(tmp_path):
    env = {"PARROTLET_DATA": str(tmp_path)}
    assert "nothing counted yet" in parrotlet("stats", **env).stdout
    append(tmp_path / "usage.jsonl", [Event("shown", DAY, 4, 1, 7.0), Event("accepted", DAY, 4)])
    table = parrotlet("stats", **env).stdout
    assert "2026-03-01" in table
    assert "100.0%" in table
    content = json.loads(parrotlet("stats", "--json", **env).stdout)
    assert content["all"]["accepted"] == 1
    assert list(content["days"]) == ["2026-03-01"]
    assert parrotlet("stats", "--reset", **env).returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_stats_of_a_folder_that_is_none(tmp_path):
    (tmp_path / "file").touch()
    result = parrotlet("stats", PARROTLET_DATA=str(tmp_path / "file"))
    assert result.returncode == 1
    assert result.stderr.startswith("parrotlet: cannot use")
    assert result.stderr.count("\n") == 1


def test_the_doctor_finds_a_damaged_model(bundle, tmp_path):
    env = {"PARROTLET_DATA": str(tmp_path / "data")}
    content = json.loads(parrotlet("doctor", "--json", "--model", str(bundle), **env).stdout)
    named = {check["name"]: check for check in content["checks"]}
    assert list(named) == [
        "interpreter",
        "packages",
        "statistics",
        "model",
        "threads",
        "completion",
    ]
    assert all(check["fine"] for name, check in named.items() if name != "completion")
    damaged = tmp_path / "damaged"
    shutil.copytree(bundle, damaged)
    (damaged / "model.onnx").write_bytes(b"nothing")
    result = parrotlet("doctor", "--model", str(damaged), **env)
    assert result.returncode == 1
    assert "WRONG model:" in result.stdout
    assert "mend:" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize("command", ["stats", "doctor"])
def test_help_is_quick_and_says_what(command):
    assert "--json" in parrotlet(command, "--help").stdout
