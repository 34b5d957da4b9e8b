"""Suggestions at all kinds of places, over the protocol, are those of the engine."""

from __future__ import annotations

import time

import pytest

from parrotlet_server.engine import Request

from ..support.lsp_client import at, client, span
from ..support.tiny_model import DOCUMENTS

SHAPES, INVENTORY = DOCUMENTS["shapes.py"], DOCUMENTS["inventory.py"]
EXPRESSION = ("        self.items[name] = self.items", ".get(name, 0) + count")
BLOCK = (
    "    def remove(self, name):\n        ",
    """\
if name not in self.items:
            raise KeyError(name)
        del self.items[name]
""",
)


def columns(text, encoding):
    """How many columns `text` takes."""
    if encoding == "utf-32":
        return len(text)
    return len(text.encode(encoding + ("-le" if encoding == "utf-16" else ""))) // (
        2 if encoding == "utf-16" else 1
    )


def position(prefix, encoding="utf-16"):
    """The line and the column after `prefix`."""
    lines = prefix.replace("\r\n", "\n").split("\n")
    return len(lines) - 1, columns(lines[-1], encoding)


def cut(text, before, unwritten=""):
    """Prefix and suffix of the place after `before`, where `unwritten` is left out."""
    assert text.count(before + unwritten) == 1
    start = text.index(before + unwritten) + len(before)
    return text[:start], text[start + len(unwritten) :]


def ask(session, uri, prefix, suffix=""):
    """The first inline item at a place of a document that is opened for it."""
    session.open(uri, prefix + suffix)
    items = session.inline(uri, *position(prefix))
    assert items
    return items[0]


@pytest.mark.parametrize(
    ("before", "unwritten"),
    [
        ('"""What lies in the', ' store."""'),
        EXPRESSION,
        ("        del self.", "items[name]"),
        ("        return su", "m(self.items.values())"),
        ("    for name, count in sorted(", "inventory.items.items()):"),
    ],
)
def test_suggestions_are_those_of_the_engine(shared, suggest, new_uri, before, unwritten):
    prefix, suffix = cut(INVENTORY, before, unwritten)
    expected = suggest(prefix, suffix, path="inventory.py")
    assert expected is not None
    item = ask(shared, new_uri("inventory.py"), prefix, suffix)
    line, character = position(prefix)
    assert item.pop("command")["command"] == "parrotlet.accepted"
    assert item == {
        "insertText": expected.text,
        "range": span((line, character), (line, character + expected.overwrite)),
    }


def test_the_model_knows_its_files(shared, new_uri):
    """Otherwise the comparisons above would hold for any text."""
    prefix, suffix = cut(
        INVENTORY, "        self.items[name] = self.items", ".get(name, 0) + count"
    )
    item = ask(shared, new_uri("inventory.py"), prefix, suffix)
    assert item["insertText"] == ".get(name, 0) + count"
    prefix, _ = cut(INVENTORY, 'print("total", inventory')
    assert ask(shared, new_uri("inventory.py"), prefix)["insertText"] == ".total())"


def test_inside_a_word(shared, new_uri):
    prefix, suffix = cut(SHAPES, "    return side * si", "de")
    item = ask(shared, new_uri("shapes.py"), prefix, suffix)
    assert item["insertText"] == "de"
    assert item["range"] == span(position(prefix), position(prefix))


def test_brackets_right_of_the_cursor_are_replaced(shared, suggest, new_uri):
    prefix, rest = cut(INVENTORY, "        return sum(", "self.items.values()")
    assert rest.startswith(")\n")
    expected = suggest(prefix, rest, path="inventory.py")
    item = ask(shared, new_uri("inventory.py"), prefix, rest)
    line, character = position(prefix)
    assert item["range"] == span((line, character), (line, character + expected.overwrite))
    # accepted, it gives the line as it was
    assert prefix + item["insertText"] + rest[expected.overwrite :] == INVENTORY


def test_a_block(shared, suggest, new_uri):
    prefix, suffix = cut(INVENTORY, *BLOCK)
    expected = suggest(prefix, suffix, path="inventory.py")
    assert "\n" in expected.text
    assert ask(shared, new_uri("inventory.py"), prefix, suffix)["insertText"] == expected.text


