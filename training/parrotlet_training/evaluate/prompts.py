"""What a model reads of a problem, in its own prompt grammar and as it is served."""

from __future__ import annotations

from parrotlet_server.engine.prompt import HEALING_TOKENS, Prompt
from parrotlet_tokenizer import CodeTokenizer, Header
from parrotlet_tokenizer.prompt import serving_head
from parrotlet_tokenizer.specials import END_OF_TEXT_ID

from .errors import EvaluationError
from .problems import Problem


def prompt_of(
    tokenizer: CodeTokenizer, problem: Problem, context: int, limit: int, quality: int | None
) -> Prompt:
    """The prompt of `problem`: header, suffix, prefix (SPM), the prefix's last piece taken back.

    Unlike a prompt of the server it holds all of the suffix, also the rest of the answer's own
    line: a span may end inside of it. Where both do not fit, prefix and suffix keep what is
    nearest to the answer, the suffix at most half of the room.

    Args:
        tokenizer: the model's.
        problem: its `prompt` is the prefix.
        context: the model's context, in tokens.
        limit: tokens that the answer may take.
        quality: the level to ask for, of a model that was trained with levels.

    Raises:
        EvaluationError: if the context has no room for such an answer.
    """
    room = context - limit - HEALING_TOKENS
    if room < context // 4:
        raise EvaluationError(
            f"answers of {limit} tokens leave too little of the context of {context}: give fewer "
            "with --max-tokens"
        )
    healed = tokenizer.encode_healed(_utf8(problem.prompt))
    header = Header(quality=quality)
    for_suffix = max(room // 2, room - len(healed.ids)) - len(serving_head(tokenizer, header, "x"))
    head = serving_head(tokenizer, header, _fitting(tokenizer, _utf8(problem.suffix), for_suffix))
    ids = [*head, *healed.ids[-max(1, room - len(head)) :]]
    return Prompt(ids or [END_OF_TEXT_ID], healed.rest.encode(), limit)


def _fitting(tokenizer: CodeTokenizer, text: str, budget: int) -> str:
    """The beginning of `text` that takes at most `budget` tokens."""
    while (used := len(tokenizer.encode(text))) > budget:
        text = text[: len(text) * max(0, budget) // used]
    return text


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
