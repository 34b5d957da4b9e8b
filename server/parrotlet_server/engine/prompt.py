"""From a place in a text to the tokens that the model reads.

The prompt is the grammar's serving form: header, suffix, prefix. What stands first changes least.
The suffix begins where the cursor's block ends, so it stays as one types and moves in the block,
and the prefix begins at a line start that moves in big steps, so that a typed character only
changes the end. Both are functions of the request alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from zlib import crc32

from parrotlet_tokenizer import CodeTokenizer, Header
from parrotlet_tokenizer.prompt import serving_head
from parrotlet_tokenizer.specials import END_OF_TEXT_ID

from .types import Related, Request

SUFFIX_TOKENS = 192
BLOCK = 8
"""Lines below the cursor's among which the suffix begins."""

HEALING_TOKENS = 16
"""Room kept for writing anew what was taken back, besides the suggestion's own."""

MOST_HEALED = 64
"""Bytes; of a longer last piece only the last token is taken back."""

SMALLEST_CONTEXT = 128

_LONGEST_LINE = 10_000
"""Characters: a line with more ends the block, wherever that is."""

_CHARACTERS_PER_TOKEN = 4  # of Python text, rather too many: what does not fit is tried shorter


@dataclass(frozen=True)
class Prompt:
    """What the model reads, and how its answer must begin.

    Attributes:
        ids: the tokens, at least one.
        rest: bytes of the text before the cursor that are not among them; the answer begins with
            these.
        limit: most tokens that the model may write, those for `rest` not counted.
    """

    ids: list[int]
    rest: bytes
    limit: int


def build_prompt(
    tokenizer: CodeTokenizer, request: Request, context_length: int, quality: int | None = None
) -> Prompt:
    """The prompt of `request`, which leaves room for the answer in the context.

    `quality` is the level to ask for, of a model that was trained with levels.
    """
    limit = max(1, min(request.max_tokens, context_length // 4))
    room = context_length - limit - HEALING_TOKENS
    header = Header(quality=quality, path=_path(request.path, context_length // 8))
    suffix = _suffix(tokenizer, request.suffix, min(SUFFIX_TOKENS, context_length // 4))
    head = serving_head(tokenizer, header, suffix)
    if len(head) > room // 2:  # a path whose characters take several tokens each: without it
        header = replace(header, path=None)
        head = serving_head(tokenizer, header, suffix)
    if request.related:
        # half of what is left is the prefix's own
        most = min(request.related_tokens, context_length // 4, (room - len(head)) // 2)
        related = _related(tokenizer, request.related, most)
        head = serving_head(tokenizer, replace(header, related=related), suffix)
    ids, rest = _prefix(tokenizer, request.prefix, room - len(head), context_length)
    ids = [*head, *ids] or [END_OF_TEXT_ID]  # the model needs something to go on from
    return Prompt(ids, rest, limit)


def _related(
    tokenizer: CodeTokenizer, related: tuple[Related, ...], budget: int
) -> tuple[tuple[str, str], ...]:
    """Paths and texts of other files, in at most `budget` tokens; the most important stay last."""
    kept: list[tuple[str, str]] = []
    for one in reversed(related):
        path, text, used = _path(one.path, 80) or "", clean(one.text), 0
        while text and (used := 1 + len(tokenizer.encode_again(f"{path}\n{text}"))) > budget:
            text = text[: text.rfind("\n", 0, len(text) * max(0, budget) // used) + 1]
        if text:
            kept.append((path, text))
            budget -= used
    return tuple(reversed(kept))


def _path(path: str | None, characters: int) -> str | None:
    return clean(path.replace("\\", "/").replace("\n", " ")[-characters:]) if path else None


def _suffix(tokenizer: CodeTokenizer, suffix: str, budget: int) -> str:
    """The lines below the cursor's block, as many as `budget` tokens hold; "" if all are blank."""
    near = suffix.find("\n", 0, 100_000) + 1
    if not near:
        return ""
    near = _block_end(suffix, near)
    text = clean(suffix[near : near + budget * 6])
    whole = near + budget * 6 >= len(suffix)
    while text.strip():
        lines = text.splitlines(keepends=True)
        if not whole and len(lines) > 1:
            text = "".join(lines[:-1])  # the last line may be cut
        used = len(tokenizer.encode_again(text))
        if used <= budget:
            return text
        text, whole = text[: max(1, len(text) * budget // used)], False
    return ""


def _block_end(suffix: str, at: int) -> int:
    """Where the next block begins in `suffix`, whose line at `at` is the first below the cursor's.

    That is behind a blank line, or at the line of the `BLOCK` next whose hash is the least, which
    stays the least while the cursor comes nearer (Schleimer et al. 2003, "Winnowing"). What is
    left out between costs next to nothing (docs/experiments.md); without it the model would have
    to read all anew whenever the cursor is moved by a line.
    """
    starts: list[tuple[int, int]] = []
    start, after_blank = at, False
    for _ in range(BLOCK):
        line = suffix[start : start + _LONGEST_LINE].partition("\n")[0]
        is_blank = not line.strip()
        if not is_blank:
            if after_blank:
                return start
            starts.append((crc32(line.encode("utf-8", "replace")), start))
        after_blank = is_blank
        start = suffix.find("\n", start, start + _LONGEST_LINE) + 1
        if not start:
            break
    return min(starts)[1] if starts else at


def _prefix(
    tokenizer: CodeTokenizer, prefix: str, budget: int, grid: int
) -> tuple[list[int], bytes]:
    """Tokens of the text before the cursor, at most `budget`, and the bytes taken back.

    The text begins with the first line after a multiple of `grid` characters.
    """
    edge = -(-max(0, len(prefix) - budget * _CHARACTERS_PER_TOKEN) // grid) * grid
    while True:
        # In a file of one endless line the text begins inside it.
        start = prefix.find("\n", edge - 1, edge + grid) + 1 or edge if edge else 0
        if start >= len(prefix) > 0:
            start = max(0, len(prefix) - budget)
        ids, rest = _healed(tokenizer, clean(prefix[start:]))
        edge += grid
        if len(ids) <= budget:
            return ids, rest
        if edge >= len(prefix):
            return ids[-budget:], rest


def _healed(tokenizer: CodeTokenizer, text: str) -> tuple[list[int], bytes]:
    healed = tokenizer.encode_healed(text)
    rest = healed.rest.encode()
    if len(rest) <= MOST_HEALED:
        return healed.ids, rest
    ids = tokenizer.encode(text)
    return ids[:-1], tokenizer.token_bytes[ids[-1]]


def clean(text: str) -> str:
    """`text` with plain line ends, and "?" for what UTF-8 cannot carry."""
    return text.replace("\r\n", "\n").encode("utf-8", "replace").decode()
