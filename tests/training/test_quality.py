"""The quality level on made-up pairs of better and worse code, and on real files."""

from __future__ import annotations

import re
import sysconfig
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parrotlet_tokenizer.specials import QUALITY_LEVELS
from parrotlet_training.corpus import quality as quality_module
from parrotlet_training.corpus.quality import THRESHOLDS, points, quality, signals

LIBRARY = Path(sysconfig.get_path("stdlib"))
GOOD = '''"""Reading and weighing of parcels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Parcel:
    """A parcel with its measured weight."""

    label: str
    weight: float

    def heavier_than(self, other: Parcel) -> bool:
        """Whether this parcel weighs more."""
        return self.weight > other.weight


def read_parcels(file: Path) -> list[Parcel]:
    """Reads one parcel from each line of a file."""
    parcels = []
    with file.open() as stream:
        # An empty line ends the list.
        for line in stream:
            label, weight = line.split(",")
            parcels.append(Parcel(label, float(weight)))
    return parcels
'''
BAD = """from os import *
def f(a,b,c):
  #x = g(a)
  #y = h(b)
  global z
  try:
      z=a;y=b
  except:
      pass
  for i in range(0,10):
        print(a,b,c)
        d = i,a
  return d
print(f(1,2,3))
x = f(1,2,3)
print(f(3,4,5))
"""


def test_ends_of_the_scale():
    assert quality(GOOD, "parcels/reading.py") == QUALITY_LEVELS - 1
    assert quality(BAD, "a.py") == 0
    assert len(THRESHOLDS) == QUALITY_LEVELS - 1
    assert list(THRESHOLDS) == sorted(THRESHOLDS)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('        """Whether this parcel weighs more."""\n', ""),
        ("(self, other: Parcel) -> bool", "(self, other)"),
        ("parcels.append", "parcels .append(1);parcels.append"),
        ("        # An empty line ends the list.\n", "        # for line in stream:\n" * 3),
        ("from pathlib import Path\n", "from pathlib import *\n"),
        ("    parcels = []\n", "    parcels = []  \n"),
        ("    return parcels\n", "    return parcels" + " " * 120 + "+ []\n"),
        ("    parcels = []\n", "    parcels = []\n    if parcels:\n       pass\n"),
        ("label", "l"),
    ],
)
def test_each_flaw_costs(old, new):
    assert old in GOOD
    worse = GOOD.replace(old, new)
    assert points(signals(worse, "p.py")) < points(signals(GOOD, "p.py"))


def test_path_and_size_count():
    assert points(signals(GOOD, "tests/p.py")) < points(signals(GOOD, "p.py"))
    assert points(signals(GOOD, "test_p.py")) < points(signals(GOOD, "p.py"))
    assert points(signals(GOOD, "contest/p.py")) == points(signals(GOOD, "p.py"))
    assert quality("", "") == quality("x = 1\n", "") == 0


def test_signals_are_what_they_say():
    found = signals(GOOD, "p.py")
    assert found.definitions == 3
    assert found.documented == 1.0
    assert found.annotated == 1.0
    assert found.untidy == found.off_grid == found.wide == found.dead_code == 0.0
    assert found.legacy == 0
    bad = signals(BAD, "a.py")
    assert bad.dead_code == 1.0
    assert bad.untidy > 0.3
    assert signals("if x:\n    y = 1\nif x:\n       y = 1\n").off_grid == 0.5
    assert bad.legacy >= 4
    strings = signals('x = "a,b;c # d"  # e,f;\ny = """\n; ,x\n"""\n')
    assert strings.untidy == 0.0


def test_outside_figures_only_add_and_little():
    found = signals(GOOD)
    base = points(found)
    assert base < points(found, {"stars": 100}) < points(found, {"stars": 9000}) <= base + 0.5
    assert points(found, {"dependents": 5000, "stars": 3}) == base + 0.5
    odd = {"stars": 0, "dependents": float("nan"), "forks": 10_000}
    assert points(found, odd) == points(found, {}) == base


@given(st.text(max_size=400), st.text(max_size=30), st.floats())
def test_any_document_has_a_level(text, path, stars):
    level = quality(text, path, {"stars": stars})
    assert 0 <= level < QUALITY_LEVELS
    assert level == quality(text, path, {"stars": stars})


