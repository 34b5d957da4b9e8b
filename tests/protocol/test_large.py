"""Large files and many of them: every request is answered, and memory stays bounded."""

from __future__ import annotations

import psutil
import pytest

from ..support.lsp_client import at, client
from ..support.tiny_model import DOCUMENTS

TEXT = DOCUMENTS["shapes.py"]
LINE = "def square_area(side):\n    return side * "
MIB = 2**20


@pytest.fixture
def measured(model):
    """A server, and how much its memory has grown, in MiB, since it was ready."""
    with client("--model", model, settings={"debounce": 0}) as session:
        session.start()
        session.open("file:///first.py", LINE)
        session.inline("file:///first.py", 1, 18)
        process = psutil.Process(session.process.pid)
        before = process.memory_info().rss
        yield session, lambda: (process.memory_info().rss - before) / MIB
        assert session.shut_down() == 0
        assert "Traceback" not in session.stderr()


def type_in(session, uri, line, column, keys):
    """Types `keys` and asks after each; gives the suggestion at the last and the longest wait."""
    waits = []
    for number, key in enumerate(keys):
        session.change(uri, ((line, column + number), (line, column + number), key))
        request = session.request(
            "textDocument/inlineCompletion", at(uri, line, column + number + 1)
        )
        items = session.reply(request)["result"]
        waits.append(session.seconds[request])
    return items[0]["insertText"] if items else None, max(waits)


def test_a_file_of_10_megabytes(measured, suggest):
    session, grown = measured
    functions = (f"def function_{n}(value):\n    return value + {n}\n\n\n" for n in range(210_000))
    filler = "".join(functions)
    filler = filler[: filler.rindex("def ", 0, 10 * MIB)]
    assert len(filler) > 9.99 * MIB
    uri = "file:///large.py"
    middle = filler.index("def ", len(filler) // 2)
    above, below = filler[:middle], "\n\n\n" + filler[middle:]
    session.open(uri, above + LINE[:-8] + below)
    line = above.count("\n") + 1
    text, wait = type_in(session, uri, line, len("    return"), " side *")
    expected = suggest(above + LINE[:-1], below, path="large.py")
    assert expected is not None
    assert text == expected.text
    session.change(uri, ((0, 0), (0, 0), "# a line\n" * 3))  # at the other end
    expected = suggest("# a line\n" * 3 + above + LINE, below, path="large.py")
    text, _ = type_in(session, uri, line + 3, len(LINE[:-1].split("\n")[1]), " ")
    assert text == expected.text
    held = grown()
    print(f"10 MiB: longest answer {1000 * wait:.0f} ms, memory {held:+.0f} MiB")
    assert held < 500
    session.change(uri, LINE)
    assert session.inline(uri, 1, 18)[0]["insertText"] == "side"


def test_a_line_of_100_000_characters(measured):
    session, grown = measured
    uri = "file:///wide.py"
    long = "values = [" + ", ".join(map(str, range(17_000)))
    long = long[: 100_000 - 1] + "]"
    assert len(long) == 100_000
    session.open(uri, f"{long}\n{LINE}\n{long}\n")
    assert session.inline(uri, 2, 18) is not None
    _, wait = type_in(session, uri, 0, 50_000, "abcdefgh")
    _, end = type_in(session, uri, 0, 100_008, " + [")
    print(f"100,000 characters: longest answer {1000 * max(wait, end):.0f} ms, {grown():+.0f} MiB")
    assert grown() < 200


def test_1_000_open_documents(measured, suggest):
    session, grown = measured
    count, size = 1_000, 20_000
    body = TEXT * (size // len(TEXT))

    def text(number):
        return f"# {number}\n{body}\n\n{LINE}"

    def check(name, number):
        expected = suggest(text(number), path=f"{name}_{number}.py")
        items = session.inline(f"file:///w/{name}_{number}.py", text(number).count("\n"), 18)
        assert items[0]["insertText"] == expected.text

    for number in range(count):
        session.open(f"file:///w/module_{number}.py", text(number))
    for number in range(0, count, 50):
        check("module", number)
    held = grown()
    for number in range(count):
        uri = f"file:///w/module_{number}.py"
        session.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
    assert session.inline("file:///w/module_7.py", 1, 0) is None
    for number in range(count):
        session.open(f"file:///w/other_{number}.py", text(number))
    check("other", 999)
    print(f"1,000 documents of {size:,} characters: {held:+.0f} MiB, others later {grown():+.0f}")
    assert held < 300
    # what was closed is given back
    assert grown() < 1.5 * held + 50
