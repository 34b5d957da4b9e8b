"""Answers of the served engine's own decoder and 8-bit weights."""

from __future__ import annotations

from parrotlet_server.backends.processor import open_backend
from parrotlet_server.bundle import Bundle
from parrotlet_server.engine import never
from parrotlet_server.engine.decode import Decoder
from parrotlet_server.engine.prompt import Prompt
from parrotlet_server.engine.stopping import Stop
from parrotlet_server.engine.vocabulary import Vocabulary


class _ToTheEnd:
    """Stops nowhere: the model itself says where its answer ends."""

    def check(self, text: str) -> Stop | None:
        """See `Stopping.check`."""
        return None

    def finish(self, text: str, reason: str) -> Stop:
        """See `Stopping.finish`."""
        return Stop(len(text), reason)


class Served:
    """A bundle that answers greedily, with token healing, up to the end that the model sets.

    Attributes:
        context: of the model, in tokens.
    """

    def __init__(self, bundle: Bundle, threads: int | None = None) -> None:
        """Loads the model of `bundle`; `threads` as in `Engine.load`.

        Raises:
            BundleError: if it does not load.
        """
        self._backend = open_backend(bundle, threads)
        self._decoder = Decoder(self._backend, Vocabulary(bundle.tokenizer))
        self.context = self._backend.context_length

    def answer(self, prompt: Prompt) -> str:
        """The likeliest continuation of `prompt`, token by token."""
        state = self._backend.new_state()
        return self._decoder.run(prompt, state, 0, _ToTheEnd(), never).text