def test_levels_of_the_standard_library_spread():
    levels = [
        quality(file.read_text(encoding="utf-8"), file.name) for file in LIBRARY.glob("[a-e]*.py")
    ]
    assert len(set(levels)) >= 4
    assert 1 < sum(levels) / len(levels) < 3


# --- the plain searches of which the counts of `signals` are faster forms

STRING = re.compile(
    r"'''(?:\\.|[^\\])*?(?:'''|\Z)|\"\"\"(?:\\.|[^\\])*?(?:\"\"\"|\Z)"
    r"|'(?:\\.|[^'\\\n])*+'?|\"(?:\\.|[^\"\\\n])*+\"?|[ \t]*+#[^\n]*+",
    re.S,
)


def emptied(match):
    if match[0][0] in "# \t":
        return ""
    return "''' '''" if match[0][:3] in ("'''", '"""') else '""'


def plain_counts(text):
    """Definitions, documented and annotated ones, comments, names, untidy spots, wide lines."""
    code = STRING.sub(emptied, text)
    flat = quality_module._BRACKETS.sub("()", quality_module._BRACKETS.sub("", code))
    definition = r"^[ \t]*(?:async[ \t]+)?"
    kinds = re.findall(definition + r"(def|class)\b", code, re.M)
    documented = re.findall(
        definition + r"(?:def|class)\b[^\n]*:[ \t]*\n\s*[rRuU]?(?:'''|\"\"[ \t]*\n)", flat, re.M
    )
    annotated = re.findall(definition + r"def[ \t]+\w+\([^)]*(?::[ \t]*\w|\)[ \t]*->)", code, re.M)
    comments = re.findall(r"^[ \t]*#(?!!)[^\n]*", text, re.M)
    names = set(re.findall(r"[A-Za-z_]\w*", code)) - quality_module._KEYWORD_NAMES
    untidy = re.findall(r"[ \t]\n|;|,(?![\s)\]}])", code)
    lines = text.split("\n")
    share = max(1, sum(1 for line in lines if line.strip()))
    header = re.match(r"\A\s*[rRuU]?(?:'''|\"\")", code) is not None
    functions = kinds.count("def")
    return (
        share,
        len(kinds),
        min(1.0, (len(documented) + header) / (len(kinds) + 1)),
        len(annotated) / functions if functions else 0.0,
        min(1.0, len(comments) / share),
        sum(map(len, names)) / len(names) if names else 0.0,
        sum(len(line) > 120 for line in lines) / share,
        min(1.0, len(untidy) / max(1, code.count("\n"))),
        plain_off_grid(flat),
    )


def plain_off_grid(flat):
    blanks = re.findall(r"^([ \t]+)(?=[^\s])", flat, re.M)
    tabs = sum("\t" in blank for blank in blanks)
    if not blanks or tabs == len(blanks):
        return 0.0
    unit = 4 if sum(len(b) % 4 == 0 for b in blanks) * 2 >= len(blanks) else 2
    return sum("\t" in blank or len(blank) % unit != 0 for blank in blanks) / len(blanks)


def counts(text):
    found = signals(text)
    head = (found.lines, found.definitions, found.documented, found.annotated, found.comments)
    return (*head, found.name_length, found.wide, found.untidy, found.off_grid)


FRAGMENTS = [
    "def f(a: int):",
    "class A:",
    "async def",
    "\n",
    "\n    ",
    "\n\t",
    "  ",
    "#",
    "# x",
    '"',
]
FRAGMENTS += [
    "'''",
    '"""',
    "'",
    "\\",
    ",",
    ", ",
    ";",
    "x1 = 0x1F",
    "1e5_a",
    "é²",
    "(",
    ")",
    "->",
    ":",
]
FRAGMENTS += [" \n", '""\n', "a" * 121, "#!", "\x0c", "\u2003"]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=30).map("".join))
def test_counts_are_those_of_the_plain_searches(text):
    assert counts(text) == plain_counts(text)


def test_counts_of_the_standard_library():
    for file in sorted(LIBRARY.glob("[a-d]*.py")):
        text = file.read_text(encoding="utf-8")
        assert counts(text) == plain_counts(text), file
