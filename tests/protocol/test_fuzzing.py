"""Ten thousand malformed messages to one server, which answers each request and lives on."""

from __future__ import annotations

from collections import Counter

import psutil

from ..support.lsp_client import client
from ..support.malformed import messages

COUNT, SEED, TOGETHER = 10_000, 20_261_122, 250
RSS_GROWTH = 300
"""MiB; 10,000 messages, some of a megabyte, leave no more behind."""

LINE = "def square_area(side):\n    return side * "
URI = "untitled:Untitled-1"  # in whatever folder the session is by then
CAPABILITIES = {"general": {"positionEncodings": ["utf-16"]}, "workspace": {}}


def test_malformed_messages(model, suggest):
    with client("--model", model) as session:
        # an editor that cannot be asked for settings: those that are pushed count
        session.start(capabilities=CAPABILITIES, rootUri="file:///home/ada")
        process = psutil.Process(session.process.pid)
        before = process.memory_info().rss
        kinds, expected = Counter(), Counter()
        generated = list(messages(SEED, COUNT))
        for start in range(0, COUNT, TOGETHER):
            together = generated[start : start + TOGETHER]
            session.send_bytes(b"".join(wrong.data for wrong in together))
            for wrong in together:
                kinds[wrong.kind] += 1
                expected.update(wrong.answered)
            assert session.reply(session.request("parrotlet/statistics"))
        session.wait(lambda: all(len(session.replies(i)) >= n for i, n in expected.items()))
        answered = {identity: len(session.replies(identity)) for identity in expected}
        assert answered == expected  # not one too many either
        grown = (process.memory_info().rss - before) / 2**20
        for kind, number in kinds.most_common():
            print(f"{number:6,} {kind}")
        print(f"{COUNT:6,} in all, {expected.total():,} requests answered, {grown:+.0f} MiB")
        assert grown < RSS_GROWTH

        # without what the many documents above may say
        usual = {"settings": {"parrotlet": {"context": "off"}}}
        session.notify("workspace/didChangeConfiguration", usual)
        session.open(URI, LINE)
        assert session.inline(URI, 1, 18)[0]["insertText"] == suggest(LINE, path=None).text
        assert session.shut_down() == 0
        assert "Traceback" not in session.stderr()
