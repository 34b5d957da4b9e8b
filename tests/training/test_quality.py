"""The quality level on made-up pairs of better and worse code, and on real files."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parrotlet_tokenizer.specials import QUALITY_LEVELS
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