def test_windows_line_ends(shared, suggest, new_uri):
    prefix, suffix = cut(INVENTORY, *BLOCK)
    expected = suggest(prefix, suffix, path="inventory.py")
    windows = [part.replace("\n", "\r\n") for part in (prefix, suffix)]
    item = ask(shared, new_uri("inventory.py"), *windows)
    assert item["insertText"] == expected.text.replace("\n", "\r\n")
    assert item["range"] == span(position(prefix), position(prefix))


def test_tabs(shared, suggest, new_uri):
    text = DOCUMENTS["tabs.py"]
    prefix, suffix = cut(text, "\tdef push(self, value):\n\t\t", "self.values.append(value)")
    assert ask(shared, new_uri("tabs.py"), prefix, suffix)["insertText"] == (
        suggest(prefix, suffix, path="tabs.py").text
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
def test_columns_after_astral_characters(model, suggest, encoding):
    prefix, suffix = cut(SHAPES, "    return half * ", "height")
    prefix = prefix.removesuffix("return half * ") + 'name = "é한😀"; return half * '
    expected = suggest(prefix, suffix, path="shapes.py")
    assert expected is not None
    with client("--model", model) as session:
        result = session.start(capabilities={"general": {"positionEncodings": [encoding]}})
        assert result["capabilities"]["positionEncoding"] == encoding
        session.open("file:///shapes.py", prefix + suffix)
        line, character = position(prefix, encoding)
        item, *_ = session.inline("file:///shapes.py", line, character)
        assert item["insertText"] == expected.text
        assert item["range"]["start"] == {"line": line, "character": character}
        # typed on, behind the astral characters
        session.change(
            "file:///shapes.py", ((line, character), (line, character), expected.text[:1])
        )
        typed = suggest(prefix + expected.text[:1], suffix, path="shapes.py")
        item, *_ = session.inline("file:///shapes.py", line, character + 1)
        assert item["insertText"] == typed.text
        assert session.shut_down() == 0


def test_the_end_of_a_file_without_a_line_end(shared, suggest, new_uri):
    prefix, _ = cut(SHAPES, "    return side * ")
    expected = suggest(prefix, path="shapes.py").text
    uri = new_uri("shapes.py")
    assert ask(shared, uri, prefix)["insertText"] == expected
    line, character = position(prefix)
    # positions past the end count as the end
    for place in ((line, character + 7), (line + 1, 0), (line + 900, 3)):
        item, *_ = shared.inline(uri, *place)
        assert item["insertText"] == expected
        assert item["range"] == span((line, character), (line, character))


def test_typing_at_the_end_of_a_file(shared, suggest, new_uri):
    prefix, _ = cut(SHAPES, "    return side * ")
    uri = new_uri("shapes.py")
    shared.open(uri, "")
    text = ""
    for line in prefix.splitlines(keepends=True):
        shared.change(uri, (position(text), position(text), line))
        text += line
    # an edit past the end is one at the end
    line, character = position(text)
    shared.change(uri, ((line + 5, 5), (line + 6, 0), "s"))
    item, *_ = shared.inline(uri, line, character + 1)
    assert item["insertText"] == suggest(prefix + "s", path="shapes.py").text == "ide"


def test_separators_that_are_no_line_ends(shared, suggest, new_uri):
    prefix, suffix = cut(SHAPES, "    return side * ", "side")
    prefix = prefix.replace("import math\n", "import math  # \f \x0b \x1c \x85 \u2028\n\f\n")
    uri = new_uri("shapes.py")
    expected = suggest(prefix, suffix, path="shapes.py").text
    assert ask(shared, uri, prefix + "", suffix)["insertText"] == expected
    # an edit on the line of the separators, and one below
    before = prefix.index("\u2028")
    line, character = position(prefix[:before])
    shared.change(uri, ((line, character), (line, character + 1), "-"))
    shared.change(uri, (position(prefix), position(prefix), "s"))
    prefix = prefix.replace("\u2028", "-") + "s"
    item, *_ = shared.inline(uri, *position(prefix))
    assert item["insertText"] == suggest(prefix, suffix, path="shapes.py").text


def test_an_empty_file(shared, suggest, new_uri):
    uri = new_uri()
    shared.open(uri, "")
    expected = suggest("")
    items = shared.inline(uri, 0, 0) or []
    assert [item["insertText"] for item in items[:1]] == ([expected.text] if expected else [])


def test_a_file_of_50_000_lines(shared, suggest, new_uri):
    prefix, suffix = cut(SHAPES, "    return half * ", "height")
    filler = '"""Filler."""\n' * 25_000
    uri = new_uri("shapes.py")
    expected = suggest(filler + prefix, suffix + filler, path="shapes.py")
    shared.open(uri, filler + prefix + suffix + filler)
    item, *_ = shared.inline(uri, *position(filler + prefix))
    assert item["insertText"] == expected.text
    # each typed character costs no more than a few milliseconds beside the model
    typed = filler + prefix
    for sign in "hei":
        shared.change(uri, (position(typed), position(typed), sign))
        typed += sign
        started = time.monotonic()
        item, *_ = shared.inline(uri, *position(typed))
        assert time.monotonic() - started < 1.0
    assert item["insertText"] == suggest(typed, suffix + filler, path="shapes.py").text


@pytest.mark.parametrize(
    ("name", "language", "asked"),
    [
        ("a.py", "python", True),
        ("a.pyi", "plaintext", True),
        ("a.txt", "python", True),
        ("a.rs", "rust", False),
        ("a", "plaintext", False),
    ],
)
def test_only_python_is_completed(shared, new_uri, name, language, asked):
    prefix, _ = cut(SHAPES, "    return side * ")
    uri = new_uri(name)
    shared.open(uri, prefix, language)
    before = shared.call("parrotlet/statistics")["requests"]
    items = shared.inline(uri, *position(prefix))
    assert shared.call("parrotlet/statistics")["requests"] - before == asked
    if not asked:
        assert items is None
        popup = shared.call("textDocument/completion", at(uri, *position(prefix)))
        assert popup == {"isIncomplete": True, "items": []}


def test_a_document_that_is_not_open(shared, new_uri):
    uri = new_uri()
    assert shared.inline(uri, 0, 0) is None
    shared.change(uri, "x")
    shared.change(uri, ((0, 0), (0, 0), "x"))
    shared.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
    assert shared.inline(uri, 0, 0) is None
    assert shared.notifications("window/showMessage") == []


def test_a_closed_document(shared, new_uri):
    prefix, _ = cut(SHAPES, "    return side * ")
    uri = new_uri("shapes.py")
    assert ask(shared, uri, prefix)
    shared.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
    assert shared.inline(uri, *position(prefix)) is None


def test_a_lone_surrogate_in_the_text(shared, suggest, new_uri):
    prefix, suffix = cut(SHAPES, "    return side * ", "side")
    broken = prefix.replace("import math", 'import math  # "\ud83d"')
    uri = new_uri("shapes.py")
    expected = suggest(broken.replace("\ud83d", "\ufffd"), suffix, path="shapes.py").text
    assert ask(shared, uri, broken, suffix)["insertText"] == expected
    # its other half comes with the next edit
    at_half = broken.index("\ud83d") + 1
    line, character = position(broken[:at_half].replace("\ud83d", "x"))
    shared.change(uri, ((line, character), (line, character), "\ude00"))
    item, *_ = shared.inline(uri, *position(prefix))
    whole = broken.replace("\ud83d", "😀")
    assert item["insertText"] == suggest(whole, suffix, path="shapes.py").text
    # a cursor between the halves is no error either
    shared.inline(uri, line, character)


def test_the_path_in_the_workspace_is_told(shared, suggest):
    prefix, suffix = cut(SHAPES, "    return side * ", "side")
    uri = "file:///home/ada/some%20where/shapes.py"
    expected = suggest(prefix, suffix, path="some where/shapes.py")
    assert ask(shared, uri, prefix, suffix)["insertText"] == expected.text
    tokens = shared.call("parrotlet/statistics")["last"]["promptTokens"]
    uri = "file:///elsewhere/some%20where/shapes.py"
    ask(shared, uri, prefix, suffix)
    assert shared.call("parrotlet/statistics")["last"]["promptTokens"] < tokens


def test_ghost_text_beside_a_popup_goes_on_from_its_item(shared, suggest, new_uri):
    prefix, suffix = cut(INVENTORY, "        del sel", "f.items[name]")
    uri = new_uri("inventory.py")
    shared.open(uri, prefix + suffix)
    line, character = position(prefix)
    selected = {"range": span((line, character - 3), (line, character)), "text": "self"}
    item, *_ = shared.call(
        "textDocument/inlineCompletion", at(uri, line, character, selectedCompletionInfo=selected)
    )
    expected = suggest(prefix.removesuffix("sel") + "self", suffix, path="inventory.py")
    assert item.pop("command")["command"] == "parrotlet.accepted"
    assert item == {
        "insertText": "self" + expected.text,
        "range": span((line, character - 3), (line, character)),
    }


def test_the_completion_list_has_one_item_and_it_stands_first(shared, suggest, new_uri):
    prefix, suffix = cut(INVENTORY, "        return su", "m(self.items.values())")
    uri = new_uri("inventory.py")
    shared.open(uri, prefix + suffix)
    line, character = position(prefix)
    expected = suggest(prefix, suffix, path="inventory.py")
    result = shared.call("textDocument/completion", at(uri, line, character))
    assert result["isIncomplete"] is True
    (item,) = result["items"]
    assert item["label"] == item["filterText"] == "su" + expected.text
    assert item["textEdit"] == {
        "newText": "su" + expected.text,
        "range": span((line, character - 2), (line, character + expected.overwrite)),
    }
    assert item["insertTextFormat"] == 1
    assert item["sortText"] < "!"


def test_a_block_in_the_completion_list(shared, suggest, new_uri):
    prefix, suffix = cut(INVENTORY, *BLOCK)
    uri = new_uri("inventory.py")
    shared.open(uri, prefix + suffix)
    (item,) = shared.call("textDocument/completion", at(uri, *position(prefix)))["items"]
    expected = suggest(prefix, suffix, path="inventory.py").text
    assert item["label"] == expected.split("\n")[0] + "…"
    assert item["textEdit"]["newText"] == expected
    assert item["insertTextMode"] == 1  # the editor leaves its indentation alone


def test_both_kinds_at_one_key_run_the_model_once(shared, new_uri):
    prefix, suffix = cut(INVENTORY, "        return su", "m(self.items.values())")
    cursor, rounds = position(prefix), 100

    def runs():
        return shared.call("parrotlet/statistics")["runs"]

    before = runs()
    for number in range(rounds):
        uri = new_uri("inventory.py")
        shared.open(uri, prefix + suffix)
        params = {**at(uri, *cursor), "context": {"triggerKind": 2}}
        requests = [
            shared.make_request("textDocument/completion", at(uri, *cursor)),
            shared.make_request("textDocument/inlineCompletion", params),
            shared.make_request("textDocument/completion", at(uri, *cursor)),
        ]
        for request in requests:
            shared.send(request)
            # they come before, while and after the model writes
            time.sleep(number / rounds * 0.01)
        popup, inline, again = (shared.reply(request["id"])["result"] for request in requests)
        assert popup == again
        assert popup["items"][0]["label"] == "su" + inline[0]["insertText"]
        shared.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
    assert runs() == before + rounds


def test_one_who_asks_may_choose_among_several(shared, engine, new_uri):
    uri = new_uri()
    shared.open(uri, "def ")
    typed = {**at(uri, 0, 4), "context": {"triggerKind": 2}}
    assert len(shared.call("textDocument/inlineCompletion", typed)) == 1
    items = shared.inline(uri, 0, 4)
    found = engine.complete(Request("def ", "", path="a.py", candidates=3))
    expected = [one.text for one in (found.suggestion, *found.others)]
    assert [item["insertText"] for item in items] == expected
    assert 1 < len(items) == len({item["insertText"] for item in items}) <= 3
    assert len({item["command"]["arguments"][0] for item in items}) == len(items)
    # the one who types goes on to see the first alone
    assert shared.call("textDocument/inlineCompletion", typed) == items[:1]
    assert len(shared.call("textDocument/completion", at(uri, 0, 4))["items"]) == 1
