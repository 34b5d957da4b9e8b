"""An editing session, key by key, in the bundled model: what each key costs it."""

from __future__ import annotations

import statistics
from pathlib import Path

import parrotlet_server

from ..support.lsp_client import at, client

PACKAGE = Path(parrotlet_server.__file__).parent
FILES = ("lsp/session.py", "engine/decode.py")

# What somebody did: ("go", file, text before which the cursor is put), ("open", new lines above the
# cursor), ("move", lines, to their end), ("type", keys), ("erase", characters before
# the cursor). "\n" in keys is Enter, after which an editor indents the line as the one above.
SESSION = [
    ("go", 0, "def _over("),
    ("open", 3),
    ("type", "def newest(file: Path) -> Event | None:\n"),
    ("type", '"""The last event'),
    ("erase", 5),
    ("type", 'evnt of `file`."""\n'),
    ("move", -1),
    ("erase", 3),
    ("type", ', or none."""'),
    ("move", 1),
    ("type", "events = load(file)\nif not events:\nreturn None\n"),
    ("erase", 4),
    ("type", "return events[-1]"),
    ("move", -2),
    ("type", "  # the file is new"),
    ("move", 1),
    ("erase", 4),
    ("type", "None"),
    ("move", 1),
    ("erase", 3),
    ("type", "0]"),
    ("go", 1, "def decode_whole("),
    ("open", 3),
    ("type", "def smoothed(values: list[float], share: float = 0.3) -> float:\n"),
    ("type", '"""A running mean."""\nmean = values[0]\n'),
    ("type", "for value in values[1:]:\nmean += share * (value - mean)\n"),
    ("erase", 4),
    ("type", "return men"),
    ("erase", 1),
    ("type", "an"),
    ("move", -3),
    ("type", " if values else 0.0"),
    ("move", 2),
    ("type", "  # see Brown 1956"),
    ("move", 1),
    ("type", " or 0.0"),
    ("go", 0, "def newest"),
    ("move", 2),
    ("type", "  # read anew"),
    ("move", 3),
    ("type", "  # the last one"),
    ("go", 0, "def _take(self"),
    ("move", 1),
    ("type", "  # some may be wrong"),
    ("move", 1),
    ("type", "  # by a client"),
    ("move", 2),
    ("type", ")"),
    ("erase", 1),
    ("move", 3),
    ("type", "  # what was made"),
    ("go", 1, "def smoothed"),
    ("move", 1),
    ("erase", 3),
    ("type", ' of `values`."""'),
]


class Editor:
    """Keeps texts and a cursor, and asks at each key."""

    def __init__(self, session, texts):
        self.session, self.texts = session, list(texts)
        self.file, self.cursor = 0, 0
        self.evaluated, self.prompts, self.runs = [], [], 0
        for number, text in enumerate(self.texts):
            session.open(self.uri(number), text)

    def uri(self, number):
        return f"file:///home/ada/{FILES[number]}"

    def place(self, offset):
        before = self.texts[self.file][:offset]
        return before.count("\n"), len(before) - before.rfind("\n") - 1

    def edit(self, start, end, text):
        change = (self.place(start), self.place(end), text)
        self.session.change(self.uri(self.file), change)
        old = self.texts[self.file]
        self.texts[self.file] = old[:start] + text + old[end:]
        self.cursor = start + len(text)

    def key(self, start, end, text):
        self.edit(start, end, text)
        place = self.place(self.cursor)
        self.session.call(
            "textDocument/inlineCompletion",
            {**at(self.uri(self.file), *place), "context": {"triggerKind": 2}},
        )
        now = self.session.call("parrotlet/statistics")
        ran, self.runs = now["runs"] > self.runs, now["runs"]
        self.evaluated.append(now["last"]["evaluatedTokens"] if ran else 0)
        if ran:
            self.prompts.append(now["last"]["promptTokens"])

    def go(self, file, text):
        self.file = file
        self.cursor = self.texts[file].index(text)

    def move(self, lines):
        line = self.place(self.cursor)[0] + lines
        rows = self.texts[self.file].split("\n")
        self.cursor = sum(len(row) + 1 for row in rows[:line]) + len(rows[line])

    def open(self, lines):
        row = self.texts[self.file].rfind("\n", 0, self.cursor) + 1
        self.edit(row, row, "\n" * lines)
        self.cursor = row

    def type(self, keys):
        for key in keys:
            if key == "\n":
                row = self.texts[self.file][: self.cursor].rpartition("\n")[2]
                blank = row[: len(row) - len(row.lstrip())]
                key += blank + ("    " if row.rstrip().endswith(":") else "")
            self.key(self.cursor, self.cursor, key)

    def erase(self, count):
        for _ in range(count):
            self.key(self.cursor - 1, self.cursor, "")


def test_a_key_costs_the_model_a_few_tokens():
    texts = [(PACKAGE / file).read_text(encoding="utf-8") for file in FILES]
    with client(settings={"debounce": 0, "context": "off"}) as session:
        session.start(rootUri="file:///home/ada")
        editor = Editor(session, texts)
        for number in range(len(FILES)):  # warm
            editor.go(number, "@dataclass")
            editor.open(1)
            editor.type("x")
            editor.erase(1)
        editor.evaluated.clear()
        for what, *arguments in SESSION:
            getattr(editor, what)(*arguments)
        assert session.shut_down() == 0
        assert "Traceback" not in session.stderr()
    evaluated = editor.evaluated
    mean = statistics.fmean(evaluated)
    print(
        f"{len(evaluated)} keys, prompts of {statistics.median(editor.prompts):.0f} tokens: "
        f"read per key {statistics.median(evaluated):g} (median), {mean:.1f} (mean), "
        f"{sum(tokens > 100 for tokens in evaluated)} times more than 100"
    )
    assert len(evaluated) > 300
    assert statistics.median(editor.prompts) > 500
    assert statistics.median(evaluated) <= 3
    assert mean <= 12
