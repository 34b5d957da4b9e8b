"""The backend `openai` with a real llama.cpp server, which runs our own weights."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import cycle, islice, pairwise, takewhile
from operator import eq
from pathlib import Path

import pytest

from parrotlet_server.backends.errors import EndpointCancelledError, EndpointError
from parrotlet_server.backends.onnx import OnnxBackend
from parrotlet_server.backends.openai import OpenAIClient, Piece
from parrotlet_server.backends.options import BackendOptions
from parrotlet_server.backends.processor import open_backend
from parrotlet_server.bundle import Bundle
from parrotlet_server.engine import Engine, Request
from parrotlet_server.engine.completer import Completer, open_completer
from parrotlet_tokenizer.specials import END_OF_TEXT_ID

from .llama_server import PATIENCE, LlamaServer, serving
from .test_llama_cpp import NEAR, TOKENS, our_tokens

KEY = "sk-right-0123456789abcdef"
WRONG = "sk-wrong-fedcba9876543210"

pytestmark = pytest.mark.timeout(1200)


def options(server: LlamaServer, **others: object) -> BackendOptions:
    return replace(BackendOptions(kind="openai", url=server.url, timeout=PATIENCE), **others)


def never() -> bool:
    return False


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PARROTLET_API_KEY", raising=False)


@pytest.fixture(scope="module")
def server(gguf: Callable[[int], Path], tmp_path_factory: pytest.TempPathFactory):
    with serving(gguf(32), tmp_path_factory.mktemp("llama") / "log") as server:
        yield server


def ours(bundle: Bundle, prompts: list[list[int]]) -> list[str]:
    """The greedy continuations of the default backend."""
    backend = open_backend(bundle, 1)
    return [bundle.tokenizer.decode(ended(our_tokens(backend, ids)[0])) for ids in prompts]


def ended(tokens: list[int]) -> list[int]:
    return tokens[: tokens.index(END_OF_TEXT_ID)] if END_OF_TEXT_ID in tokens else tokens


def is_near_tie(bundle: Bundle, prompt: list[int], answer: str) -> bool:
    """Whether two tokens were about as likely where `answer` leaves ours."""
    tokens, gaps = our_tokens(OnnxBackend(bundle.model_file, 1), prompt)
    decode = bundle.tokenizer.decode
    shared = (n for n in range(len(tokens)) if not answer.startswith(decode(tokens[: n + 1])))
    return gaps[next(shared)] < NEAR


def theirs(server: LlamaServer, prompt: Sequence[int], most: int = TOKENS) -> list[Piece]:
    return list(OpenAIClient(options(server)).stream(prompt, most, never))


def text(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def same(one: Sequence[object], other: Sequence[object]) -> float:
    """The share of equal ones."""
    return sum(map(eq, one, other)) / len(one)


def alike(one: Sequence[str], other: Sequence[str]) -> float:
    """The mean share of two texts before they part; from there on they tell other stories."""
    shares = [
        sum(1 for _ in takewhile(lambda two: eq(*two), zip(left, right, strict=False)))
        / max(len(left), len(right), 1)
        for left, right in zip(one, other, strict=True)
    ]
    return sum(shares) / len(shares)


def test_in_float32_the_text_is_ours(server, bundled, exact, prompts):
    answers = [theirs(server, prompt) for prompt in prompts]
    wanted = ours(exact, prompts)
    for prompt, answer, expected in zip(prompts, answers, wanted, strict=True):
        assert text(answer) == expected or is_near_tie(exact, prompt, text(answer))
    assert same([text(answer) for answer in answers], wanted) > 0.9
    # the bundled graph rounds what it multiplies to 8 bits, which turns near-ties
    assert alike([text(answer) for answer in answers], ours(bundled, prompts)) > 0.6
    # token by token, not at once
    assert sum(map(len, answers)) > len(prompts) * TOKENS / 2
    assert all(answer[-1].finish in ("length", "stop") for answer in answers)


def test_in_q8_0_most_text_is_ours(gguf, tmp_path, bundled, exact, prompts):
    with serving(gguf(8), tmp_path / "log") as server:
        answers = [text(theirs(server, prompt)) for prompt in prompts]
    assert alike(answers, ours(exact, prompts)) > 0.8
    assert alike(answers, ours(bundled, prompts)) > 0.6


def test_suggestions_are_those_of_the_own_engine(server, exact, requests, prompts, rests):
    """Where the answer spells the piece before the cursor by itself: nothing holds it to that."""
    remote, engine = open_completer(options(server)), Engine.load(str(exact.folder), threads=1)

    def suggested(completer: Completer, request: Request) -> str | None:
        # what the text itself repeats has no say in another server
        found = completer.complete(replace(request, recall=False)).suggestion
        return found and found.text

    compared = 0
    for request, prompt, rest in zip(requests, prompts, rests, strict=True):
        if text(theirs(server, prompt)).startswith(rest):
            there = suggested(remote, request)
            # where that is not worth showing, the own engine may find something else
            assert there in (None, suggested(engine, request))
            compared += there is not None
        else:
            suggested(remote, request)  # asks twice, and fails neither time
    assert compared >= 2


def test_a_full_context_is_an_end_not_an_error(server, bundled, prompts):
    context = bundled.manifest.architecture.context_length
    ids = list(islice(cycle(prompts[0]), context - 8))
    answer = theirs(server, ids, 64)
    assert len(text(answer)) > 0
    assert answer[-1].finish == "length"


def test_a_prompt_that_is_too_long_is_told(server, bundled, prompts):
    context = bundled.manifest.architecture.context_length
    ids = list(islice(cycle(prompts[0]), context + 8))
    with pytest.raises(EndpointError, match=r"answered 400 .*context size") as caught:
        theirs(server, ids)
    assert "\n" not in str(caught.value)


def begun(server: LlamaServer, prompt: Sequence[int], cancelled=never) -> Iterator[Piece]:
    """A long answer, of which the first piece has come."""
    stream = OpenAIClient(options(server)).stream(prompt, 200, cancelled)
    assert next(stream).finish is None
    return stream


def test_one_who_leaves_is_not_written_for(server, prompts):
    cancelled = threading.Event()
    stream = begun(server, prompts[0][:50], cancelled.is_set)
    cancelled.set()
    with pytest.raises(EndpointCancelledError):
        list(stream)
    wait_until(lambda: not server.is_busy())
    begun(server, prompts[0][:50]).close()
    wait_until(lambda: not server.is_busy())


def test_the_next_answer_finds_room_beside_one_that_is_left(server, prompts):
    """Both do not fit the cache: as a key takes back what the last one has asked."""
    for one, other in pairwise(sorted(prompts, key=len)[-5:]):
        begun(server, one).close()
        assert text(theirs(server, other, 4)) == server.complete(other, 4)


def test_a_server_that_dies_while_it_writes_is_told(gguf, tmp_path, prompts):
    with serving(gguf(32), tmp_path / "log") as server:
        stream = begun(server, prompts[0][:50])
        server.kill()
        with pytest.raises(EndpointError, match=r"127\.0\.0\.1:\d+/v1/completions ") as caught:
            list(stream)
        assert "\n" not in str(caught.value)
        server.start()
        assert text(theirs(server, prompts[0]))


def test_the_key(gguf, tmp_path, prompts, monkeypatch):
    with serving(gguf(32), tmp_path / "log", KEY) as server:
        with pytest.raises(EndpointError, match=r"401 .*is the key right\?"):
            theirs(server, prompts[0])
        monkeypatch.setenv("PARROTLET_API_KEY", WRONG)
        with pytest.raises(EndpointError, match=r"401 .*is the key right\?") as caught:
            theirs(server, prompts[0])
        assert WRONG not in str(caught.value)
        monkeypatch.setenv("PARROTLET_API_KEY", KEY)
        assert text(theirs(server, prompts[0])) == server.complete(prompts[0], TOKENS)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
