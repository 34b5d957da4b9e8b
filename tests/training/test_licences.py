"""Licence detection on the licence files that real distributions ship."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest
from identify.vendor.licenses import LICENSES

from parrotlet_training.corpus.licences import (
    PROPRIETARY,
    detect,
    from_metadata,
    header_licence,
    is_licence_file,
    is_permissive,
    normalise,
)

TEXTS = dict(LICENSES)
GPL_NOTICE = """\
This program is free software: you can redistribute it and/or modify it under the terms of the
GNU General Public License as published by the Free Software Foundation, either version 3 of the
License, or (at your option) any later version.
"""


def licence_text(distribution: str) -> str:
    files = metadata.distribution(distribution).files or []
    (entry,) = [e for e in files if re.search(r"dist-info/(licenses/)?LICEN[SC]E[^/]*$", str(e))]
    return Path(str(entry.locate())).read_text()


@pytest.mark.parametrize(
    ("distribution", "licence"),
    [
        ("attrs", "MIT"),
        ("anyio", "MIT"),
        ("pytest", "MIT"),
        ("click", "BSD-3-Clause"),
        ("networkx", "BSD-3-Clause"),
        ("Pygments", "BSD-2-Clause"),
        ("requests", "Apache-2.0"),  # without the appendix
        ("transformers", "Apache-2.0"),  # with a line above it
        ("tzdata", "Apache-2.0"),  # the notice alone
        ("shellingham", "ISC"),
        ("hypothesis", "MPL-2.0"),
        ("tqdm", ""),  # two licences in one text
        ("numpy", ""),  # with those of bundled libraries
    ],
)
def test_licence_files_of_real_distributions(distribution, licence):
    assert detect({"LICENSE": licence_text(distribution)}) == licence


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_every_known_text_is_itself(name):
    assert detect({"LICENSE": TEXTS[name]}) == normalise(name)


@pytest.mark.parametrize("name", ["MIT", "BSD-3-Clause", "Apache-2.0"])
@pytest.mark.parametrize("rider", ["for non-commercial use only", "See the Commons Clause"])
def test_a_rider_makes_it_another_licence(name, rider):
    lines = TEXTS[name].splitlines()
    lines.insert(len(lines) // 2, rider)
    assert detect({"LICENSE": "\n".join(lines)}) == ""


def test_several_files_are_read_strictly():
    both = {"LICENSE-MIT": TEXTS["MIT"], "LICENSE-APACHE": TEXTS["Apache-2.0"]}
    assert detect(both) == "Apache-2.0 AND MIT"
    assert detect({**both, "COPYING": TEXTS["GPL-3.0"]}) == "Apache-2.0 AND GPL-3.0-only AND MIT"
    assert detect({**both, "LICENSE": "Take your pick of the two files beside this one."}) != ""
    assert detect({**both, "LICENSE.x": GPL_NOTICE}) == ""
    assert detect({**both, "LICENSE.y": "All of this is ours. " * 100}) == ""
    assert detect({"LICENSE": TEXTS["Apache-2.0"] + TEXTS["GPL-3.0"]}) == ""
    assert detect({}) == ""


@pytest.mark.parametrize(
    ("path", "holds"),
    [
        ("LICENSE", True),
        ("licence.md", True),
        ("COPYING.LESSER", True),
        ("UNLICENSE", True),
        ("LICENSE-APACHE", True),
        ("LICENSES/MIT.txt", True),
        ("license.py", False),
        ("vendor/LICENSE", False),
        ("licensing_notes/a.txt", False),
        ("README.md", False),
    ],
)
def test_licence_file_names(path, holds):
    assert is_licence_file(path) == holds


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("# " + GPL_NOTICE.replace("\n", "\n# ") + "\nimport os\n", "GPL-3.0-or-later"),
        (f'#!/usr/bin/python\n"""A tool.\n\n{GPL_NOTICE}"""\n', "GPL-3.0-or-later"),
        ("# GNU Lesser General Public License, version 2.1 only\n", "LGPL-2.1-only"),
        ("# GNU Affero General Public\n# License version 3\n", "AGPL-3.0-only"),
        ("# Released under the GPLv2+\nx = 1\n", "GPL-2.0-or-later"),
        ("# SPDX-License-Identifier: GPL-2.0-only\n", "GPL-2.0-only"),
        ("# SPDX-License-Identifier: MIT OR GPL-2.0-only\n", ""),
        ("# SPDX-License-Identifier: BSD-3-Clause\n# compare GPL-3.0\n", ""),
        ("# SPDX-License-Identifier: LicenseRef-Ours\n", "LicenseRef-Ours"),
        ('import os\n\n__license__ = "GPL"\n', "GPL-2.0-only"),
        ('__license__ = "MIT"\n', ""),
        ("# Copyright (c) Us. Proprietary and confidential.\n", PROPRIETARY),
        ("# Subject to the Mozilla Public License v. 2.0\n", "MPL-2.0"),
        ("# Copyright (c) Us. All rights reserved.\n# BSD style licence, see LICENSE\n", ""),
        (f"# A generator of headers.\nimport os\n\nHEADER = '''{GPL_NOTICE}'''\n", ""),
        (f"import os\n# {GPL_NOTICE.splitlines()[0]}\n", ""),
        ("", ""),
        ('"""unfinished', ""),
    ],
)
def test_headers_of_files(text, licence):
    assert header_licence(text) == licence
    assert not licence or not is_permissive(licence)


def test_no_header_in_the_standard_library_is_copyleft():
    import argparse
    import json
    import subprocess

    for module in (argparse, json, subprocess):
        assert header_licence(Path(module.__file__).read_text()) == ""


@pytest.mark.parametrize(
    ("expression", "permissive"),
    [
        ("(MIT OR GPL-2.0-only) AND ISC", True),
        ("(MIT AND GPL-2.0-only) OR ISC", True),
        ("MIT AND (GPL-2.0-only OR LGPL-3.0-only)", False),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-3.0-only WITH GCC-exception-3.1", False),
        ("GNU GPLv3 AND MIT", False),
        ("MIT AND", False),
        ("see the file", False),
    ],
)
def test_expressions_with_brackets_and_exceptions(expression, permissive):
    assert is_permissive(expression) == permissive


def test_the_allowed_list_is_the_callers():
    assert not is_permissive("MIT", {"ISC"})
    assert is_permissive("LGPL-3.0-only", {"LGPL-3.0-only"})


def test_names_in_use_become_identifiers():
    assert normalise("apache-2.0") == "Apache-2.0"
    assert normalise("gpl-2.0+") == "GPL-2.0-or-later"
    assert normalise(" BSD  License ") == "BSD-3-Clause"
    assert normalise("whatever you like") == ""
    assert from_metadata("mit or gpl-3.0", [], None) == "MIT OR GPL-3.0-only"
